"""From a rough mask to alpha and clean colours: closed-form matting, and foreground colours without the old background.

Both are here and not in pymatting, whose code is compiled by numba: measured, 189 MB to install, 52 s of CPU for the
first import and 3 s for each one after, for two things that fit on a page.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import LinearOperator, cg, spilu

from gencv.core.errors import BadInput

EPSILON = 1e-6
"""Variance of colour, in 0 to 1 squared, below which a window counts as of one colour; 1e-7 in the paper."""
MAX_STEPS = 400
TOLERANCE = 1e-4


def alpha_of(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return alpha, float32 [H, W] in 0 to 1, of uint8 RGB [H, W, 3].

    known: float32 [H, W], 1 where it is surely foreground, 0 where surely background, NaN where alpha is asked for.
    In every window of 3x3 px alpha is a linear function of colour; only windows that see an unknown px are written
    down, and known px are constants. Raises BadInput if the sizes differ.
    Source: Levin, Lischinski, Weiss 2008, A closed-form solution to natural image matting.
    """
    if image.shape[:2] != known.shape:
        raise BadInput(f"A picture of {image.shape[:2]} and a mask of {known.shape} rows and columns; they must agree.")
    unknown = np.isnan(known)
    alpha = np.where(unknown, np.float32(0.5), known).astype(np.float32)
    if not unknown.any() or unknown.all() or min(image.shape[:2]) < 3:
        return alpha
    laplacian = matting_laplacian(image, unknown)
    asked, given = np.flatnonzero(unknown), np.flatnonzero(~unknown)
    rows = laplacian[asked]
    matrix = rows[:, asked].tocsc()
    right = -(rows[:, given] @ alpha.ravel()[given].astype(np.float64))
    # A px whose windows see nothing known has no answer: it leans to the middle, so little that no other is moved.
    matrix = matrix + _diagonal(len(asked), 1e-8)
    right = right + 1e-8 * 0.5
    factors = spilu(matrix.tocsc(), drop_tol=1e-3, fill_factor=8)
    solve = LinearOperator(matrix.shape, factors.solve)
    start = _guess(known)[unknown]
    found, _ = cg(matrix, right, x0=start, rtol=TOLERANCE, maxiter=MAX_STEPS, M=solve)
    alpha.ravel()[asked] = np.clip(found, 0, 1)
    return alpha


def matting_laplacian(image: np.ndarray, wanted: np.ndarray) -> csr_array:
    """Return the sum over windows of 3x3 px that see a wanted px (bool [H, W]) as a sparse [H * W, H * W].

    Entry (i, j) is the sum, over the windows that hold both, of delta_ij - (1 + (c_i - m) S^-1 (c_j - m)) / 9, where m
    is the window's mean colour and S its covariance plus EPSILON / 9.
    """
    height, width = wanted.shape
    near = cv2.dilate(wanted.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0)[1:-1, 1:-1] > 0
    numbers = np.arange(height * width).reshape(height, width)
    windows = sliding_window_view(numbers, (3, 3))[near].reshape(-1, 9)
    colours = (image.reshape(-1, 3).astype(np.float64) / 255)[windows]
    centred = colours - colours.mean(axis=1, keepdims=True)
    covariance = centred.swapaxes(1, 2) @ centred / 9 + EPSILON / 9 * np.eye(3)
    pull = (1 + centred @ np.linalg.solve(covariance, centred.swapaxes(1, 2))) / 9
    values = np.eye(9) - pull
    first = np.repeat(windows, 9, axis=1).ravel()
    second = np.tile(windows, 9).ravel()
    size = (height * width, height * width)
    return csr_array(coo_array((values.ravel(), (first, second)), shape=size))


def foreground_of(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the product's own colours, uint8 RGB [H, W, 3], with the background taken out of its edge.

    The colours of either side are blurred over the other by alpha, widely and then narrowly, and corrected so that they
    mix to the picture again. Where alpha is 1 the picture's bytes are kept.
    Source: Forte 2021, Approximate fast foreground colour estimation, arXiv:2006.14970 (two passes).
    """
    colours = image.copy()
    sizes = [max(least_px, round(share * max(alpha.shape))) for share, least_px in WINDOWS]
    reach = sum(size // 2 + 1 for size in sizes)
    for top in range(0, alpha.shape[0], TILE_PX):
        for left in range(0, alpha.shape[1], TILE_PX):
            tile = slice(top, top + TILE_PX), slice(left, left + TILE_PX)
            mixed = alpha[tile] < 1
            if not (mixed & (alpha[tile] > 0)).any():
                continue
            first = max(0, top - reach), max(0, left - reach)
            seen = slice(first[0], top + TILE_PX + reach), slice(first[1], left + TILE_PX + reach)
            inner = tuple(slice(at - low, at - low + TILE_PX) for at, low in zip((top, left), first, strict=True))
            colours[tile][mixed] = _unmixed(image[seen], alpha[seen], sizes)[inner][mixed]
    return colours


def _unmixed(image: np.ndarray, alpha: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return the colours in front, uint8 RGB [H, W, 3], by windows of some sides in px, the widest first."""
    picture = image.astype(np.float32) / 255
    a = alpha[..., None].astype(np.float32)
    front, back = picture, picture
    for size in sizes:
        near = cv2.blur(alpha, (size, size))[..., None]
        front_mean = cv2.blur(front * a, (size, size)) / (near + 1e-5)
        back = cv2.blur(back * (1 - a), (size, size)) / (1 - near + 1e-5)
        front = np.clip(front_mean + a * (picture - a * front_mean - (1 - a) * back), 0, 1)
    return np.asarray((255 * front).round().astype(np.uint8))


TILE_PX = 512
"""Side of the tiles that have an edge and are looked at one by one: all of 100 megapixels would take ten gigabytes."""
WINDOWS = ((90 / 1024, 45), (7 / 1024, 6))
"""Sides of the two windows: a share of the picture's longer side, and the least px, since the first must see beyond an
edge, however soft."""


def _guess(known: np.ndarray) -> np.ndarray:
    """Return alpha to start from, by which side is nearer."""
    from_back = cv2.distanceTransform((~(known == 0)).astype(np.uint8), cv2.DIST_L2, 3)
    from_front = cv2.distanceTransform((~(known == 1)).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(from_back / (from_back + from_front + 1e-6))


def _diagonal(size: int, value: float) -> csr_array:
    places = np.arange(size)
    return csr_array(coo_array((np.full(size, value), (places, places)), shape=(size, size)))
