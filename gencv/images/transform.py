"""The one transform from a picture to the pixels that a network takes.

It repeats what torchvision and open_clip do to a PIL picture, byte for byte, on arrays: uint8 goes to the device, and
the encoder scales it by `mean` and `std` there, at a quarter of the traffic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from PIL import Image, ImageOps

from gencv.core.errors import BadInput, UnknownName
from gencv.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Transform(Settings):
    """Resize, then crop the centre: uint8 RGB [H, W, 3] of any size -> uint8 [S, S, 3], S = size_px.

    "shortest" and "squash" are torchvision's Resize(resize_px) and Resize((resize_px, resize_px)) with CenterCrop;
    "longest" is open_clip's ResizeKeepRatio(longest=1) with CenterCropOrPad. Raises BadInput at a field out of range.
    """

    DECODE_FACTOR: ClassVar[float] = 3.0
    """Shorter side that a scaled JPEG decode leaves, as a multiple of resize_px: with it no measured embedding moved
    by more than a cosine of .999 (benchmarks/scaled_decode.py: the worst is .9996; at 2.0 it is .9961)."""

    size_px: int
    """Side of the result."""
    resize_px: int
    """Side that the resize aims at, before the crop; the crop fills up with `fill` where it is smaller than size_px."""
    resize: str = "shortest"
    """Which side becomes resize_px: a key of RESIZES."""
    interpolation: str = "bicubic"
    """A key of INTERPOLATIONS."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Per channel, of pixels in 0..1."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fill: int = 0
    """Grey level, 0 to 255, around a picture that does not fill the crop."""

    def __post_init__(self) -> None:
        for name in ("size_px", "resize_px"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.resize not in RESIZES:
            raise UnknownName("resize", self.resize, RESIZES)
        if self.interpolation not in INTERPOLATIONS:
            raise UnknownName("interpolation", self.interpolation, INTERPOLATIONS)
        for name in ("mean", "std"):  # JSON brings lists
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise BadInput(f"mean is {self.mean} and std {self.std}; each needs three numbers, those of std above 0.")
        if not 0 <= self.fill <= 255:
            raise BadInput(f"fill is {self.fill}; grey levels from 0 to 255 are accepted.")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.resize == "shortest":
            image = cut_strip(image)
        height, width = RESIZES[self.resize](image.shape[0], image.shape[1], self.resize_px)
        return crop_centre(resize(image, height, width, self.interpolation), self.size_px, self.fill)

    @property
    def decode_side_px(self) -> int:
        """The shorter side, in px, that a scaled JPEG decode must leave."""
        return math.ceil(self.DECODE_FACTOR * self.resize_px)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """Scale uint8 [B, S, S, 3] to float32 [B, 3, S, S]: the reference for what encoders do on their device."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


MAX_ASPECT = 20
"""Longer side over shorter side beyond which a picture is cut before a "shortest" resize."""


def resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Resize uint8 [H, W, 3] to [height, width, 3]; a picture that has the size already is returned itself.

    "bicubic" and "bilinear" are Pillow's filters, with antialiasing, as torchvision applies them to PIL pictures.
    "area" is OpenCV's mean over the pixels that shrink into one, two to four times as fast; it enlarges linearly.
    Raises UnknownName.
    """
    if interpolation not in INTERPOLATIONS:
        raise UnknownName("interpolation", interpolation, INTERPOLATIONS)
    if image.shape[:2] == (height, width):
        return image
    return INTERPOLATIONS[interpolation](image, height, width)


def fill(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return uint8 [height, width, 3] filled by the middle of a picture: what is too long for the shape is cut off."""
    return np.array(ImageOps.fit(Image.fromarray(image), (width, height), Image.Resampling.BICUBIC))


def cut_strip(image: np.ndarray) -> np.ndarray:
    """Cut the middle out of a picture that is longer than MAX_ASPECT: the crop drops the ends anyway.

    Without it a file of 91 bytes, 1 x 3,000 px, takes 1.9 GB to resize. Pictures of an ordinary shape are returned
    themselves.
    """
    height, width = image.shape[:2]
    longest = MAX_ASPECT * min(height, width)
    top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
    return image[top : top + longest, left : left + longest]


def crop_centre(image: np.ndarray, size_px: int, fill: int = 0) -> np.ndarray:
    """Cut [size_px, size_px, 3] from the middle of [H, W, 3], after filling up sides that are too short.

    Source of both roundings: torchvision.transforms.functional.center_crop.
    """
    height, width = image.shape[:2]
    down, across = max(size_px - height, 0), max(size_px - width, 0)
    if down or across:
        sides = ((down // 2, (down + 1) // 2), (across // 2, (across + 1) // 2), (0, 0))
        image = np.pad(image, sides, constant_values=fill)
        height, width = image.shape[:2]
    top, left = round((height - size_px) / 2), round((width - size_px) / 2)
    return np.ascontiguousarray(image[top : top + size_px, left : left + size_px])


def _shortest(height: int, width: int, side_px: int) -> tuple[int, int]:
    long = int(side_px * max(height, width) / min(height, width))  # cut off, not rounded, as torchvision does
    return (side_px, long) if height <= width else (long, side_px)


def _longest(height: int, width: int, side_px: int) -> tuple[int, int]:
    ratio = max(height, width) / side_px
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _squash(height: int, width: int, side_px: int) -> tuple[int, int]:
    return side_px, side_px


def _bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _area(image: np.ndarray, height: int, width: int) -> np.ndarray:
    # Two steps where one side shrinks and the other grows: INTER_AREA takes the mean only where nothing grows.
    inner = (min(width, image.shape[1]), min(height, image.shape[0]))
    return cv2.resize(cv2.resize(image, inner, interpolation=cv2.INTER_AREA), (width, height))


RESIZES: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "shortest": _shortest,
    "longest": _longest,
    "squash": _squash,
}
"""(height, width) after the resize, from height, width, and resize_px."""

INTERPOLATIONS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "bicubic": _bicubic,
    "bilinear": _bilinear,
    "area": _area,
}
"""Ways to resize, (image, height, width) -> image."""
