"""What the drawn templates are made of: a canvas of light, a camera, soft shadows, cloth.

Pictures are float32 RGB [S, S, 3] of light, S = SIDE_PX, white paper at 1. Places are px with (0, 0) at the top left
corner of the picture; in space y points up and the floor is y = 0. What is random is drawn from a fixed seed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from gencv.images.light import to_linear

SIDE_PX = 1024
FINE = 4
"""Shapes are drawn so many times larger, and shrunk: antialiased."""


def canvas() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the middle of every px, float32 [S, S]."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32) + np.float32(0.5)
    return x, y


def paint(code: str) -> np.ndarray:
    """Return the light of a colour such as "#e8d9c5", float32 [3]."""
    return to_linear(np.frombuffer(bytes.fromhex(code[1:]), np.uint8))


def over(under: np.ndarray, colour: Any, alpha: np.ndarray) -> np.ndarray:
    """Lay a colour, three numbers or [S, S, 3], over a picture by alpha [S, S]."""
    return np.asarray(under + (np.asarray(colour, np.float32) - under) * alpha[..., None].astype(np.float32))


def step(values: np.ndarray, start: Any, end: Any) -> np.ndarray:
    """Rise smoothly from 0 at `start` to 1 at `end`, or fall where end is before start."""
    t = np.clip((values - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def soft(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigma_px))


def covered(distance: np.ndarray) -> np.ndarray:
    """Return how much of a px lies inside of a shape, from its signed distance in px, which is below 0 inside."""
    return np.asarray(np.clip(0.5 - distance, 0, 1))


def rounded(x: np.ndarray, y: np.ndarray, width: float, height: float, radius: float) -> np.ndarray:
    """Return the signed distance to a rectangle with round corners around (0, 0)."""
    across, down = np.abs(x) - width / 2 + radius, np.abs(y) - height / 2 + radius
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0) - radius)


def filled(points: np.ndarray) -> np.ndarray:
    """Return a polygon [N, 2] in px as alpha [S, S], antialiased."""
    fine = np.zeros((SIDE_PX * FINE, SIDE_PX * FINE), np.uint8)
    cv2.fillPoly(fine, [np.round((np.asarray(points) * FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return np.asarray(cv2.resize(fine, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)


def line(start: Any, end: Any, width_px: float) -> np.ndarray:
    """Return a straight line as alpha [S, S]."""
    x, y = canvas()
    (ax, ay), (bx, by) = start, end
    t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
    return covered(np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) - width_px / 2)


def curve(points: Sequence[Sequence[float]], *, closed: bool = False, num: int = 24) -> np.ndarray:
    """Return a smooth line [N, 2] through some points (Catmull-Rom), `num` places from one to the next."""
    given = np.asarray(points, np.float64)
    ends = given[[-1]], given[[0, 1]]
    padded = np.concatenate([ends[0], given, ends[1]] if closed else [given[:1], given, given[-1:]])
    t = np.linspace(0, 1, num, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.concatenate([*pieces, *([] if closed else [given[-1:]])])


def away_from(way: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how far every px is from a line [N, 2], and from its nearest place along x and y, [S, S] each.

    Beyond reach_px it is infinite, and not looked for.
    """
    nearest = np.full((SIDE_PX, SIDE_PX), np.inf, np.float32)
    aside, below = np.zeros_like(nearest), np.zeros_like(nearest)
    x, y = canvas()
    for a, b in pairwise(way):
        left, top = np.maximum(np.floor(np.minimum(a, b) - reach_px), 0).astype(int)
        right, bottom = np.ceil(np.maximum(a, b) + reach_px).astype(int)
        part = (slice(top, bottom), slice(left, right))
        along = b - a
        t = np.clip(((x[part] - a[0]) * along[0] + (y[part] - a[1]) * along[1]) / (along @ along + 1e-9), 0, 1)
        dx, dy = x[part] - a[0] - t * along[0], y[part] - a[1] - t * along[1]
        away = np.hypot(dx, dy)
        closer = away < nearest[part]
        for known, new in ((nearest, away), (aside, dx), (below, dy)):
            known[part][closer] = new[closer]
    return nearest, aside, below


