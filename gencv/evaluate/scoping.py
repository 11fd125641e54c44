"""Set the scope of a detector: what of a picture lies beyond what validation saw."""

from collections.abc import Sequence

import numpy as np

from gencv.core.scope import NEIGHBOUR, Scope, unit
from gencv.core.seeds import uniform_for
from gencv.evaluate import metrics
from gencv.evaluate.conformal import level_by_group
from gencv.evaluate.validation import Validation

STRANGE = 0.01
"""Share of new pictures like those of validation that each limit may call outside; with fewer than 99 groups, the share
of one group in all of them and the new one."""
BANK = 500
"""Training pictures that a detector remembers: as many as its bundle can carry."""
HEAVY_BLUR = 0.65
"""Blur below which no picture is called blurred, whatever validation saw: of 271 photographs and generated pictures at
224 px, 99 % are below .51; after a Gaussian blur of sigma 3 px, 99 % are above .67."""


def bank_of(ids: Sequence[str]) -> list[int]:
    """Return which of the training pictures to remember, drawn by their ids, the same in any order."""
    return sorted(range(len(ids)), key=lambda row: uniform_for(0, ids[row], "bank"))[:BANK]


def set_scope(val: Validation, features: np.ndarray, size_px: int, bank: np.ndarray) -> Scope:
    """Set every limit on validation rows, which were not fitted on.

    features: float32 [N, D], row by row with `val`. size_px: side of what the network sees; a picture that is not
    enlarged for it is never too small. bank: float32 [M, D], features of training pictures; fewer than NEIGHBOUR set no
    limit. Source of the distance: Sun et al. 2022, arXiv:2204.06507.
    """
    answered = val.fit_rows()
    keep = np.isin(val.column("id"), answered.column("id"))
    groups = metrics.clusters(answered)
    bank = unit(bank[~np.isnan(bank).any(axis=1)]).astype(np.float16)
    drafted = Scope(bank=bank)
    side, blur = _limit(-answered.numbers("side_px"), groups), _limit(answered.numbers("blur"), groups)
    far = _limit(drafted.distances(features[keep]), groups) if len(bank) >= NEIGHBOUR else None
    return Scope(
        least_side_px=None if side is None else min(size_px, int(-side)),
        most_blur=None if blur is None else max(HEAVY_BLUR, blur),
        most_distance=far,
        bank=bank if far is not None else drafted.bank[:0],
    )


def _limit(strangeness: np.ndarray, groups: np.ndarray) -> float | None:
    """Return what a picture of a new group exceeds with probability STRANGE at most, None if nothing is known."""
    known = ~np.isnan(strangeness)
    if not known.any():
        return None
    num_groups = len(np.unique(groups[known]))
    return level_by_group(strangeness[known], groups[known], min(1 - STRANGE, num_groups / (num_groups + 1)))
