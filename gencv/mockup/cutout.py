"""Cut a product out of its photograph: alpha, and its own colours without the old background at the edge.

A rough mask comes from what there is: the picture's own transparency; rembg, where it is installed and its weights lie
on this machine (nothing is ever downloaded); a colour key, where the border of the picture is plain; else GrabCut, from
what stands out against the border. Its edge is then asked again by closed-form matting. A picture of more than
WORK_PX is cut out at that size, and the alpha enlarged.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gencv.core.errors import BadInput, ModelUnavailable, UnknownName
from gencv.core.hub import models_dir
from gencv.images.degrade import fit
from gencv.mockup.fidelity import VISIBLE
from gencv.mockup.matting import alpha_of, foreground_of
from gencv.mockup.saliency import saliency_of

WORK_PX = 1024
GRABCUT_PX = 320
"""Longer side at which GrabCut looks for the outline."""
NARROW, WIDE = 0.005, 0.013
"""How far to either side of the rough outline alpha is asked again, as a share of the longer side: where the outline is
that of a plain border, and where it was guessed."""
MIN_REACH_PX = 4.0
MIN_SHARE, MAX_SHARE = 0.003, 0.97
"""Shares of the picture that an object may take."""
MAX_BORDER_SHARE = 0.85
"""Share of the picture's border that an object may cover."""

Known = np.ndarray
"""float32 [H, W]: 1 foreground, 0 background, NaN where the matting is asked."""


@dataclass(frozen=True)
class Cutout:
    """A product: alpha float32 [H, W] in 0 to 1, and its colours uint8 RGB [H, W, 3] wherever alpha is above 0.

    method: which of METHODS found it; "alpha" for a picture that came with its transparency.
    """

    alpha: np.ndarray
    foreground: np.ndarray
    method: str

    def layer(self, margin: float = 0.04) -> np.ndarray:
        """Return the product alone, uint8 RGBA [h, w, 4], with a margin around it: a share of its longer side."""
        rows, columns = (np.flatnonzero((self.alpha > VISIBLE).any(axis=axis)) for axis in (1, 0))
        edge = round(margin * max(np.ptp(rows), np.ptp(columns)) + 1)
        part = (
            slice(max(0, rows[0] - edge), rows[-1] + edge + 1),
            slice(max(0, columns[0] - edge), columns[-1] + edge + 1),
        )
        alpha = (255 * self.alpha[part]).round().astype(np.uint8)
        return np.dstack([self.foreground[part], alpha])