def softened(alpha: np.ndarray, radius_px: float) -> np.ndarray:
    """Return a shape with its corners rounded, as those of cloth are."""
    return step(soft(alpha, radius_px), 0.42, 0.58)


def noise(seed: int, size_px: float, *, stretch: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Return smooth noise [S, S] of about standard deviation 1 whose blobs are so many px large, times the stretch."""
    rng = np.random.default_rng(seed)
    across, down = (max(2, round(SIDE_PX / (size_px * s)) + 3) for s in stretch)
    small = rng.standard_normal((down, across)).astype(np.float32)
    large = cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / (large.std() + 1e-9))


def develop(light: np.ndarray, *, grain: float = 0.6) -> np.ndarray:
    """Return the picture of some light, uint8 [S, S, 3]; grain, in levels of 8 bits, keeps gradients from banding."""
    # Not images.light.to_coded: rounded before the grain, bands would stay.
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
    shaken = 255 * coded + grain * np.random.default_rng(7).standard_normal(light.shape[:2])[..., None]
    return np.asarray(shaken.round().clip(0, 255).astype(np.uint8))


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


CLOTH_PX = 384
"""Side at which folds are drawn: they are soft, and 7 times as fast so."""


def folds(lines: Sequence[tuple[Sequence[Sequence[float]], float, float]]) -> np.ndarray:
    """Return the height of folds [S, S] in px: each is a line's points, its half width, and its height.

    A fold is steeper on one side than on the other, and dies away toward its ends.
    """
    scale = CLOTH_PX / SIDE_PX
    y, x = np.mgrid[:CLOTH_PX, :CLOTH_PX].astype(np.float32) + np.float32(0.5)
    height = np.zeros((CLOTH_PX, CLOTH_PX), np.float32)
    for points, width, high in lines:
        way = curve(points, num=8) * scale
        nearest, along, side = np.full_like(x, np.inf), np.zeros_like(x), np.ones_like(x)
        for place, (a, b) in enumerate(pairwise(way)):
            ab = b - a
            t = np.clip(((x - a[0]) * ab[0] + (y - a[1]) * ab[1]) / (ab @ ab + 1e-9), 0, 1)
            away = np.hypot(x - a[0] - t * ab[0], y - a[1] - t * ab[1])
            closer = away < nearest
            nearest = np.where(closer, away, nearest)
            along = np.where(closer, (place + t) / (len(way) - 1), along)
            side = np.where(closer, np.sign((x - a[0]) * ab[1] - (y - a[1]) * ab[0]), side)
        spread = width * scale * np.where(side > 0, 0.75, 1.35)
        height += high * np.exp(-((nearest / spread) ** 1.6)) * np.sin(np.pi * np.clip(along, 0.02, 0.98)) ** 0.8
    return soft(cv2.resize(height, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC), 3)


def light_of(height: np.ndarray, *, toward: tuple[float, float] = (-0.55, -0.83), relief: float = 1.0) -> np.ndarray:
    """Return how cloth of some height [S, S] in px is lit from `toward`: about 1 where it is flat, [S, S]."""
    across, down = np.gradient(height, axis=1), np.gradient(height, axis=0)
    facing = 1 - relief * (across * toward[0] + down * toward[1])
    hollow = np.minimum(height - soft(height, 14), 0)
    return np.asarray(np.clip(facing, 0.25, 1.5) * np.exp(0.05 * relief * hollow))


def drag_of(height: np.ndarray, reach_px: float) -> np.ndarray:
    """Return how cloth of some height moves a print: [S, S, 2], reach_px at the steepest folds."""
    height = soft(height, 7)  # cloth does not shear, however sharply light shows its folds
    slope = np.stack([np.gradient(height, axis=1), np.gradient(height, axis=0)], axis=2)
    return np.asarray((slope / (np.quantile(np.abs(slope), 0.998) + 1e-9)).clip(-1, 1) * reach_px, np.float32)
