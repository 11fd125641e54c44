"""What a picture looks like after it was saved and sent once more: cheap, and the same every time."""

from collections.abc import Callable

import cv2
import numpy as np

from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg

MAX_SIDE_PX = 1024
"""Longer side of what is encoded again, so that a large photograph costs no more than a small one."""


def reencodings(image: np.ndarray) -> list[np.ndarray]:
    """Return uint8 RGB [H, W, 3] as each of REENCODINGS makes it; sizes differ."""
    small = fit_within(image, MAX_SIDE_PX)
    return [make(small) for make in REENCODINGS.values()]


def fit_within(image: np.ndarray, side_px: int) -> np.ndarray:
    """Shrink a picture whose longer side is above side_px; another one is returned itself."""
    scale = side_px / max(image.shape[:2])
    return image if scale >= 1 else _scaled(image, scale)


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _saved(image: np.ndarray, quality: int) -> np.ndarray:
    return decode(encode_jpeg(image, quality))


REENCODINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved": lambda image: _saved(image, 75),
    "sent": lambda image: _saved(fit_within(image, 768), 60),
    "shrunk": lambda image: _saved(_scaled(image, 0.75), 90),
}
"""A JPEG of quality 75; what a messenger makes of a picture (the web tier of the protocols); a smaller copy."""
