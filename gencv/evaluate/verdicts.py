"""What is said of a picture, from its score, a threshold, and all that may leave it open.

A verdict is `uncertain` where the score settles nothing at the promised error rate (`Band`), where it would be another
one after the picture was saved or sent once more, and where the picture is outside of what the detector was measured on
(`Scope`). The score is given all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gencv.core.band import Band
from gencv.core.contracts import Judged
from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.core.scope import OUTSIDE
from gencv.evaluate.thresholds import Threshold

UNCERTAIN = "uncertain"
REASONS = {
    "fits_both": "the score fits either class at the promised error rate",
    "fits_neither": "the score is strange for either class at the promised error rate",
    "against_threshold": "the score fits one class alone, and the threshold says the other",
    "unstable": "saved or sent once more, the picture would get the other verdict",
    **OUTSIDE,
}
"""Why a verdict is uncertain, by code."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What we say of one picture, with the error rates to expect of such a verdict."""

    label: str
    """What genuine or positive is called, or `uncertain`."""
    reasons: tuple[str, ...]
    """Codes of REASONS where the label is uncertain, else ()."""
    score: float
    threshold: float
    threshold_id: str
    expected_fpr: float | None
    expected_fnr: float | None
    error_rate: float | None
    """The promised share of errors in either class, None where none is promised."""
    id: str = ""
    uri: str = ""


def decide(
    scores: np.ndarray,
    threshold: float,
    band: Band | None,
    *,
    lows: np.ndarray | None = None,
    highs: np.ndarray | None = None,
    outside: Sequence[Sequence[str]] | None = None,
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Return bool [N], at or above the threshold, and for each picture why that is no verdict: codes of REASONS.

    So a verdict that is certain agrees with the threshold and with the band, and has the error rates of both. Where the
    band has no bounds it has no say. A score of NaN has neither verdict nor reason.
    lows, highs: [N], the range of the scores of a picture and its re-encodings, NaN or None where there are none.
    outside: codes of `scope.OUTSIDE`, N times.
    """
    called, none = scores >= threshold, np.zeros(len(scores), bool)
    fits = (none, none) if band is None or not band.promises else band.fits(scores)
    asked = band is not None and band.promises
    flips = none if lows is None or highs is None else (lows < threshold) & (highs >= threshold)
    found = {
        "fits_both": fits[0] & fits[1],
        "fits_neither": ~fits[0] & ~fits[1] & asked,
        "against_threshold": (fits[0] ^ fits[1]) & (fits[1] != called),
        "unstable": flips,
    }
    reasons = []
    for row, score in enumerate(scores):
        codes = [code for code, holds in found.items() if holds[row]] + list(outside[row] if outside else ())
        reasons.append(() if np.isnan(score) else tuple(codes))
    return called, reasons


def decide_all(
    predictions: Predictions, threshold: float, band: Band | None
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """`decide` for a table of predictions."""
    return decide(
        predictions.scores,
        threshold,
        band,
        lows=predictions.numbers("score_low"),
        highs=predictions.numbers("score_high"),
        outside=[codes or () for codes in predictions.table["outside"].to_pylist()],
    )


def words(predictions: Predictions, threshold: float, band: Band | None, labels: tuple[str, str]) -> Predictions:
    """Return the same rows with their verdicts and reasons; a row without an answer has neither.

    labels: what to call genuine and positive, ("real", "generated") for example.
    """
    called, reasons = decide_all(predictions, threshold, band)
    said = zip(called, reasons, np.isnan(predictions.scores), strict=True)
    verdicts = [
        None if missing else UNCERTAIN if why else labels[int(is_positive)] for is_positive, why, missing in said
    ]
    return predictions.filled(verdict=verdicts, reasons=reasons)


def judge(
    judged: Judged, threshold: Threshold, band: Band | None, labels: tuple[str, str], *, id: str = "", uri: str = ""
) -> Verdict:
    """Return the verdict on one picture, B = 1: `labels[1]` where score >= threshold, else `labels[0]`, or `uncertain`.

    labels: what to call genuine and positive, ("real", "generated") for example. Raises BadInput if the threshold
    has no value, or for a score outside [0, 1]: a picture without an answer has no verdict.
    """
    score = float(judged.scores[0])
    if threshold.value is None:
        raise BadInput(f"The threshold {threshold.name} has no value: {threshold.reason}.")
    if not 0 <= score <= 1:
        raise BadInput(f"A score lies in [0, 1]; {score} cannot be judged.")
    scores = np.asarray(judged.scores, np.float64)
    (called,), (reasons,) = decide(
        scores, threshold.value, band, lows=judged.lows, highs=judged.highs, outside=judged.outside
    )
    return Verdict(
        id=id,
        uri=uri,
        label=UNCERTAIN if reasons else labels[int(called)],
        reasons=reasons,
        score=score,
        threshold=threshold.value,
        threshold_id=threshold.id,
        expected_fpr=threshold.expected_fpr,
        expected_fnr=threshold.expected_fnr,
        error_rate=band.error_rate if band is not None and band.promises else None,
    )