def cut_out(image: np.ndarray, *, method: str = "auto") -> Cutout:
    """Cut the object out of uint8 RGB [H, W, 3], or take the transparency of RGBA [H, W, 4] if it leaves an object out.

    method: a key of METHODS, or auto for the first that can. Raises BadInput where there is no object to be seen:
    nothing stands out, or everything; UnknownName; ModelUnavailable for rembg without its weights.
    """
    if method != "auto" and method not in METHODS:
        raise UnknownName("way to cut out", method, ["auto", *METHODS])
    if image.shape[2] == 4:
        alpha = image[..., 3].astype(np.float32) / 255
        if alpha.min() < 0.9:  # else it says nothing: exporters leave a few px of 254
            _require_visible(alpha)
            return Cutout(alpha, np.ascontiguousarray(image[..., :3]), "alpha")
    image = np.ascontiguousarray(image[..., :3])
    work = fit(image, WORK_PX)
    for name in METHODS if method == "auto" else (method,):
        known = METHODS[name](work)
        if known is not None:
            break
    else:
        if method == "rembg":
            raise ModelUnavailable(
                f"Cutting out by rembg needs the package and one of {', '.join(REMBG)} in {models_dir() / 'rembg'}."
            )
        why = "its border is not plain" if method == "key" else "nothing stands out from its border"
        raise BadInput(f"The picture has no object that can be cut out: {why}.")
    _require_object(np.where(np.isnan(known), 0.5, known))
    alpha = _settle(alpha_of(work, known), SETTLED.get(name, 0.03))
    if work.shape != image.shape:
        size = image.shape[1], image.shape[0]
        alpha = np.clip(cv2.resize(alpha, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    _require_object(alpha)
    return Cutout(alpha, foreground_of(image, alpha), name)


def by_rembg(image: np.ndarray) -> Known | None:
    """Ask rembg; None where it or its weights are not here. Raises ModelUnavailable where they are of no use."""
    found = rembg_weights()
    if found is None:
        return None
    try:
        import rembg  # heavy, and not installed with gencv
    except ImportError:
        return None
    except SystemExit:  # its way to say that onnxruntime is not there, which would end the worker
        raise ModelUnavailable("rembg is installed without onnxruntime; install rembg[cpu] or rembg[gpu].") from None
    mask = rembg.remove(image, session=_session(*found), only_mask=True)
    share = np.asarray(mask, np.float32).reshape(*image.shape[:2], -1)[..., 0] / 255
    return _around(share > 0.5, NARROW * max(image.shape), doubtful=(share > 0.05) & (share < 0.95))


@functools.lru_cache(maxsize=1)
def _session(path: Path, kind: str) -> Any:
    """Return rembg's session on some weights, which it takes seconds to read. Raises ModelUnavailable."""
    import rembg

    try:
        return rembg.new_session(kind, model_path=str(path))
    except Exception as error:  # onnxruntime's are of many classes, and none of them is public
        why = str(error).partition("\n")[0]
        raise ModelUnavailable(f"rembg cannot read the weights {path}; put whole ones there: {why}") from error


def rembg_weights() -> tuple[Path, str] | None:
    """Return the best of REMBG's weights that lie here, and the session that reads them; None without any."""
    for folder in (models_dir() / "rembg", Path.home() / ".u2net"):
        for name, kind in REMBG.items():
            if (folder / name).is_file():
                return folder / name, kind
    return None


def by_key(image: np.ndarray) -> Known | None:
    """Key out a plain border, which may grow brighter or darker to a side; None where it is not plain."""
    colours = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    ring = _ring(image.shape[:2])
    back = _plane(colours, ring)
    away = np.linalg.norm(colours - back, axis=2)
    if np.quantile(away[ring], PLAIN_SHARE) > PLAIN:
        return None
    noise = float(np.quantile(away[ring & (away < PLAIN)], 0.99))
    differs = cv2.GaussianBlur(away, (0, 0), 1.0) > max(KEY, 2 * noise)
    count, pieces, facts, _ = cv2.connectedComponentsWithStats((~differs).astype(np.uint8), connectivity=4)
    at_border = np.zeros(count, bool)
    at_border[np.unique(pieces[ring & ~differs])] = True
    for piece in range(1, count):  # a hole that shows the background itself, as the handle of a cup does
        if not at_border[piece] and facts[piece, cv2.CC_STAT_AREA] > HOLE_SHARE * differs.size:
            at_border[piece] = bool(np.median(away[pieces == piece]) < max(1.5, noise))
    at_border[0] = False
    # A px of the edge differs from the border before it is half of the object: the true outline lies a little inside.
    return _around(_tidy(~at_border[pieces], HOLE_SHARE), NARROW * max(image.shape), inward=2.0)


def by_grabcut(image: np.ndarray) -> Known | None:
    """Find the outline by GrabCut, from what stands out against the border; None where nothing does."""
    small = fit(image, GRABCUT_PX)
    height, width = small.shape[:2]
    stands_out = saliency_of(small)
    if stands_out is None:
        return None
    smooth = np.clip(cv2.resize(stands_out, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    level, _ = cv2.threshold((255 * smooth).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    cut = level / 255
    # Few px that are surely the object teach GrabCut more than many that may be: bushes behind it stand out as well.
    mask = np.where(smooth > (1 + cut) / 2, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[smooth > 0.9] = cv2.GC_FGD
    mask[_ring((height, width)) & (smooth < cut)] = cv2.GC_BGD
    mask[smooth < cut / 3] = cv2.GC_BGD
    if not (mask == cv2.GC_BGD).any() or not np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return None
    cv2.setRNGSeed(0)  # GrabCut starts from clusters of a random draw
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), mask, (0, 0, 0, 0), *models, 4, cv2.GC_INIT_WITH_MASK)
    found = _tidy(_without_bands(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))), GUESSED_HOLE_SHARE)
    large = cv2.resize(found.astype(np.float32), (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return _around(large > 0.5, WIDE * max(image.shape))


PLAIN, PLAIN_SHARE = 3.0, 0.94
"""A border is plain if so large a share of it lies so near, in CIELAB, to a smooth change of colour."""
KEY = 6.0
"""Least distance in CIELAB from the border's colour at which a px belongs to the object."""
HOLE_SHARE = 0.0005
"""Smallest hole that may be background, as a share of the picture, where its colour was measured."""
GUESSED_HOLE_SHARE = 0.01
"""The same where it was guessed: an eye or a white belly is more often lost than the hole of a handle is found."""
SETTLED = {"grabcut": 0.2}
"""Alpha that counts as nothing, and lack of it that counts as whole, where that is more than .03: where an outline was
guessed, the matting finds hairs in the ground beside it, which on another ground are a fringe."""
BAND = (0.75, 0.35)
"""A piece from so large a share of the picture's width, and so small a share of its height, is a strip of the scene."""
PIECE_SHARE = 0.08
"""Smallest piece of an object that is kept, as a share of its largest."""

REMBG = {
    "isnet-general-use.onnx": "dis_custom",
    "u2net.onnx": "u2net_custom",
    "silueta.onnx": "u2net_custom",
    "u2netp.onnx": "u2net_custom",
}
"""Weights that rembg knows, best first, and its session that reads them from a file and downloads nothing."""

METHODS: dict[str, Callable[[np.ndarray], Known | None]] = {"rembg": by_rembg, "key": by_key, "grabcut": by_grabcut}
"""Ways to find an object, the best first: picture -> what is known of it, or None where that way does not go."""


def _require_object(alpha: np.ndarray) -> None:
    _require_visible(alpha)
    if alpha.mean() > MAX_SHARE or alpha[_ring(alpha.shape)].mean() > MAX_BORDER_SHARE:
        raise BadInput("The picture has no object that can be cut out: it fills the picture to its border.")


def _require_visible(alpha: np.ndarray) -> None:
    if alpha.mean() < MIN_SHARE or not (alpha > VISIBLE).any():
        raise BadInput("The picture has no object that can be cut out: all of it is background.")


def _ring(size: tuple[int, ...]) -> np.ndarray:
    """Return bool [H, W], the border of a picture."""
    wide = max(1, round(0.015 * max(size[:2])))
    ring = np.ones(size[:2], bool)
    ring[wide:-wide, wide:-wide] = False
    return ring


def _plane(colours: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Return the smooth change of colour (quadratic in x and y) that fits most of a border, float32 [H, W, 3]."""
    height, width = ring.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)
    kept = ring
    for _ in range(4):  # what an object covers of the border is left out, step by step
        fitted, *_ = np.linalg.lstsq(terms[kept], colours[kept], rcond=None)
        back = terms @ fitted.astype(np.float32)
        away = np.linalg.norm(colours - back, axis=2)
        kept = ring & (away <= max(2.0, 2.5 * float(np.median(away[ring]))))
    return np.asarray(back)


def _tidy(mask: np.ndarray, hole_share: float) -> np.ndarray:
    """Keep the large pieces of a mask, fill its small holes, and smooth its outline."""
    filled = cv2.medianBlur(mask.astype(np.uint8), 5)
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
    if count > 1:
        areas = facts[1:, cv2.CC_STAT_AREA]
        filled = np.isin(pieces, 1 + np.flatnonzero(areas >= PIECE_SHARE * areas.max())).astype(np.uint8)
    count, holes, facts, _ = cv2.connectedComponentsWithStats(1 - filled, connectivity=4)
    small = 1 + np.flatnonzero(facts[1:, cv2.CC_STAT_AREA] < hole_share * mask.size)
    return (filled > 0) | np.isin(holes, small)


def _without_bands(mask: np.ndarray) -> np.ndarray:
    """Leave out flat pieces that run through the picture, as a lawn behind a product does, if anything is left."""
    # Thin bridges between a product and the strip behind it are cut first.
    wide = max(1, round(0.012 * max(mask.shape)))
    core = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2 * wide + 1, 2 * wide + 1), np.uint8))
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
    across, down = facts[1:, cv2.CC_STAT_WIDTH] / mask.shape[1], facts[1:, cv2.CC_STAT_HEIGHT] / mask.shape[0]
    bands = 1 + np.flatnonzero((across >= BAND[0]) & (down <= BAND[1]))
    if not len(bands) or len(bands) == count - 1:
        return mask
    near = cv2.dilate(np.isin(pieces, bands).astype(np.uint8), np.ones((2 * wide + 1, 2 * wide + 1), np.uint8)) > 0
    return mask & ~near


def _around(mask: np.ndarray, reach_px: float, *, inward: float = 1.0, doubtful: np.ndarray | None = None) -> Known:
    """Return what is known of a mask, its outline asked again; thin parts of it keep their middle line."""
    reach_px = max(reach_px, MIN_REACH_PX)
    within = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    beyond = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    known = np.full(mask.shape, np.nan, np.float32)
    middle = (within >= cv2.dilate(within, np.ones((5, 5), np.uint8))) & (within > 1.5)
    known[(within > inward * reach_px) | middle] = 1
    known[beyond > reach_px] = 0
    if doubtful is not None:
        known[doubtful] = np.nan
    return known


def _settle(alpha: np.ndarray, share: float) -> np.ndarray:
    """Let what is nearly nothing be nothing, and what is nearly whole be whole."""
    return np.asarray(np.clip((alpha - share) / (1 - 2 * share), 0, 1).astype(np.float32))
