"""Everything that validation decides, in one place: calibrator, thresholds, and the uncertain band."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from gencv.core.band import Band
from gencv.core.calibrator import HIGHEST, LOWEST, Calibrator
from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.evaluate.calibration import CALIBRATIONS, fit_calibrator
from gencv.evaluate.conformal import set_band
from gencv.evaluate.thresholds import Threshold, set_thresholds
from gencv.evaluate.validation import Validation


@dataclass(frozen=True, kw_only=True)
class DecisionSettings:
    """How a detector comes from scores to verdicts. Raises UnknownName and BadInput."""

    calibration: str = "temperature"
    """How scores become probabilities on validation: temperature, platt, or isotonic."""
    error_rate: float = 0.05
    """Largest share of either class that may get a wrong verdict; what cannot be said so is uncertain."""

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise UnknownName("calibration", self.calibration, CALIBRATIONS)
        if not 0 < self.error_rate <= 0.5:
            raise BadInput(f"--error-rate is {self.error_rate}; a number above 0 and up to .5 is accepted.")


@dataclass(frozen=True)
class Decision:
    """What was set on validation rows, for a bundle to keep."""

    calibrator: Calibrator
    thresholds: dict[str, Threshold]
    band: Band

    def fields(self) -> dict[str, Any]:
        """Return the fields of a detector that hold this decision."""
        thresholds = {name: asdict(threshold) for name, threshold in self.thresholds.items()}
        return {"calibrator": self.calibrator, "thresholds": thresholds, "band": self.band}

    def rescored(self, predictions: Predictions) -> Predictions:
        """Return uncalibrated predictions of any split with calibrated scores."""
        return predictions.rescored(self.calibrator.rescore(predictions.scores))


def settle(val: Validation, settings: DecisionSettings) -> Decision:
    """Set everything on validation rows with uncalibrated scores.

    Stored scores that are 0 or 1 to rounding are equal, whatever their logits were, while a detector calibrates the
    logits themselves. So a threshold above the pictures of 1 is refused; one below those of 0 is never chosen, as 0
    does the same. A bound of the band beyond either moves to the end, so that its promise holds all the more.
    """
    calibrator = fit_calibrator(val, settings.calibration)
    calibrated = Validation(val.rescored(calibrator.rescore(val.scores)).table)
    raw, told = val.fit_rows().scores, calibrated.fit_rows().scores
    least = told.min() if raw.min(initial=1.0) <= LOWEST else 0.0
    most = told.max() if raw.max(initial=0.0) >= HIGHEST else 1.0
    thresholds = {name: _within(threshold, most) for name, threshold in set_thresholds(calibrated).items()}
    band = set_band(calibrated, settings.error_rate)
    if band.upper is not None and band.upper > most:
        band = replace(band, upper=1.0)
    if band.lower is not None and band.lower <= least:
        band = replace(band, lower=0.0)
    return Decision(calibrator, thresholds, band)


def _within(threshold: Threshold, most: float) -> Threshold:
    """Refuse a threshold above `most`, the score of the validation pictures that are 1 to rounding."""
    if threshold.value is None or threshold.value <= most:
        return threshold
    reason = "the highest validation scores are all equal to rounding, so that no threshold can be set above them"
    return replace(threshold, value=None, expected_fpr=None, expected_fnr=None, reason=reason)
