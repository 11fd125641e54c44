"""Which pictures a person should look at: the surest ones, right and wrong, and those on the edge."""

import numpy as np
from scipy.special import logit

EXAMPLES = ("surest right", "surest wrong", "most uncertain")
"""What examples there are of each class."""
_EDGE = 1e-6


def examples(labels: np.ndarray, scores: np.ndarray, threshold: float, count: int) -> dict[tuple[int, str], list[int]]:
    """Return at most `count` rows for each (label, one of EXAMPLES), the most telling first.

    labels: int [N], 0 or 1, anything else is not labelled; scores: float [N], NaN without an answer. Right and wrong go
    by the threshold; no row is there twice, so the most uncertain ones may be fewer.
    """
    found: dict[tuple[int, str], list[int]] = {}
    away = distance(scores, threshold)
    for label in (0, 1):
        rows = np.flatnonzero((labels == label) & ~np.isnan(scores))
        right = (scores[rows] >= threshold) == (label == 1)
        sure = rows[np.argsort(-np.abs(away[rows]), kind="stable")]
        is_right = dict(zip(rows.tolist(), right.tolist(), strict=True))
        found[label, "surest right"] = [row for row in sure.tolist() if is_right[row]][:count]
        found[label, "surest wrong"] = [row for row in sure.tolist() if not is_right[row]][:count]
        taken = {*found[label, "surest right"], *found[label, "surest wrong"]}
        found[label, "most uncertain"] = [row for row in sure.tolist()[::-1] if row not in taken][:count]
    return found


def hardest(labels: np.ndarray, scores: np.ndarray, threshold: float, count: int) -> list[int]:
    """Return rows to ask "why" of: mistakes first, the surest at the front, then the most uncertain right verdicts."""
    away = distance(scores, threshold)
    rows = np.flatnonzero(np.isin(labels, (0, 1)) & ~np.isnan(scores))
    wrong = (scores[rows] >= threshold) != (labels[rows] == 1)
    mistakes = rows[wrong][np.argsort(-np.abs(away[rows[wrong]]), kind="stable")]
    others = rows[~wrong][np.argsort(np.abs(away[rows[~wrong]]), kind="stable")]
    return [int(row) for row in np.concatenate([mistakes, others])[:count]]


def distance(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return how far scores [N] lie above the threshold, in logits; NaN without a score."""
    edges = np.clip(np.append(scores, threshold), _EDGE, 1 - _EDGE)
    return np.asarray(logit(edges[:-1]) - logit(edges[-1]))
