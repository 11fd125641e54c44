"""How faithful a mockup is to the product's own pixels: figures that a shop can refuse a picture by.

A print is compared to the artwork as its template warps it, without light and folds: what differs is what they did. A
scene is compared to the product's own pixels at their place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from gencv.core.settings import Settings

WHOLE = 0.99
"""Alpha from which a px counts as the print, or the product, alone."""
VISIBLE = 0.02
"""Alpha from which a px shows anything of it."""


@dataclass(frozen=True, kw_only=True)
class Fidelity(Settings):
    """Figures of one mockup; None where there is no such thing: the first four are of prints, the rest of scenes."""

    colour_shift: float | None = None
    """Mean CIEDE2000 (CIE 142-2001; 1 is just seen side by side, under daylight) over the print, or the product."""
    coverage: float | None = None
    """Share of the print area that ink is on."""
    sharpness: float | None = None
    """Share of the print's edges that light and folds left: 1 is all of them."""
    dpi: float | None = None
    """Px of the artwork on an inch of the printed thing: 150 looks sharp in the hand, under 100 does not."""
    interior_difference: int | None = None
    """Largest difference, in levels of 8 bits, between the product and its place in the picture, inside of its edge;
    None where it has no inside."""
    halo: float | None = None
    """Mean CIEDE2000 on the product's edge against the product laid over the new background."""
    growth: float | None = None
    """1 - IoU of the product and of it with what continues it in the picture; None where that cannot be told."""


def colour_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return CIEDE2000, float [...], of two uint8 RGB arrays [..., 3], read as sRGB under D65."""
    return np.asarray(deltaE_ciede2000(rgb2lab(first), rgb2lab(second)))


def compare_print(
    picture: np.ndarray, ideal: np.ndarray, alpha: np.ndarray, *, coverage: float, dpi: float
) -> Fidelity:
    """Compare a print as it is lit and folded to the same one flat and unlit, uint8 RGB [H, W, 3] both.

    alpha: float32 [H, W], where ink is in both. Colour and sharpness are None where no px is ink alone.
    """
    whole = alpha >= WHOLE
    shift = float(colour_difference(picture[whole], ideal[whole]).mean()) if whole.any() else None
    # A px beside the ink's edge would count the edge itself.
    inner = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    before, after = _edges(ideal, inner), _edges(picture, inner)
    return Fidelity(
        colour_shift=shift, coverage=min(1.0, coverage), sharpness=after / before if before else None, dpi=dpi
    )


def interior_of(alpha: np.ndarray) -> np.ndarray:
    """Return bool [H, W], where a product of alpha float32 [H, W] is alone, EDGE_PX away from its edge."""
    side = 2 * EDGE_PX + 1
    return cv2.erode((alpha >= WHOLE).astype(np.uint8), np.ones((side, side), np.uint8), borderValue=0) > 0


def widened(mask: np.ndarray, px: int) -> np.ndarray:
    """Return bool [H, W] with all that lies within so many px of it."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0


def largest_difference(picture: np.ndarray, other: np.ndarray, where: np.ndarray) -> int:
    """Return the largest difference of two uint8 RGB [H, W, 3] over some px, bool [H, W]: 0 to 255."""
    return int(cv2.absdiff(picture, other)[where].max(initial=0))


def compare_scene(
    picture: np.ndarray, product: np.ndarray, alpha: np.ndarray, ideal: np.ndarray, *, growth: float | None
) -> Fidelity:
    """Compare a scene to the product's own px at their place, uint8 RGB [H, W, 3] all.

    alpha: the product's, float32 [H, W]. ideal: the product over a background that knows nothing of it. Where the
    product is so thin that it has no inside, as glass is all over, nothing is compared: colour and inner difference are
    None.
    """
    inner = interior_of(alpha)
    band = widened(alpha > 0, EDGE_PX) & ~inner
    halo = colour_difference(picture[band], ideal[band]).mean() if band.any() else 0.0
    shift = float(colour_difference(picture[inner], product[inner]).mean()) if inner.any() else None
    return Fidelity(
        colour_shift=shift,
        interior_difference=largest_difference(picture, product, inner) if inner.any() else None,
        halo=float(halo),
        growth=growth,
    )


EDGE_PX = 2
"""How far a product's edge reaches to either side of its outline."""


def _edges(image: np.ndarray, where: np.ndarray) -> float:
    """Return the sum of the slopes of lightness over some px."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slopes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return float(slopes[where].sum(dtype=np.float64))
