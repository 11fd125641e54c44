"""Everything that validation decides, in one place: calibrator, thresholds, and the uncertain band."""

from dataclasses import asdict, dataclass
from typing import Any

from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
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
    """Set everything on validation rows with uncalibrated scores."""
    calibrator = fit_calibrator(val, settings.calibration)
    calibrated = Validation(val.rescored(calibrator.rescore(val.scores)).table)
    return Decision(calibrator, set_thresholds(calibrated), set_band(calibrated, settings.error_rate))
