"""Make pictures worse in the ways that the world does: a compression, a blur, a resize, noise, a crop, a screenshot.

Each function under DEGRADATIONS takes (image, strength, rng) and returns a picture; sweeps, plots, and tests follow the
dict. The functions with a longer name of parameters are for callers that know what they want.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from gencv.core.errors import BadInput
from gencv.images.decode import decode
from gencv.images.transform import resize


@dataclass(frozen=True)
class Degradation:
    """One way of getting worse: uint8 RGB [H, W, 3] in and out, at several strengths, mild to severe."""

    function: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    strengths: tuple[float, ...]
    unit: str
    """What a strength is."""


def encode_jpeg(image: np.ndarray, quality: int, subsampling: str = "420") -> bytes:
    """Encode uint8 RGB [H, W, 3] as baseline JPEG of a quality from 1 to 100, by libjpeg-turbo's accurate DCT."""
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", subsampling, fastdct=False)
    return data


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 RGB [H, W, 3] as PNG, without loss."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def encode_webp(image: np.ndarray, quality: int) -> bytes:
    """Encode uint8 RGB [H, W, 3] as lossy WebP of a quality from 1 to 100. Raises BadInput above 16,383 px a side."""
    if max(image.shape[:2]) > 16_383:
        raise BadInput(f"A picture of {image.shape[1]}x{image.shape[0]} px; WebP holds 16383 px a side at most.")
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", quality=quality)
    return stream.getvalue()


def blur(image: np.ndarray, sigma_px: float, kernel_px: int) -> np.ndarray:
    """Blur uint8 [H, W, 3] with a Gaussian by OpenCV's rules, reflected at the border.

    sigma_px: 0 takes it from the kernel, 0.3 * ((kernel_px - 1) * 0.5 - 1) + 0.8, so 1.1 px for 5; up to 7 px OpenCV
    then uses the binomial kernel near that Gaussian (1 4 6 4 1 for 5). kernel_px: odd; 0 takes it from the sigma.
    Raises BadInput if both are 0 or the kernel is even. Source: OpenCV's getGaussianKernel.
    """
    if sigma_px < 0 or kernel_px < 0 or (kernel_px and kernel_px % 2 == 0) or not (sigma_px or kernel_px):
        raise BadInput(
            f"A blur of sigma {sigma_px} px and kernel {kernel_px} px; the kernel is odd, one of them above 0."
        )
    return cv2.GaussianBlur(image, (kernel_px, kernel_px), sigma_px)


