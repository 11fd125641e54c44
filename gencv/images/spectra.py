"""Power spectra of pictures: what upsampling leaves behind is a pattern, and a pattern is a peak.

Two signals of a picture are looked at. Its *luma* keeps the slope of natural pictures and shows a lack or an excess of
fine detail (Durall et al. 2020, arXiv:2003.01826; Frank et al. 2020, arXiv:2003.08685). Its *residual* sets the content
aside and shows the peaks of a repeated pattern (Marra et al. 2019, arXiv:1812.11842; Corvi et al. 2023,
arXiv:2211.00680). They take what a trained denoiser removes; a median of 3 x 3 px removes noise too, keeps edges, and
needs no weights.

A square from the middle, never resized, since a resize is a filter. A Hann window takes away the cross that the borders
of a square would draw.
"""

from collections.abc import Callable

import cv2
import numpy as np

MIN_SIDE_PX, MAX_SIDE_PX = 32, 1024
FLOOR = 1e-4
"""Added to the power, in squared levels: a flat picture has a logarithm too. Rounding to bytes alone leaves .08."""


def log_power(image: np.ndarray, signal: str, side_px: int) -> np.ndarray | None:
    """Return the power spectrum of the middle of uint8 RGB [H, W, 3] in dB: float64 [S, S], S = side_px.

    Zero frequency lies at [S/2, S/2]. White noise of variance v lies at 10 log10(v) - 2.5 at every frequency, as the
    mean of a logarithm is less than the logarithm of a mean. signal: a key of SIGNALS. None for a picture with a side
    under S.
    """
    height, width = image.shape[:2]
    if min(height, width) < side_px:
        return None
    top, left = (height - side_px) // 2, (width - side_px) // 2
    square = SIGNALS[signal](image[top : top + side_px, left : left + side_px])
    return spectrum_of(square)


def spectrum_of(square: np.ndarray) -> np.ndarray:
    """Return the power spectrum of a real signal [S, S] in dB, float64 [S, S], the zero frequency in the middle."""
    window = np.outer(hann(len(square)), hann(len(square)))
    spectrum = np.fft.fftshift(np.fft.fft2((square - square.mean()) * window))
    return np.asarray(10 * np.log10(np.abs(spectrum) ** 2 / (window**2).sum() + FLOOR))


def hann(side: int) -> np.ndarray:
    """Return the periodic Hann window [S], which begins at 0."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side))


def radial_profile(spectrum: np.ndarray) -> np.ndarray:
    """Average a spectrum [S, S], zero frequency at [S/2, S/2], over rings of equal frequency: float64 [S/2 + 1].

    Ring k holds the places whose distance from the middle rounds to k: k / S cycles a pixel. Corners beyond half a
    cycle are dropped, as they hold diagonals alone. Rings are hard, without interpolation.
    """
    side = len(spectrum)
    away = np.arange(side) - side // 2
    ring = np.rint(np.hypot(away[:, None], away[None, :])).astype(int)
    inside = ring <= side // 2
    sums = np.bincount(ring[inside], spectrum[inside], side // 2 + 1)
    return np.asarray(sums / np.bincount(ring[inside], minlength=side // 2 + 1))


def luma_of(image: np.ndarray) -> np.ndarray:
    """uint8 RGB [H, W, 3] -> float64 [H, W] by ITU-R BT.601, in levels and without rounding."""
    return np.asarray(image.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def residual_of(image: np.ndarray) -> np.ndarray:
    """Luma less its median of 3 x 3 px: noise, fine texture, and what a generator left there."""
    luma = luma_of(image)
    return np.asarray(luma - cv2.medianBlur(luma.astype(np.float32), 3))


SIGNALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"luma": luma_of, "residual": residual_of}
"""What of a picture is transformed: uint8 RGB [S, S, 3] -> float [S, S]."""
