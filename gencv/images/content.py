"""What a picture looks like on average, once its file and its size are set aside.

These facts differ where two classes show different things, as portraits and landscapes do. No preprocessing mends
that; only other pictures do.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from gencv.images.degrade import encode_jpeg
from gencv.images.transform import resize

REFERENCE_SIDE_PX = 224
REFERENCE_QUALITY = 80
"""The size and quality at which pictures are compared: those that `preprocess` stores."""


@dataclass(frozen=True, kw_only=True)
class ContentFacts:
    """Facts of one picture at REFERENCE_SIDE_PX squared."""

    mean_luma: float
    """0 to 255."""
    contrast: float
    """Standard deviation of luma, in levels."""
    colourfulness: float
    """By `colourfulness`."""
    reference_bytes: int
    """Bytes as a JPEG of REFERENCE_QUALITY: how much detail and noise there is."""


def content_facts(image: np.ndarray) -> ContentFacts:
    """Measure uint8 RGB [H, W, 3] of any size; luma is that of ITU-R BT.601, as JPEG has it."""
    small = resize(image, REFERENCE_SIDE_PX, REFERENCE_SIDE_PX, "area")
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return ContentFacts(
        mean_luma=float(luma.mean()),
        contrast=float(luma.std()),
        colourfulness=colourfulness(small),
        reference_bytes=len(encode_jpeg(small, REFERENCE_QUALITY)),
    )


def colourfulness(image: np.ndarray) -> float:
    """Return how colourful uint8 RGB [H, W, 3] looks: 0 for grey, 33 for moderately, 109 for extremely colourful.

    Spread and mean of the opponent colours red - green and yellow - blue.
    Source: Hasler and Suesstrunk, Measuring colorfulness in natural images, SPIE 5007, 2003; their metric M3.
    """
    red, green, blue = np.moveaxis(image.astype(np.float64), 2, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
