"""Print an artwork onto a template: warped, bent, shaded, and lit, all in linear light.

What is printed is opaque ink: where the artwork is transparent the blank thing shows. The print's light is multiplied
by the shading, and the highlight is screened over it, since gloss lies on top of ink. Edges and fine detail are
antialiased by SAMPLES x SAMPLES samples a px.
"""

from collections.abc import Callable

import cv2
import numpy as np

from gencv.core.errors import BadInput, UnknownName
from gencv.images.light import as_light, to_coded, to_linear
from gencv.mockup.fidelity import Fidelity, compare_print
from gencv.mockup.surface import locate, size_of
from gencv.mockup.template import MM_PER_INCH, Template

SAMPLES = 4
"""Samples a px along either side."""
STRIP_ROWS, STRIP_COLUMNS = 128, 2048
"""Rows and columns of a picture that are sampled at a time: 17 MB of an array of samples, and several of them. OpenCV
warps to no more than 32,766 columns."""
MAX_INK_PX = 16384
"""Longest side of the ink."""
Box = tuple[slice, slice]
"""A part of a picture: rows, columns."""


def render(template: Template, artwork: np.ndarray, *, fit: str = "cover") -> tuple[np.ndarray, Fidelity]:
    """Print an artwork, uint8 RGB [h, w, 3] or RGBA [h, w, 4], onto a template.

    fit: a key of FITS. Returns uint8 RGB [H, W, 3] of the photo's size, and how faithful it is. Raises BadInput for
    another kind of array, UnknownName for another fit.
    """
    if artwork.dtype != np.uint8 or artwork.ndim != 3 or artwork.shape[2] not in (3, 4) or 0 in artwork.shape:
        raise BadInput(f"An artwork is uint8 [H, W, 3] or [H, W, 4], not {artwork.dtype} {list(artwork.shape)}.")
    if fit not in FITS:
        raise UnknownName("fit", fit, FITS)
    dpi = MM_PER_INCH / _scale(template, artwork, fit)
    artwork = _shown(template, artwork, fit)
    shares = _shares(template, artwork, fit)
    ink = _as_ink(template, artwork, shares)
    box = _box(template)
    layer = _warp(template, ink, shares, box, displaced=True) * template.mask[box][..., None]
    shade, gloss = template.shading[box][..., None], template.highlight[box][..., None]
    colour, alpha = layer[..., :3], layer[..., 3:]
    lit = alpha - (alpha - np.minimum(colour * shade, alpha)) * (1 - gloss)
    picture = template.photo.copy()
    # Untouched px keep their bytes: a way through light and back would be the same, but need not be trusted.
    touched = alpha[..., 0] > 0
    under = to_linear(picture[box])
    picture[box][touched] = to_coded(under * (1 - alpha) + lit)[touched]
    flat = layer
    if template.displacement[box].any():
        flat = _warp(template, ink, shares, box, displaced=False) * template.mask[box][..., None]
    ideal = to_coded(under * (1 - flat[..., 3:]) + flat[..., :3])
    printed = np.minimum(alpha[..., 0], flat[..., 3])
    area = template.mask[box] * _area_of(template, box)
    return picture, compare_print(
        picture[box],
        ideal,
        printed,
        coverage=float(alpha[..., 0].sum() / max(area.sum(), 1e-9)),
        dpi=dpi,
    )


def _contain(ratio_x: float, ratio_y: float) -> float:
    return min(ratio_x, ratio_y)


def _cover(ratio_x: float, ratio_y: float) -> float:
    return max(ratio_x, ratio_y)


FITS: dict[str, Callable[[float, float], float]] = {"contain": _contain, "cover": _cover}
"""How an artwork of another shape fills the print: whole with a margin, or all over with its ends cut off. Each returns
the scale out of those that would make its width and its height fit."""


def _scale(template: Template, artwork: np.ndarray, fit: str) -> float:
    """Return mm of print for a px of artwork."""
    width_mm, height_mm = template.print_mm
    return FITS[fit](width_mm / artwork.shape[1], height_mm / artwork.shape[0])


