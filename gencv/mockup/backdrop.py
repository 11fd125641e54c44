"""What is behind a product: a softly lit studio of two colours, what a painter makes of it, no trace of the product.

All in light, float32 RGB [H, W, 3].
"""

import cv2
import numpy as np

from gencv.mockup.placing import Placed
from gencv.mockup.scenes import Scene
from gencv.mockup.studio import paint, step

FAR = 0.72
"""Light of the corners that the light does not reach, of that in its middle."""


def studio(scene: Scene, placed: Placed) -> np.ndarray:
    """Return the scene's wall and floor in soft light, before anything is painted."""
    y, x = np.mgrid[: scene.height, : scene.width].astype(np.float32) + np.float32(0.5)
    x, y = x / scene.width, y / scene.height
    half = max(scene.seam, 1.5 / scene.height) / 2
    on_floor = step(y, scene.horizon - half, scene.horizon + half)
    aside = np.sin(np.radians(scene.light_deg))
    middle = (placed.left + placed.width / 2) / scene.width
    # The wall has a pool of light behind the product, toward the lamp; the floor is brightest around its foot.
    on_wall = _pool(x - middle - 0.35 * aside, y - 0.8 * scene.horizon, 0.85, 0.75)
    around_foot = _pool(x - middle - 0.2 * aside, y - placed.bottom / scene.height, 0.9, 0.5)
    wall = paint(scene.wall) * on_wall[..., None]
    floor = paint(scene.floor) * around_foot[..., None]
    return np.asarray(wall + (floor - wall) * on_floor[..., None], np.float32)


def _pool(x: np.ndarray, y: np.ndarray, across: float, down: float) -> np.ndarray:
    return np.asarray(FAR + (1.06 - FAR) * np.exp(-((x / across) ** 2) - (y / down) ** 2))


def filled(light: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return light, float32 [H, W, C], with what lies in bool [H, W] made up smoothly of what is around it.

    Each px takes the mean around it at the smallest width that sees enough of what is known.
    """
    found = light.copy()
    left = unknown.copy()
    known = (~unknown).astype(np.float32)
    if not known.any():
        return found
    sigma = 1.0
    while left.any():
        weight = cv2.GaussianBlur(known, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        mean = cv2.GaussianBlur(light * known[..., None], (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        now = left & (weight > (ENOUGH if sigma < max(known.shape) else 0))
        found[now] = mean[now] / weight[now][:, None]
        left &= ~now
        sigma *= 2
    return found


ENOUGH = 0.15
"""Share of what a blur sees that must be known for its mean to be taken."""


def size_for(size_px: int, factor: int, width: int, height: int) -> tuple[int, int]:
    """Return the width and height in px to paint at: as many px as the painter was trained on, in the scene's shape."""
    aspect = (width / height) ** 0.5
    across, down = size_px * aspect, size_px / aspect
    return max(factor, factor * round(across / factor)), max(factor, factor * round(down / factor))


def resized(values: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Resize float32 of 0 or more, [H, W] or [H, W, C], to (width, height): means where it shrinks, else smooth."""
    if (values.shape[1], values.shape[0]) == size_px:
        return values
    shrinks = size_px[0] * size_px[1] < values.shape[0] * values.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(np.maximum(cv2.resize(values, size_px, interpolation=how), 0))
