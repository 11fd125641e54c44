"""Whether a painter let a product grow: a second handle, a longer sole, a base that was not there.

A painter that fills in what is around a product likes to continue it. Beside the product's outline whatever has the
product's colours, and not those of the picture farther off, counts as grown. GrabCut was tried for this, and takes what
grew for background, since it learns both from where they meet.
"""

import cv2
import numpy as np
from scipy.spatial import cKDTree

from gencv.images.degrade import fit
from gencv.mockup.fidelity import interior_of

WORK_PX = 256
REACH = 0.16
"""How far from the product, as a share of its longer side, something may still be a part that it grew."""
LIKE = 8.0
"""Distance in CIELAB from the product's colours up to which a px looks like it; and it must be twice as near to them as
to those farther off."""
SEEN = 3_000
"""Px of the product, and of what is farther off, that others are compared to."""


def growth_of(picture: np.ndarray, alpha: np.ndarray) -> float | None:
    """Return 1 - IoU of a product, alpha float32 [H, W], and of it with what continues it in uint8 RGB [H, W, 3].

    0 where nothing does. It is told by colour: a product that grew in the colours of its background is not noticed.
    None where it cannot be told: the product has no inside to take colours from, or all of the picture lies beside it.
    """
    small = fit(picture, WORK_PX)
    size = small.shape[1], small.shape[0]
    solid = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) > 0.5
    core = cv2.resize(interior_of(alpha).astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.999
    if not core.any():
        return None
    rows, columns = (np.flatnonzero(solid.any(axis=axis)) for axis in (1, 0))
    reach = max(4, round(REACH * max(np.ptp(rows), np.ptp(columns))))
    near = cv2.distanceTransform((~solid).astype(np.uint8), cv2.DIST_L2, 5) <= reach
    if near.all():
        return None
    colours = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    around = near & ~solid
    to_product, to_far = (_distance(colours[around], colours[where]) for where in (core, ~near))
    grown = solid.copy()
    grown[around] = (to_product < LIKE) & (to_product < to_far / 2)
    # A line of one px is the product's own soft edge, and what is not connected to it is another thing.
    thick = (cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0) | solid
    _, pieces = cv2.connectedComponents(thick.astype(np.uint8), connectivity=4)
    whole = np.isin(pieces, np.unique(pieces[solid]))
    return float(1 - solid.sum() / whole.sum())


def _distance(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far each colour [N, 3] is from the third nearest of some others: one stray px is none."""
    some = others[:: max(1, len(others) // SEEN)]
    found, _ = cKDTree(some).query(colours, k=[min(3, len(some))])
    return np.asarray(found[:, 0])
