"""Where a score settles nothing: split conformal prediction for each class, set on validation rows and nothing else.

A score fits a class if it is not stranger than all but the promised share of that class's validation scores. Where it
fits exactly one class, that is the verdict; where it fits both or neither, the picture is `uncertain`.

What is promised: of the pictures of either class, at most `error_rate` get the other class as their verdict. It is
promised for each class apart (Mondrian), and by group: for a picture of a group that is new, drawn as the validation
groups were, every group counting once however many pictures it has; on average over the validation rows that may have
been drawn. It is not the share of errors among the certain verdicts, which moves with the prevalence; the report
measures that. Any rising calibration of the scores gives the same sets, so that the calibrator may be fitted to the
same rows.

Source: Vovk, Gammerman and Shafer 2005, chapter 4; for groups Lee, Barber and Willett 2023, arXiv:2306.06342.
"""

from dataclasses import replace

import numpy as np

from gencv.core.band import Band
from gencv.evaluate import metrics
from gencv.evaluate.thresholds import candidates
from gencv.evaluate.validation import Validation

_ROUND = 1e-9  # sums of weights meet a level exactly, but for rounding


def set_band(val: Validation, error_rate: float) -> Band:
    """Set the band on validation rows.

    A class needs answered pictures of 1 / error_rate - 1 groups, 19 for 5 %: with fewer, no score could ever be
    strange, and the band has no bounds. A picture without an answer has no part in it.
    """
    rows = val.fit_rows()
    labels, scores, groups = rows.labels.astype(int), rows.scores, metrics.clusters(rows)
    counts = [len(np.unique(groups[labels == label])) for label in (0, 1)]
    band = Band(error_rate=error_rate, num_genuine_groups=counts[0], num_positive_groups=counts[1])
    needed = int(np.ceil(1 / error_rate - 1 - _ROUND))
    if min(counts) < needed:
        told = f"{counts[0]} groups of genuine and {counts[1]} of positive validation pictures"
        reason = f"too_few: {told}, {needed} of each needed to promise an error rate of {error_rate:g}"
        return replace(band, reason=reason)
    genuine, positive = labels == 0, labels == 1
    highest = level_by_group(scores[genuine], groups[genuine], 1 - error_rate)
    lowest = -level_by_group(-scores[positive], groups[positive], 1 - error_rate)
    # Moved outwards to the next place that noise does not cross, the promise holds all the more.
    points = candidates(scores)
    upper, lower = points[points > highest].min(initial=1.0), points[points < lowest].max(initial=0.0)
    return replace(band, upper=float(upper), lower=float(lower))


def level_by_group(strangeness: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Return the value that a picture of a new group exceeds with probability 1 - level at most.

    strangeness: [N]. Each of K groups weighs 1 / (K + 1), shared by its rows; the new group, which may be stranger than
    all, has the rest. So one group of many pictures decides no more than one of few.
    """
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(strangeness, kind="stable")
    mass = np.cumsum(1 / ((len(counts) + 1) * counts[codes[order]]))
    assert mass[-1] >= level - _ROUND, "fewer groups than the level needs"
    return float(strangeness[order][np.argmax(mass >= level - _ROUND)])