def jpeg(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG (4:2:0) of that quality and decode again."""
    return decode(encode_jpeg(image, round(strength)))


def webp(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Compress as WebP of that quality and decode again."""
    return decode(encode_webp(image, round(strength)))


def gaussian_blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by that sigma in px, with as large a kernel as it needs."""
    return blur(image, strength, 0)


def shrink(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Resize to that fraction of either side and back (bicubic): the size stays, the detail goes."""
    height, width = image.shape[:2]
    small = resize(image, max(1, round(height * strength)), max(1, round(width * strength)), "bicubic")
    return resize(small, height, width, "bicubic")


def noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of that standard deviation, in levels of 8 bits, to every channel on its own."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    noisy: np.ndarray = (image + np.float32(strength) * grain).round().clip(0, 255).astype(np.uint8)
    return noisy


def crop(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Keep that fraction of either side, at a random place; the picture gets smaller."""
    height, width = image.shape[:2]
    kept_height, kept_width = max(1, round(height * strength)), max(1, round(width * strength))
    top, left = rng.integers(height - kept_height + 1), rng.integers(width - kept_width + 1)
    return np.ascontiguousarray(image[top : top + kept_height, left : left + kept_width])


def screenshot(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Show the picture at that fraction of its size in a window, capture the screen, and cut the picture out again.

    It is shown on SCREEN_PX at most. The screen bends gamma by up to 10 % and each colour by up to 3 %, the capture is
    a PNG or a WebP of quality 80 to 95, and the cut is off by up to 2 px on each side, so that some frame may stay.
    """
    scale = min(strength, SCREEN_PX / max(image.shape[:2]))
    shown = downscale(image, scale, rng)
    height, width = shown.shape[:2]
    frame, desktop, gamma = int(rng.choice((28, 200, 242))), rng.integers(0, 256, 3), rng.uniform(0.9, 1.1)
    gains, quality, is_png = rng.uniform(0.97, 1.03, 3), int(rng.integers(80, 96)), rng.random() < 0.5
    off = rng.integers(-2, 3, 4)
    screen: np.ndarray = np.tile(desktop.astype(np.uint8), (height + 96, width + 64, 1))
    screen[16 : height + 64, 16 : width + 48] = frame  # a title bar of 32 px, a frame of 16
    screen[48 : height + 48, 32 : width + 32] = shown
    levels = 255 * (np.arange(256) / 255)[:, None] ** gamma * gains
    screen = cv2.LUT(screen, levels.round().clip(0, 255).astype(np.uint8)[None])
    screen = screen if is_png else decode(encode_webp(screen, quality))
    inwards = np.minimum((2, 2, 2, 2), np.repeat((height, width), 2) // 4)  # a tiny picture is not cut away
    top, bottom, left, right = np.clip(off, -2, inwards)
    return np.ascontiguousarray(screen[48 + top : height + 48 - bottom, 32 + left : width + 32 - right])


def downscale(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Resize to that fraction of either side (bicubic); the picture gets smaller, as on a page that shows it so."""
    height, width = image.shape[:2]
    return resize(image, max(1, round(height * strength)), max(1, round(width * strength)), "bicubic")


def fit(image: np.ndarray, longest_px: int) -> np.ndarray:
    """Resize so that the longer side is longest_px at most (bicubic); a picture that fits is returned itself."""
    height, width = image.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)), "bicubic")


def chain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take 2 to 5 steps of CHAIN, each once at most, their order and strengths drawn.

    Source: after RealChain, arXiv:2512.20937, whose 50 chains are such; here every picture draws its own.
    """
    names = rng.choice(list(CHAIN), int(rng.integers(2, 6)), replace=False)
    for name in names:
        function, low, high = CHAIN[name]
        image = function(image, rng.uniform(low, high), rng)
    return image


SCREEN_PX = 1_920
"""The longer side of the largest picture that a screen shows whole."""

CHAIN: dict[str, tuple[Callable[[np.ndarray, float, np.random.Generator], np.ndarray], float, float]] = {
    "resize": (downscale, 0.5, 1.0),
    "webp": (webp, 50, 95),
    "jpeg": (jpeg, 40, 95),
    "blur": (gaussian_blur, 0.3, 1.2),
    "crop": (crop, 0.7, 0.95),
    "screenshot": (screenshot, 0.6, 1.0),
}
"""The steps of a chain, and the range that their strengths are drawn from, evenly."""

DEGRADATIONS: dict[str, Degradation] = {
    "jpeg": Degradation(jpeg, strengths=(95, 75, 50, 30), unit="quality"),
    "webp": Degradation(webp, strengths=(95, 75, 50, 30), unit="quality"),
    "blur": Degradation(gaussian_blur, strengths=(0.5, 1.0, 2.0), unit="sigma_px"),
    "resize": Degradation(shrink, strengths=(0.75, 0.5, 0.25), unit="scale"),
    "noise": Degradation(noise, strengths=(2, 5, 10), unit="sigma_levels"),
    "crop": Degradation(crop, strengths=(0.9, 0.7, 0.5), unit="fraction_kept"),
    "screenshot": Degradation(screenshot, strengths=(0.9, 0.7, 0.5), unit="display_scale"),
}
"""Every degradation that a robustness sweep knows, with the strengths at which it is run."""
