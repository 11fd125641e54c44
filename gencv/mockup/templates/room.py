"""Things in space: a camera, lamps, the shadows that they throw, and the table that a thing stands on.

In space y points up and the floor is y = 0.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from gencv.mockup.studio import SIDE_PX, canvas, paint, soft, step


class Camera:
    """A pinhole at `eye` that looks at `at`; a view of so many degrees fills the picture."""

    def __init__(
        self, eye: Sequence[float], at: Sequence[float], degrees: float, *, shift: tuple[float, float] = (0, 0)
    ) -> None:
        self.eye = np.asarray(eye, np.float64)
        forward = np.asarray(at, np.float64) - self.eye
        forward /= np.linalg.norm(forward)
        up = np.array([0, 1, 0]) if abs(forward[1]) < 0.999 else np.array([0, 0, -1])
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        self.axes = np.stack([right, -np.cross(right, forward), forward])
        self.focal_px = SIDE_PX / 2 / np.tan(np.radians(degrees) / 2)
        self.middle = np.array([SIDE_PX / 2 + shift[0], SIDE_PX / 2 + shift[1]])

    def see(self, points: Any) -> np.ndarray:
        """Return where points [..., 3] are seen, [..., 2] in px."""
        seen = (np.asarray(points, np.float64) - self.eye) @ self.axes.T
        return np.asarray(self.middle + self.focal_px * seen[..., :2] / seen[..., 2:])

    def floor(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where on the floor a px looks: x and z in space, and bool, whether it looks at the floor at all."""
        rays = np.stack(
            [(x - self.middle[0]) / self.focal_px, (y - self.middle[1]) / self.focal_px, np.ones_like(x)], -1
        )
        directions = rays @ self.axes
        down = directions[..., 1] < -1e-4
        far = np.where(down, -self.eye[1] / np.where(down, directions[..., 1], -1), 0)
        return self.eye[0] + far * directions[..., 0], self.eye[2] + far * directions[..., 2], down


def shade_on_floor(camera: Camera, solid: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """Return which share of some lights [L, 3] a convex solid, given by points [N, 3], hides from the floor: [S, S]."""
    hidden = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for light in lights:
        share = light[1] / np.maximum(light[1] - solid[:, 1], 1e-3)
        on_floor = light + (solid - light) * share[:, None]
        hull = cv2.convexHull(camera.see(np.stack([on_floor[:, 0], 0 * share, on_floor[:, 2]], 1)).astype(np.float32))
        one = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        cv2.fillConvexPoly(one, np.round(hull[:, 0] * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        hidden += one
    return soft(hidden / (255 * len(lights)), 1.2)


def softbox(middle: Sequence[float], radius: float, num: int = 64) -> np.ndarray:
    """Return lights [L, 3] spread over a disc that faces the origin."""
    centre = np.asarray(middle, np.float64)
    toward = -centre / np.linalg.norm(centre)
    side = np.cross(toward, [0, 1, 0])
    side /= np.linalg.norm(side)
    up = np.cross(side, toward)
    turn = np.arange(num) * np.pi * (3 - np.sqrt(5))  # Vogel's spiral: even without a grid
    reach = radius * np.sqrt((np.arange(num) + 0.5) / num)
    return np.asarray(centre + (reach * np.cos(turn))[:, None] * side + (reach * np.sin(turn))[:, None] * up)


def sky(num: int = 64, distance: float = 60.0) -> np.ndarray:
    """Return lights [L, 3] over the upper half of a sphere, more of them overhead, as a pale room lights a floor."""
    turn, height = np.arange(num) * np.pi * (3 - np.sqrt(5)), np.sqrt((np.arange(num) + 0.5) / num)
    flat = np.sqrt(1 - height**2)
    return np.asarray(distance * np.stack([flat * np.cos(turn), np.maximum(height, 0.08), flat * np.sin(turn)], 1))


def table_top(
    camera: Camera,
    colour: str,
    solid: np.ndarray,
    window: np.ndarray,
    *,
    pool_at: tuple[float, float],
    pool_wide: float,
    dim: float = 0.70,
    bright: float = 1.10,
) -> np.ndarray:
    """Return an empty floor of one colour that rises into the wall, with the shadows of a convex solid [N, 3].

    window: lights [L, 3], of the sharper of two shadows; the other is the room's. pool_at, pool_wide: where on the
    floor, x and z, it is brightest, and how far that reaches. dim, bright: light without and with that.
    """
    x, z, is_floor = camera.floor(*canvas())
    pool = np.where(is_floor, np.exp(-((x - pool_at[0]) ** 2 + (z - pool_at[1]) ** 2) / pool_wide**2), 0)
    light = paint(colour) * (dim + (bright - dim) * step(soft(pool, 35), 0, 1))[..., None]
    dark = 0.50 * shade_on_floor(camera, solid, window) + 0.53 * shade_on_floor(camera, solid, sky())
    return np.asarray(light * (1 - dark)[..., None])
