"""Scores from which on a picture is called positive, each by its name, set on validation rows and on nothing else."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gencv.core.errors import BadInput, UnknownName
from gencv.evaluate.metrics import ONE_CLASS
from gencv.evaluate.validation import Validation, remark_on

NOISE = 1e-6
"""How much a score may differ between machines without changing a verdict."""


@dataclass(frozen=True)
class Threshold:
    """A score from which on a picture is called positive, and what that cost on the validation rows."""

    name: str
    value: float | None
    """None where the rows do not allow it; `reason` says why."""
    expected_fpr: float | None
    """Share of the answered genuine validation rows at or above the value."""
    expected_fnr: float | None
    num_genuine: int
    num_positive: int
    reason: str = ""
    """Why there is no value, or a remark on it."""

    @property
    def id(self) -> str:
        """Name the threshold with a digest of what it says, so that a verdict can be traced to it."""
        facts = f"{self.value!r} {self.expected_fpr!r} {self.expected_fnr!r} {self.num_genuine} {self.num_positive}"
        return f"{self.name}-{hashlib.blake2b(facts.encode(), digest_size=4).hexdigest()}"


def set_thresholds(val: Validation) -> dict[str, Threshold]:
    """Return every threshold of THRESHOLDS, set on validation rows."""
    return {name: choose(val) for name, choose in THRESHOLDS.items()}


def threshold_eer(val: Validation) -> Threshold:
    """Set the threshold where FPR and FNR are nearest to each other on validation rows; None for one class."""
    # Where several points are equally near, take the one of fewer errors, then the lowest.
    return _best("eer", val, lambda fpr, fnr: (fpr + fnr, np.abs(fpr - fnr)))


def threshold_balanced(val: Validation) -> Threshold:
    """Set the threshold of greatest balanced accuracy on validation rows; None for one class."""
    # Of equally good points, take the one where FPR and FNR are nearest, then the lowest.
    return _best("balanced", val, lambda fpr, fnr: (np.abs(fpr - fnr), fpr + fnr))


def threshold_fpr(val: Validation, *, name: str, target: float) -> Threshold:
    """Set the lowest threshold with FPR <= target on validation rows; None with fewer than 1 / target genuine ones."""
    labels, scores = val.labels_and_scores()
    num_genuine, needed = int((labels == 0).sum()), int(np.ceil(1 / target - 1e-9))
    share = f"{100 * target:g} %"
    if num_genuine < needed:
        reason = f"too_few: {num_genuine} genuine validation pictures; at {share} false positives {needed} are needed"
        return _no_threshold(name, labels, reason)
    points = candidates(scores)
    fpr, _ = _errors_at(points, labels, scores)
    allowed = points[fpr <= target + 1e-9]
    if not len(allowed):
        reason = f"more than {share} of the genuine validation pictures have the highest score"
        return _no_threshold(name, labels, reason)
    return _threshold(name, allowed.min(), labels, scores)


def candidates(scores: np.ndarray) -> np.ndarray:
    """Return the thresholds [K], ascending, that scores cannot cross by noise: midway between two neighbours.

    Scores nearer than twice the noise to each other count as one. The outermost candidates lie midway between a
    score and the bound of the range; below a score of 0 there is 0, which calls everything positive.
    """
    known = np.unique(scores)
    steps = np.concatenate([[0.0], known, [1.0]])
    gaps = np.flatnonzero(np.diff(steps) > 2 * NOISE)
    points = (steps[gaps] + steps[gaps + 1]) / 2
    return points if len(known) and known[0] > 2 * NOISE else np.concatenate([[0.0], points])


def threshold_of(thresholds: dict[str, dict[str, Any]], name: str) -> Threshold:
    """Return one of a bundle's thresholds. Raises UnknownName, or BadInput if it could not be set."""
    if name not in thresholds:
        raise UnknownName("threshold", name, thresholds)
    threshold = Threshold(**thresholds[name])
    if threshold.value is None:
        raise BadInput(f"The bundle's threshold {name} is not set: {threshold.reason}; choose another --threshold.")
    return threshold


def _best(
    name: str, val: Validation, costs: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> Threshold:
    """Set the threshold of least cost. costs: FPR and FNR [K] to what breaks ties [K], and what is made least [K]."""
    labels, scores = val.labels_and_scores()
    if len(set(labels.tolist())) < 2:
        return _no_threshold(name, labels, ONE_CLASS)
    points = candidates(scores)
    return _threshold(
        name, points[np.lexsort((points, *costs(*_errors_at(points, labels, scores))))[0]], labels, scores
    )


def _errors_at(points: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return FPR and FNR [K] of the decisions `score >= point`, NaN for an absent class."""
    genuine, positive = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    below_genuine, below_positive = np.searchsorted(genuine, points), np.searchsorted(positive, points)
    fpr = 1 - below_genuine / len(genuine) if len(genuine) else np.full(len(points), np.nan)
    fnr = below_positive / len(positive) if len(positive) else np.full(len(points), np.nan)
    return fpr, fnr


def _threshold(name: str, value: float, labels: np.ndarray, scores: np.ndarray) -> Threshold:
    genuine, positive = scores[labels == 0], scores[labels == 1]
    return Threshold(
        name=name,
        value=float(value),
        expected_fpr=float((genuine >= value).mean()) if len(genuine) else None,
        expected_fnr=float((positive < value).mean()) if len(positive) else None,
        num_genuine=len(genuine),
        num_positive=len(positive),
        reason=remark_on(labels, scores),
    )


def _no_threshold(name: str, labels: np.ndarray, reason: str) -> Threshold:
    return Threshold(name, None, None, None, int((labels == 0).sum()), int((labels == 1).sum()), reason)


THRESHOLDS: dict[str, Callable[[Validation], Threshold]] = {
    "eer": threshold_eer,
    "fpr1": partial(threshold_fpr, name="fpr1", target=0.01),
    "fpr0.1": partial(threshold_fpr, name="fpr0.1", target=0.001),
    "balanced": threshold_balanced,
}
"""By name: at equal error rates, at 1 % and .1 % false positives, and at the greatest balanced accuracy."""
