"""From scores to verdicts: a temperature and thresholds, both set on validation rows and on nothing else."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.core.record import Split

CLIP = 1e-6
"""How near to 0 and 1 a score may be when its logit is taken."""
NOISE = 1e-6
"""How much a score may differ between machines without changing a verdict."""
GENUINE_FOR_FPR1 = 100


@dataclass(frozen=True)
class Temperature:
    """One positive number that a detector's logits are divided by. Source: Guo et al. 2017, arXiv:1706.04599."""

    value: float = 1.0
    reason: str = ""
    """Why the value is 1 although it was to be fitted, or a remark on the fit."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value > 0):
            raise BadInput(f"A temperature is a positive number, not {self.value}.")

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return calibrated scores [N] in the same order; NaN stays NaN. A value of 1 changes nothing."""
        return scores if self.value == 1.0 else np.asarray(expit(logits_of(scores) / self.value))


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

    @property
    def id(self) -> str:
        """Name the threshold with a digest of what it says, so that a verdict can be traced to it."""
        facts = f"{self.value!r} {self.expected_fpr!r} {self.expected_fnr!r} {self.num_genuine} {self.num_positive}"
        return f"{self.name}-{hashlib.blake2b(facts.encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What we say of one picture, with the error rates to expect of such a verdict."""

    label: str
    score: float
    threshold: float
    threshold_id: str
    expected_fpr: float | None
    expected_fnr: float | None
    id: str = ""
    uri: str = ""


def judge(score: float, threshold: Threshold, labels: tuple[str, str], *, id: str = "", uri: str = "") -> Verdict:
    """Return the verdict `labels[1]` where score >= threshold, else `labels[0]`.

    labels: what to call genuine and positive, ("real", "generated") for example. Raises BadInput if the threshold
    has no value, or for a score outside [0, 1]: a picture without an answer has no verdict.
    """
    if threshold.value is None:
        raise BadInput(f"The threshold {threshold.name} has no value: {threshold.reason}.")
    if not 0 <= score <= 1:
        raise BadInput(f"A score lies in [0, 1]; {score} cannot be judged.")
    return Verdict(
        id=id,
        uri=uri,
        label=labels[int(score >= threshold.value)],
        score=float(score),
        threshold=threshold.value,
        threshold_id=threshold.id,
        expected_fpr=threshold.expected_fpr,
        expected_fnr=threshold.expected_fnr,
    )


def fit_temperature(predictions: Predictions) -> Temperature:
    """Return the temperature of least NLL on validation rows. Raises BadInput if any row is of another split.

    With answers of one class only there is nothing to fit: the value is 1 and `reason` says so.
    """
    # Imported where it is needed: judging with a fitted temperature need not pay the second that it takes.
    from scipy.optimize import minimize_scalar

    labels, scores = _validation(predictions, "A temperature")
    if len(set(labels.tolist())) < 2:
        return Temperature(reason="not fitted: needs answered pictures of both classes")
    signed = np.where(labels == 1, 1, -1) * logits_of(scores)
    # In 1 / T the NLL is convex, so that a bounded search finds its only minimum.
    low, high = 0.02, 50.0
    found = minimize_scalar(
        lambda sharpness: np.logaddexp(0, -signed * sharpness).mean(),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-7},
    )
    at_edge = found.x > 0.999 * high or found.x < 1.001 * low
    reason = "at the edge of the search: the scores separate the classes, or tell nothing" if at_edge else ""
    return Temperature(float(1 / found.x), reason)


def set_thresholds(predictions: Predictions) -> dict[str, Threshold]:
    """Return every threshold of THRESHOLDS, set on validation rows. Raises BadInput for a row of another split."""
    return {name: choose(predictions) for name, choose in THRESHOLDS.items()}


def threshold_eer(predictions: Predictions) -> Threshold:
    """Set the threshold where FPR and FNR are nearest to each other on validation rows; None for one class."""
    labels, scores = _validation(predictions, "A threshold")
    if len(set(labels.tolist())) < 2:
        return _no_threshold("eer", labels, "needs answered pictures of both classes")
    points = _candidates(scores)
    fpr, fnr = _errors_at(points, labels, scores)
    # Where several points are equally near, take the one of fewer errors, then the lowest.
    best = np.lexsort((points, fpr + fnr, np.abs(fpr - fnr)))[0]
    return _threshold("eer", points[best], labels, scores)


def threshold_fpr1(predictions: Predictions) -> Threshold:
    """Set the lowest threshold with FPR <= 1 % on validation rows; None with fewer than 100 genuine ones."""
    labels, scores = _validation(predictions, "A threshold")
    num_genuine = int((labels == 0).sum())
    if num_genuine < GENUINE_FOR_FPR1:
        reason = f"{num_genuine} genuine validation pictures; at 1 % false positives {GENUINE_FOR_FPR1} are needed"
        return _no_threshold("fpr1", labels, reason)
    points = _candidates(scores)
    fpr, _ = _errors_at(points, labels, scores)
    allowed = points[fpr <= 0.01 + 1e-9]
    if not len(allowed):
        return _no_threshold("fpr1", labels, "more than 1 % of the genuine validation pictures have the highest score")
    return _threshold("fpr1", allowed.min(), labels, scores)


def logits_of(scores: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p)) of scores kept CLIP away from 0 and 1; NaN stays NaN."""
    kept = np.clip(np.asarray(scores, np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _validation(predictions: Predictions, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of the answered rows. Raises BadInput unless every row is of the validation split."""
    others = sorted(set(predictions.column("split")) - {Split.VAL.value})
    if others:
        raise BadInput(f"{what} is set on validation rows only; these also hold rows of split {', '.join(others)}.")
    rows = predictions.answered()
    return rows.labels.astype(int), rows.scores


def _candidates(scores: np.ndarray) -> np.ndarray:
    """Return the thresholds [K], ascending, that scores cannot cross by noise: midway between two neighbours.

    Scores nearer than twice the noise to each other count as one. The outermost candidates lie midway between a
    score and the bound of the range; below a score of 0 there is 0, which calls everything positive.
    """
    known = np.unique(scores)
    steps = np.concatenate([[0.0], known, [1.0]])
    gaps = np.flatnonzero(np.diff(steps) > 2 * NOISE)
    points = (steps[gaps] + steps[gaps + 1]) / 2
    return points if len(known) and known[0] > 2 * NOISE else np.concatenate([[0.0], points])


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
    )


def _no_threshold(name: str, labels: np.ndarray, reason: str) -> Threshold:
    return Threshold(name, None, None, None, int((labels == 0).sum()), int((labels == 1).sum()), reason)


THRESHOLDS: dict[str, Callable[[Predictions], Threshold]] = {"eer": threshold_eer, "fpr1": threshold_fpr1}


def threshold_of(thresholds: dict[str, dict[str, Any]], name: str) -> Threshold:
    """Return one of a bundle's thresholds. Raises UnknownName, or BadInput if it could not be set."""
    if name not in thresholds:
        raise UnknownName("threshold", name, thresholds)
    threshold = Threshold(**thresholds[name])
    if threshold.value is None:
        raise BadInput(f"The bundle's threshold {name} is not set: {threshold.reason}; choose another --threshold.")
    return threshold
