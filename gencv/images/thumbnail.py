"""Small pictures to look at: what an index keeps of each picture, and shows."""

import numpy as np

from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, fit

THUMBNAIL_PX = 256
"""Longer side, at most."""
THUMBNAIL_QUALITY = 80


def thumbnail(image: np.ndarray) -> bytes:
    """Return uint8 RGB [H, W, 3] as a JPEG whose longer side is THUMBNAIL_PX at most."""
    return encode_jpeg(fit(image, THUMBNAIL_PX), THUMBNAIL_QUALITY)


def smaller(data: bytes, longest_px: int) -> bytes:
    """Return a thumbnail with a longer side of `longest_px` at most; one that has it is returned as it is."""
    image = decode(data)
    small = fit(image, longest_px)
    return data if small.shape == image.shape else encode_jpeg(small, THUMBNAIL_QUALITY)
