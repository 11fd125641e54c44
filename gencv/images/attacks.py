"""Simulated presentation attacks: what a photograph looks like after it was printed, shown on a screen, or shot again.

They teach and test a spoof detector where real attacks are scarce; they stand for the optics of an attack, not for its
paper edges or hands. Strengths are moderate and drawn for each picture by its id; patterns have periods of some px, so
that they look alike at every size. All arithmetic is on float32 RGB [H, W, 3] in 0..1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np

from gencv.core.errors import BadImage, UnknownName
from gencv.core.seeds import rng_for
from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg

MIN_SIDE_PX = 32
"""The smallest picture that the patterns fit into."""


@dataclass(frozen=True)
class Attack:
    """One way of presenting a picture to a camera: (uint8 RGB [H, W, 3], rng) -> uint8 of the same size."""

    function: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    parameters: Any
    """The dataclass whose `draw(rng)` gives the parameters; it is the first thing that the function draws."""


@dataclass(frozen=True)
class PrintParameters:
    """A colour print, photographed."""

    period_px: float
    """Distance of the halftone dots."""
    angle_deg: float
    """How far the four screens are turned together, beyond their own angles."""
    dots: float
    """Share of the ink's swing that shows as dots; optics blur the rest away."""
    ink: float
    """0: ideal inks; 1: process inks on cheap paper, with their narrow gamut."""
    paper: tuple[float, float, float]
    """White point, R, G, B."""
    texture: float
    """Standard deviation of the paper's reflectance."""
    shade: float
    """Fall of the light from one edge to the other."""
    shade_deg: float
    blur_sigma_px: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        white, warmth = rng.uniform(0.90, 0.98), rng.uniform(-0.01, 0.04)
        return cls(
            period_px=rng.uniform(2.6, 4.5),
            angle_deg=rng.uniform(-12, 12),
            dots=rng.uniform(0.25, 0.55),
            ink=rng.uniform(0.35, 0.75),
            paper=(white, white - warmth / 2, white - warmth),
            texture=rng.uniform(0.006, 0.016),
            shade=rng.uniform(0.02, 0.12),
            shade_deg=rng.uniform(0, 360),
            blur_sigma_px=rng.uniform(0.5, 0.9),
        )


@dataclass(frozen=True)
class ReplayParameters:
    """A screen, photographed."""

    period_px: float
    """Distance of the screen's pixels in the photograph."""
    angle_deg: float
    """Turn of the screen against the camera."""
    grid: float
    """Swing of the pixel grid."""
    moire: float
    """Swing of the beat between the two grids."""
    beat_px: float
    """Period of the beat."""
    beat_deg: float
    """Its direction: a turn between two grids of nearly equal period turns their beat by a multiple of it."""
    gamma: float
    contrast: float
    black: float
    """Light of a black screen."""
    cast: tuple[float, float, float]
    """Gain of R, G, B."""
    glare: float
    """Light of the lamp that the glass reflects, at its middle."""
    glare_at: tuple[float, float]
    """Middle of the glare as a share of height and width."""
    glare_size: tuple[float, float]
    """Its radii as a share of the shorter side."""
    blur_sigma_px: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        blue = rng.uniform(0.0, 0.06)
        return cls(
            period_px=rng.uniform(2.3, 4.0),
            angle_deg=rng.uniform(-6, 6),
            grid=rng.uniform(0.05, 0.14),
            moire=rng.uniform(0.02, 0.06),
            beat_px=rng.uniform(14, 48),
            beat_deg=rng.uniform(0, 180),
            gamma=rng.uniform(0.85, 1.2),
            contrast=rng.uniform(0.82, 0.95),
            black=rng.uniform(0.02, 0.06),
            cast=(1 - blue, 1 - blue / 4, 1 + blue / 2),
            glare=rng.uniform(0.08, 0.4),
            glare_at=(rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.95)),
            glare_size=(rng.uniform(0.12, 0.35), rng.uniform(0.12, 0.5)),
            blur_sigma_px=rng.uniform(0.4, 0.8),
        )


