"""What is said of a picture, from its score, a threshold, and the band where a score settles nothing."""

from dataclasses import dataclass

import numpy as np

from gencv.core.band import Band
from gencv.core.errors import BadInput
from gencv.evaluate.thresholds import Threshold

UNCERTAIN = "uncertain"
REASONS = {
    "fits_both": "the score fits either class at the promised error rate",
    "fits_neither": "the score is strange for either class at the promised error rate",
    "against_threshold": "the score fits one class alone, and the threshold says the other",
}
"""Why a verdict is uncertain, by code."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What we say of one picture, with the error rates to expect of such a verdict."""

    label: str
    """What genuine or positive is called, or `uncertain`."""
    reason: str
    """A code of REASONS where the label is uncertain, else ""."""
    score: float
    threshold: float
    threshold_id: str
    expected_fpr: float | None
    expected_fnr: float | None
    error_rate: float | None
    """The promised share of errors in either class, None where none is promised."""
    id: str = ""
    uri: str = ""


def decide(scores: np.ndarray, threshold: float, band: Band | None) -> tuple[np.ndarray, np.ndarray]:
    """Return bool [N], at or above the threshold, and str [N], why that is no verdict: a code of REASONS, or "".

    So a verdict that is certain agrees with the threshold and with the band, and has the error rates of both. Where the
    band has no bounds the threshold alone decides. A score of NaN has neither verdict nor reason.
    """
    called = scores >= threshold
    reasons = np.full(len(scores), "", dtype=object)
    if band is not None and band.promises:
        genuine, positive = band.fits(scores)
        reasons[genuine & positive] = "fits_both"
        reasons[~genuine & ~positive & ~np.isnan(scores)] = "fits_neither"
        reasons[(genuine ^ positive) & (positive != called)] = "against_threshold"
    return called, reasons


def words(
    scores: np.ndarray, threshold: float, band: Band | None, labels: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the verdicts, str or None [N], and their reasons, str or None [N], as a table of predictions has them.

    labels: what to call genuine and positive, ("real", "generated") for example. A row without an answer has neither.
    """
    called, reasons = decide(scores, threshold, band)
    verdicts = np.where(reasons != "", UNCERTAIN, np.array(labels, dtype=object)[called.astype(int)])
    verdicts[np.isnan(scores)] = None
    reasons[reasons == ""] = None
    return verdicts, reasons


def judge(
    score: float, threshold: Threshold, band: Band | None, labels: tuple[str, str], *, id: str = "", uri: str = ""
) -> Verdict:
    """Return the verdict `labels[1]` where score >= threshold, else `labels[0]`, or `uncertain` where `decide` says so.

    labels: what to call genuine and positive, ("real", "generated") for example. Raises BadInput if the threshold
    has no value, or for a score outside [0, 1]: a picture without an answer has no verdict.
    """
    if threshold.value is None:
        raise BadInput(f"The threshold {threshold.name} has no value: {threshold.reason}.")
    if not 0 <= score <= 1:
        raise BadInput(f"A score lies in [0, 1]; {score} cannot be judged.")
    (verdict,), (reason,) = words(np.array([score]), threshold.value, band, labels)
    return Verdict(
        id=id,
        uri=uri,
        label=verdict,
        reason=reason or "",
        score=float(score),
        threshold=threshold.value,
        threshold_id=threshold.id,
        expected_fpr=threshold.expected_fpr,
        expected_fnr=threshold.expected_fnr,
        error_rate=band.error_rate if band is not None and band.promises else None,
    )
