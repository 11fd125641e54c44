"""What a picture looks like after it was saved and sent once more: cheap, and the same every time."""

from collections.abc import Callable

import numpy as np

from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, fit

MAX_SIDE_PX = 1024
"""Longer side of what is encoded again, so that a large photograph costs little more than a small one."""


def reencodings(image: np.ndarray) -> list[np.ndarray]:
    """Return uint8 RGB [H, W, 3] as each of REENCODINGS makes it; sizes differ."""
    return [make(image) for make in REENCODINGS.values()]


def _saved(image: np.ndarray, longest_px: int, quality: int) -> np.ndarray:
    return decode(encode_jpeg(fit(image, longest_px), quality))


REENCODINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved": lambda image: _saved(image, MAX_SIDE_PX, 75),
    "sent": lambda image: _saved(image, 768, 60),
    "shrunk": lambda image: _saved(image, max(1, min(MAX_SIDE_PX, max(image.shape[:2])) * 3 // 4), 90),
}
"""Saved as JPEG 75; what a messenger makes of it, which is the web tier of the protocols; at three quarters."""