def _shares(template: Template, artwork: np.ndarray, fit: str) -> tuple[float, float]:
    """Return the artwork's width and height as shares of the print's: 1 at most for contain, at least for cover."""
    scale = _scale(template, artwork, fit)
    return artwork.shape[1] * scale / template.print_mm[0], artwork.shape[0] * scale / template.print_mm[1]


def _shown(template: Template, artwork: np.ndarray, fit: str) -> np.ndarray:
    """Return the middle of an artwork that is seen of it, to the whole px."""
    height, width = artwork.shape[:2]
    across, down = _shares(template, artwork, fit)
    left, top = (int(max(0, side - side / share) / 2) for side, share in ((width, across), (height, down)))
    return artwork[top : height - top, left : width - left]


def _as_ink(template: Template, artwork: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Return the artwork as light times alpha, float32 [h, w, 4], shrunk to what the samples can show."""
    sides = (SAMPLES * side * share for side, share in zip(size_of(template.surface), shares, strict=True))
    have_px = artwork.shape[1], artwork.shape[0]
    width, height = (max(1, min(have, round(side), MAX_INK_PX)) for have, side in zip(have_px, sides, strict=True))
    return as_light(artwork, (width, height))


def _box(template: Template) -> Box:
    """Return the part of the picture that a print may touch: rows, columns."""
    height, width = template.mask.shape
    margin = np.ceil(np.abs(template.displacement).max()) + 1
    low = np.maximum(np.floor(template.surface.min(axis=(0, 1)) - margin), 0).astype(int)
    high = np.minimum(np.ceil(template.surface.max(axis=(0, 1)) + margin), (width, height)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _warp(template: Template, ink: np.ndarray, shares: tuple[float, float], box: Box, *, displaced: bool) -> np.ndarray:
    """Return the print as it lies in a box, light times alpha, float32 [H, W, 4]."""
    height, width = ink.shape[:2]

    def sample(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        inside = _is_inside(u, v)
        u, v = (u - 0.5) / shares[0] + 0.5, (v - 0.5) / shares[1] + 0.5
        inside &= _is_inside(u, v)
        across, down = (u * width - 0.5).astype(np.float32), (v * height - 0.5).astype(np.float32)
        # The border is repeated, and cut where it ends: a px of ink that faded out could be many of the picture.
        found = cv2.remap(ink, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        # Cubic is sharper than linear, and may overshoot: light is at least 0, and that of ink at most its alpha.
        found = np.clip(found, 0, np.clip(found[..., 3:], 0, 1))
        return np.asarray(found * inside[..., None])

    return _mean_of_samples(template, box, sample, displaced=displaced)


def _area_of(template: Template, box: Box) -> np.ndarray:
    """Return which share of every px of a box is print area, float32 [H, W]."""
    return _mean_of_samples(template, box, lambda u, v: _is_inside(u, v).astype(np.float32), displaced=False)


def _mean_of_samples(
    template: Template, box: Box, sample: Callable[[np.ndarray, np.ndarray], np.ndarray], *, displaced: bool
) -> np.ndarray:
    """Sample something by u and v, and return its mean over each px of a box; a part at a time, to spare memory."""
    find = locate(template.surface)
    moves = displaced and bool(template.displacement[box].any())

    def mean(rows: range, columns: range) -> np.ndarray:
        y, x = ((np.arange(at.start * SAMPLES, at.stop * SAMPLES) + 0.5) / SAMPLES for at in (rows, columns))
        x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        if moves:
            moved = cv2.remap(
                template.displacement, x - 0.5, y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            x, y = x + moved[..., 0], y + moved[..., 1]
        return cv2.resize(sample(*find(x, y)), (len(columns), len(rows)), interpolation=cv2.INTER_AREA)

    rows, columns = (range(at.start, at.stop) for at in box)
    return np.concatenate(
        [
            np.concatenate([mean(down, across) for across in _parts(columns, STRIP_COLUMNS)], axis=1)
            for down in _parts(rows, STRIP_ROWS)
        ]
    )


def _parts(whole: range, size: int) -> list[range]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _is_inside(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Half open: a sample that lies on the border of two prints belongs to one of them.
    return np.asarray((u >= 0) & (u < 1) & (v >= 0) & (v < 1))
