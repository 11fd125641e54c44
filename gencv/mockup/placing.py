"""A product on its place in a scene: resized once, and its own px from there on."""

from dataclasses import dataclass

import cv2
import numpy as np

from gencv.core.errors import BadInput
from gencv.images.light import as_light, to_coded, to_linear
from gencv.mockup.fidelity import VISIBLE, WHOLE
from gencv.mockup.scenes import PLACES, Scene

MARGIN = 0.03
"""Share of the picture that a named place leaves free around a product."""


@dataclass(frozen=True)
class Placed:
    """A product on the canvas."""

    colour: np.ndarray
    """uint8 RGB [H, W, 3], its own wherever alpha is above 0."""
    alpha: np.ndarray
    """float32 [H, W]; exactly 1 where the product is alone."""
    left: int
    top: int
    width: int
    height: int
    """The box that it fills, in px."""
    scale: float
    """Px of the picture for a px of the cutout."""

    @property
    def bottom(self) -> int:
        """The row below its foot."""
        return self.top + self.height

    def over(self, behind: np.ndarray) -> np.ndarray:
        """Lay it over light, float32 [H, W, 3]; returns uint8 RGB, and the product's own bytes where it is alone."""
        alpha = self.alpha[..., None]
        picture = to_coded(behind * (1 - alpha) + to_linear(self.colour) * alpha)
        alone = self.alpha >= 1
        picture[alone] = self.colour[alone]
        return picture


def place(layer: np.ndarray, scene: Scene) -> Placed:
    """Put a product, uint8 RGBA [h, w, 4], on its place in a scene.

    Raises BadInput where nothing of it can be seen, and where it would reach out of the picture.
    """
    if layer.dtype != np.uint8 or layer.ndim != 3 or layer.shape[2] != 4:
        raise BadInput(f"A product is uint8 RGBA [H, W, 4], not {layer.dtype} {list(layer.shape)}.")
    seen = layer[..., 3] > 255 * VISIBLE
    if not seen.any():
        raise BadInput("The product cannot be seen: all of it is transparent.")
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    part = layer[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = scene.size * min(scene.width / part.shape[1], scene.height / part.shape[0])
    width, height = (max(1, round(scale * side)) for side in (part.shape[1], part.shape[0]))
    ink = as_light(part, (min(width, part.shape[1]), min(height, part.shape[0])))
    if ink.shape[:2] != (height, width):
        ink = np.clip(cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    left, top = corner(scene, width, height)
    if left < 0 or top < 0 or left + width > scene.width or top + height > scene.height:
        raise BadInput(
            f"The product of {width} x {height} px would reach out of the scene {scene.name}, {scene.width} x "
            f"{scene.height} px, with its foot at {scene.place}; give another place or a smaller size."
        )
    alpha = np.where(ink[..., 3] >= WHOLE, 1, ink[..., 3])
    box = slice(top, top + height), slice(left, left + width)
    placed_alpha = np.zeros((scene.height, scene.width), np.float32)
    placed_alpha[box] = np.where(alpha > 1 / 255, alpha, 0)
    colour = np.zeros((scene.height, scene.width, 3), np.uint8)
    colour[box] = to_coded(ink[..., :3] / np.maximum(ink[..., 3:], 1e-4))
    return Placed(colour, placed_alpha, left, top, width, height, scale)


def corner(scene: Scene, width: int, height: int) -> tuple[int, int]:
    """Return the left and the top px of a product of that size; a named place gives way to the picture's border."""
    if not isinstance(scene.place, str):
        x, y = scene.place
        return round(x * scene.width - width / 2), round(y * scene.height - height)
    across, depth = PLACES[scene.place]
    left = across * scene.width - width / 2
    if scene.place == "centre":
        top = max((scene.height - height) / 2, (scene.horizon + 0.1 * (1 - scene.horizon)) * scene.height - height)
    else:
        top = (scene.horizon + depth * (1 - scene.horizon)) * scene.height - height
    return _within(left, width, scene.width), _within(top, height, scene.height)


def _within(start: float, length: int, whole: int) -> int:
    free = min(MARGIN * whole, (whole - length) / 2)
    return int(np.clip(round(start), np.ceil(free), np.floor(whole - length - free)))
