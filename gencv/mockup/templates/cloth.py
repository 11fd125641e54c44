"""Cloth seen from straight above or in front: what it lies on, its folds, their light, and how they move a print."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from gencv.mockup.studio import SIDE_PX, canvas, curve, noise, paint, soft, step

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


def behind(colour: str, shape: np.ndarray, *, lifted_px: float) -> np.ndarray:
    """Return a plain ground of some colour in light from the upper left, with the shadow of a shape [S, S] on it.

    lifted_px: how far the shadow falls; it is darker and sharper close by.
    """
    x, y = canvas()
    light = paint(colour) * (0.68 + 0.40 * step(x + y, 1900, -50) + 0.008 * noise(1, 5))[..., None]
    for share, dark in ((1.0, 0.35), (0.32, 0.28)):
        down, spread = round(lifted_px * share), 0.75 * lifted_px * share
        fallen = soft(np.roll(shape, (down, down * 2 // 3), axis=(0, 1)), spread)
        light *= (1 - dark * fallen)[..., None]
    return np.asarray(light)


def shade_of(shape: np.ndarray, height: np.ndarray, *, relief: float) -> np.ndarray:
    """Return how cloth of some height [S, S] in px is lit: its folds, and darker where its shape [S, S] curves away."""
    x, y = canvas()
    across = 0.89 + 0.12 * step(x + y, 1500, 450)
    return light_of(height, relief=relief) * across * (0.73 + 0.27 * step(soft(shape, 8), 0.45, 0.91))
