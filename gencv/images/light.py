"""Between the numbers of a file and amounts of light: what is mixed, shaded, or shrunk in light looks as in life.

The coding is that of sRGB (IEC 61966-2-1). A mean over coded values is too dark at every edge.
"""

import cv2
import numpy as np

STRIP_ROWS = 256
"""Rows of a picture that are turned to light at a time: light takes sixteen bytes a px where a file has three."""


def to_linear(coded: np.ndarray) -> np.ndarray:
    """Return the light of uint8 values of sRGB, of any shape, as float32 in 0 to 1."""
    return np.asarray(_LINEAR[coded])


def to_coded(light: np.ndarray) -> np.ndarray:
    """Return light, float of any shape, as uint8 values of sRGB; what is below 0 or above 1 is clipped."""
    light = np.clip(light, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return np.asarray((255 * coded).round().astype(np.uint8))


def as_light(layer: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Return a picture, uint8 RGB [H, W, 3] or RGBA [H, W, 4], as light times alpha and alpha, float32 [h, w, 4].

    size_px: width and height, at most the picture's own. A px is the mean over what it covers, so that one of 100
    megapixels is never in memory as light.
    """
    width, height = size_px
    whole = layer.shape[0]
    ratio = whole / height
    found = np.zeros((height, width, 4), np.float32)
    for top in range(0, whole, STRIP_ROWS):
        strip = _premultiplied(layer[top : top + STRIP_ROWS])
        if width != layer.shape[1]:
            strip = cv2.resize(strip, (width, len(strip)), interpolation=cv2.INTER_AREA)
        first, last = int(top / ratio), min(height, int(np.ceil((top + len(strip)) / ratio)))
        ends = np.arange(first, last + 1) * ratio
        rows = np.arange(top, top + len(strip))
        shared = np.minimum(ends[1:, None], rows + 1) - np.maximum(ends[:-1, None], rows)
        weights = (np.clip(shared, 0, 1) / ratio).astype(np.float32)
        found[first:last] += (weights @ strip.reshape(len(strip), -1)).reshape(last - first, width, 4)
    return found


def _premultiplied(layer: np.ndarray) -> np.ndarray:
    colour = to_linear(layer[..., :3])
    if layer.shape[2] == 3:
        return np.dstack([colour, np.ones(layer.shape[:2], np.float32)])
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.concatenate([colour * alpha, alpha], axis=2)


_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""The light of each of 256 values."""
