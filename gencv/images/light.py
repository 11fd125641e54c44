"""Between the numbers of a file and amounts of light: what is mixed, shaded, or shrunk in light looks as in life.

The coding is that of sRGB (IEC 61966-2-1). A mean over coded values is too dark at every edge.
"""

import numpy as np


def to_linear(coded: np.ndarray) -> np.ndarray:
    """Return the light of uint8 values of sRGB, of any shape, as float32 in 0 to 1."""
    return np.asarray(_LINEAR[coded])


def to_coded(light: np.ndarray) -> np.ndarray:
    """Return light, float of any shape, as uint8 values of sRGB; what is below 0 or above 1 is clipped."""
    light = np.clip(light, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return np.asarray((255 * coded).round().astype(np.uint8))


_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""The light of each of 256 values."""