@dataclass(frozen=True)
class RecaptureParameters:
    """A picture, photographed or passed on once more, without a medium that shows."""

    corners: tuple[tuple[float, float], ...]
    """How far the four corners move inwards, as shares of height and width: top left, top right, bottom right, bottom
    left. They never move out, so that no empty border gives the attack away."""
    blur_sigma_px: float
    shift_px: tuple[int, int]
    """Where the first JPEG's blocks begin, down and across: 1 to 7, so that the two grids never agree."""
    first_quality: int
    second_quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        return cls(
            corners=tuple((rng.uniform(0.003, 0.06), rng.uniform(0.003, 0.06)) for _ in range(4)),
            blur_sigma_px=rng.uniform(0.4, 0.9),
            shift_px=(int(rng.integers(1, 8)), int(rng.integers(1, 8))),
            first_quality=int(rng.integers(55, 86)),
            second_quality=int(rng.integers(75, 96)),
        )


def attack(image: np.ndarray, name: str, image_id: str, seed: int) -> np.ndarray:
    """Return uint8 RGB [H, W, 3] under one of ATTACKS, with what is drawn for this id: the same on every machine.

    Raises UnknownName, and BadImage "too_small" if a side is under MIN_SIDE_PX.
    """
    if name not in ATTACKS:
        raise UnknownName("attack", name, ATTACKS)
    if min(image.shape[:2]) < MIN_SIDE_PX:
        raise BadImage("too_small", f"{image.shape[1]}x{image.shape[0]}, limit {MIN_SIDE_PX} px")
    return ATTACKS[name].function(image, rng_for(seed, image_id, "attack", name))


def printed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print in four inks and photograph: halftone screens, a narrow gamut, paper, uneven light, a soft lens.

    Of the dots only the first harmonic is drawn: at periods of 3 to 5 px a lens leaves no other, it keeps the mean of
    every tone, and there is nothing to alias. Inks multiply, as light passes each of them.
    """
    drawn = PrintParameters.draw(rng)
    height, width = image.shape[:2]
    cmy = 1 - _unit(image)
    black = cmy.min(axis=2, keepdims=True) * 0.6  # some grey component replaced, as printers do to save ink
    inks = np.concatenate([(cmy - black) / (1 - black), black], axis=2)
    page = np.broadcast_to(np.array(drawn.paper, np.float32), image.shape).copy()
    for k, (angle_deg, ideal, real) in enumerate(_INKS):
        amount = inks[:, :, k]
        screen = _screen(height, width, drawn.period_px, angle_deg + drawn.angle_deg)
        amount = amount + drawn.dots * 2 * amount * (1 - amount) * screen
        passed = ((1 - drawn.ink) * np.array(ideal) + drawn.ink * np.array(real)).astype(np.float32)
        page *= 1 - amount[:, :, None] * (1 - passed)
    light = 1 + drawn.texture * _fibres(height, width, rng) + _slope(height, width, drawn.shade, drawn.shade_deg)
    page *= light[:, :, None]
    return _levels(cv2.GaussianBlur(page, (0, 0), drawn.blur_sigma_px), rng)


def replayed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show on a screen and photograph: the pixel grid in its three colours, moire, glare, and the screen's tones.

    The moire is the beat of the screen's grid with the sensor's: in a second direction, of a far longer period, a
    little out of phase from colour to colour, and bent by the lens.
    """
    drawn = ReplayParameters.draw(rng)
    height, width = image.shape[:2]
    shown = cv2.GaussianBlur(_unit(image), (0, 0), drawn.blur_sigma_px) ** np.float32(drawn.gamma)
    shown = drawn.black + np.float32(drawn.contrast) * shown
    rows = _wave(height, width, drawn.period_px, drawn.angle_deg + 90, 0.0)
    bend = _smooth_noise(height, width, max(height, width) / 4, rng) * 1.5
    for k in range(3):
        stripes = _wave(height, width, drawn.period_px, drawn.angle_deg, 2 * np.pi * k / 3)
        beat = np.cos(_phase(height, width, drawn.beat_px, drawn.beat_deg) + bend + 0.7 * k)
        beat = beat + 0.5 * np.cos(_phase(height, width, drawn.beat_px * 1.3, drawn.beat_deg + 80) - bend + 0.7 * k)
        shown[:, :, k] *= (1 + drawn.grid * (stripes + 0.5 * rows) + drawn.moire * beat) * np.float32(drawn.cast[k])
    glare = (drawn.glare * _spot(height, width, drawn.glare_at, drawn.glare_size))[:, :, None]
    return _levels(shown.clip(0, 1) * (1 - glare) + glare, rng)


