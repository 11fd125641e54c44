"""Drawing with light: a canvas, paint, soft shapes and lines, grain; for the drawn templates, and behind a product.

Pictures are float32 RGB [S, S, 3] of light, S = SIDE_PX, white paper at 1. Places are px with (0, 0) at the top left
corner of the picture. What is random is drawn from a fixed seed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from gencv.images.light import to_linear

SIDE_PX = 1024
FINE = 4
"""Shapes are drawn so many times larger, and shrunk: antialiased."""


def canvas() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the middle of every px, float32 [S, S]."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32) + np.float32(0.5)
    return x, y


def paint(code: str) -> np.ndarray:
    """Return the light of a colour such as "#e8d9c5", float32 [3]."""
    return to_linear(np.frombuffer(bytes.fromhex(code[1:]), np.uint8))


def over(under: np.ndarray, colour: Any, alpha: np.ndarray) -> np.ndarray:
    """Lay a colour, three numbers or [S, S, 3], over a picture by alpha [S, S]."""
    return np.asarray(under + (np.asarray(colour, np.float32) - under) * alpha[..., None].astype(np.float32))


def step(values: np.ndarray, start: Any, end: Any) -> np.ndarray:
    """Rise smoothly from 0 at `start` to 1 at `end`, or fall where end is before start."""
    t = np.clip((values - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def soft(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigma_px))


def covered(distance: np.ndarray) -> np.ndarray:
    """Return how much of a px lies inside of a shape, from its signed distance in px, which is below 0 inside."""
    return np.asarray(np.clip(0.5 - distance, 0, 1))


def rounded(x: np.ndarray, y: np.ndarray, width: float, height: float, radius: float) -> np.ndarray:
    """Return the signed distance to a rectangle with round corners around (0, 0)."""
    across, down = np.abs(x) - width / 2 + radius, np.abs(y) - height / 2 + radius
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0) - radius)


def filled(points: np.ndarray) -> np.ndarray:
    """Return a polygon [N, 2] in px as alpha [S, S], antialiased."""
    fine = np.zeros((SIDE_PX * FINE, SIDE_PX * FINE), np.uint8)
    cv2.fillPoly(fine, [np.round((np.asarray(points) * FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return np.asarray(cv2.resize(fine, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)


def line(start: Any, end: Any, width_px: float) -> np.ndarray:
    """Return a straight line as alpha [S, S]."""
    x, y = canvas()
    (ax, ay), (bx, by) = start, end
    t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
    return covered(np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) - width_px / 2)


def curve(points: Sequence[Sequence[float]], *, closed: bool = False, num: int = 24) -> np.ndarray:
    """Return a smooth line [N, 2] through some points (Catmull-Rom), `num` places from one to the next."""
    given = np.asarray(points, np.float64)
    ends = given[[-1]], given[[0, 1]]
    padded = np.concatenate([ends[0], given, ends[1]] if closed else [given[:1], given, given[-1:]])
    t = np.linspace(0, 1, num, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.concatenate([*pieces, *([] if closed else [given[-1:]])])


def away_from(way: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how far every px is from a line [N, 2], and from its nearest place along x and y, [S, S] each.

    Beyond reach_px it is infinite, and not looked for.
    """
    nearest = np.full((SIDE_PX, SIDE_PX), np.inf, np.float32)
    aside, below = np.zeros_like(nearest), np.zeros_like(nearest)
    x, y = canvas()
    for a, b in pairwise(way):
        left, top = np.maximum(np.floor(np.minimum(a, b) - reach_px), 0).astype(int)
        right, bottom = np.ceil(np.maximum(a, b) + reach_px).astype(int)
        part = (slice(top, bottom), slice(left, right))
        along = b - a
        t = np.clip(((x[part] - a[0]) * along[0] + (y[part] - a[1]) * along[1]) / (along @ along + 1e-9), 0, 1)
        dx, dy = x[part] - a[0] - t * along[0], y[part] - a[1] - t * along[1]
        away = np.hypot(dx, dy)
        closer = away < nearest[part]
        for known, new in ((nearest, away), (aside, dx), (below, dy)):
            known[part][closer] = new[closer]
    return nearest, aside, below


def softened(alpha: np.ndarray, radius_px: float) -> np.ndarray:
    """Return a shape with its corners rounded, as those of cloth are."""
    return step(soft(alpha, radius_px), 0.42, 0.58)


def noise(seed: int, size_px: float, *, stretch: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Return smooth noise [S, S] of about standard deviation 1 whose blobs are so many px large, times the stretch."""
    rng = np.random.default_rng(seed)
    across, down = (max(2, round(SIDE_PX / (size_px * s)) + 3) for s in stretch)
    small = rng.standard_normal((down, across)).astype(np.float32)
    large = cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / (large.std() + 1e-9))


def develop(light: np.ndarray, *, grain: float = 0.6) -> np.ndarray:
    """Return the picture of some light, uint8 [S, S, 3]; grain, in levels of 8 bits, keeps gradients from banding."""
    # Not images.light.to_coded: rounded before the grain, bands would stay.
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
    shaken = 255 * coded + grain * np.random.default_rng(7).standard_normal(light.shape[:2])[..., None]
    return np.asarray(shaken.round().clip(0, 255).astype(np.uint8))