def recaptured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph at a slight angle and compress twice, the second time on another grid of blocks."""
    drawn = RecaptureParameters.draw(rng)
    height, width = image.shape[:2]
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    extent = np.array([width - 1, height - 1], np.float32)
    moved = unit + (1 - 2 * unit) * np.array(drawn.corners, np.float32)[:, ::-1]
    warp = cv2.getPerspectiveTransform(moved * extent, unit * extent)
    seen = cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    seen = cv2.GaussianBlur(seen, (0, 0), drawn.blur_sigma_px)
    down, across = drawn.shift_px
    framed = cv2.copyMakeBorder(seen, 8 - down, 0, 8 - across, 0, cv2.BORDER_REFLECT_101)
    once = decode(encode_jpeg(framed, drawn.first_quality))[8 - down :, 8 - across :]
    return decode(encode_jpeg(once, drawn.second_quality))


def _unit(image: np.ndarray) -> np.ndarray:
    unit: np.ndarray = image.astype(np.float32) / np.float32(255)
    return unit


def _levels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the camera's own noise and return uint8."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    levels: np.ndarray = (image * 255 + noise * np.float32(1.2)).round().clip(0, 255).astype(np.uint8)
    return levels


def _phase(height: int, width: int, period_px: float, angle_deg: float) -> np.ndarray:
    """Phase float32 [H, W], in radians, of a plane wave that runs along angle_deg."""
    angle, step = np.deg2rad(angle_deg), 2 * np.pi / period_px
    across = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) * step)
    down = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle) * step)
    phase: np.ndarray = down[:, None] + across[None, :]
    return phase


def _wave(height: int, width: int, period_px: float, angle_deg: float, shift: float) -> np.ndarray:
    wave: np.ndarray = np.cos(_phase(height, width, period_px, angle_deg) + np.float32(shift))
    return wave


def _screen(height: int, width: int, period_px: float, angle_deg: float) -> np.ndarray:
    """A dot screen float32 [H, W] in -1..1, of mean 0."""
    across = _wave(height, width, period_px, angle_deg, 0.0)
    screen: np.ndarray = (across + _wave(height, width, period_px, angle_deg + 90, 0.0)) / np.float32(2)
    return screen


def _smooth_noise(height: int, width: int, scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise float32 [H, W] of standard deviation near 1 that changes over scale_px."""
    coarse = (max(2, round(height / scale_px) + 2), max(2, round(width / scale_px) + 2))
    noise = rng.standard_normal(coarse, dtype=np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def _fibres(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A paper's texture float32 [H, W] of standard deviation near 1: fine grain on a cloudy ground."""
    fine = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), 0.8)
    return fine * np.float32(2) + _smooth_noise(height, width, 9.0, rng) * np.float32(0.7)


def _slope(height: int, width: int, fall: float, angle_deg: float) -> np.ndarray:
    """Uneven light float32 [H, W]: from fall / 2 on one side to -fall / 2 on the other."""
    angle = np.deg2rad(angle_deg)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(angle))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(angle))
    return np.float32(fall) * (down[:, None] + across[None, :])


def _spot(height: int, width: int, at: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """A soft spot float32 [H, W] in 0..1: Gaussian, with a flatter middle than one."""
    side = min(height, width)
    down = (np.arange(height, dtype=np.float32) - at[0] * height) / np.float32(size[0] * side)
    across = (np.arange(width, dtype=np.float32) - at[1] * width) / np.float32(size[1] * side)
    spot: np.ndarray = np.exp(-((down[:, None] ** 2 + across[None, :] ** 2) ** np.float32(1.5)))
    return spot


_INKS = (
    (15.0, (0.0, 1.0, 1.0), (0.10, 0.62, 0.86)),
    (75.0, (1.0, 0.0, 1.0), (0.85, 0.14, 0.48)),
    (0.0, (1.0, 1.0, 0.0), (0.98, 0.92, 0.16)),
    (45.0, (0.0, 0.0, 0.0), (0.13, 0.12, 0.13)),
)
"""Cyan, magenta, yellow, black: the screen's angle, and the R, G, B that solid ink lets pass, ideal ink and real."""

ATTACKS: dict[str, Attack] = {
    "print": Attack(printed, PrintParameters),
    "replay": Attack(replayed, ReplayParameters),
    "recapture": Attack(recaptured, RecaptureParameters),
}
"""Every simulated attack, by the family that its pictures belong to."""
