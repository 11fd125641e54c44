"""A calibrator: a detector's logits to P(positive), the same in a batch, for one picture, and on stored scores."""

from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.settings import Settings

LOWEST, HIGHEST = float(np.finfo(np.float32).tiny), 1 - 2.0**-24
"""What a score is kept within when its logit is taken: the ends of what float32 tells from 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class Calibrator(Settings):
    """A rising line of straight pieces from logit to logit; as it rises everywhere, no ranking ever changes.

    A temperature is one knot at 0 with slope 1 / T on both sides, Platt's method one knot with any height and slope,
    and isotonic regression many knots. The default changes nothing. Raises BadInput if it does not rise.
    """

    kind: str = "none"
    """How it was fitted: a name of `evaluate.calibration.CALIBRATIONS`, or none."""
    knots: tuple[float, ...] = (0.0,)
    """Logits as they come from the detector, ascending."""
    heights: tuple[float, ...] = (0.0,)
    """The calibrated logit at each knot, ascending."""
    slope: float = 1.0
    """Calibrated logit per logit below the first knot and above the last."""
    prior: float | None = None
    """Share of positives among the rows that it was fitted on: what the calibrated scores take for granted.
    A temperature has no offset and keeps what the training took for granted, so there it is an approximation."""
    num_genuine: int = 0
    num_positive: int = 0
    reason: str = ""
    """Why it changes nothing although it was to be fitted, or a remark on the fit."""

    def __post_init__(self) -> None:
        for name in ("knots", "heights"):  # JSON brings lists
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        numbers = np.array([*self.knots, *self.heights, self.slope])
        rises = len(self.knots) == len(self.heights) > 0 and bool(np.isfinite(numbers).all()) and self.slope > 0
        if not (rises and (np.diff(self.knots) > 0).all() and (np.diff(self.heights) > 0).all()):
            raise BadInput(
                "A calibrator has as many heights as knots, both rising, and a slope above 0, so that it keeps every "
                f"ranking; these are {len(self.knots)} knots, {len(self.heights)} heights, slope {self.slope}."
            )
        if self.prior is not None and not 0 <= self.prior <= 1:
            raise BadInput(f"A calibrator's prior is a share of pictures in [0, 1], not {self.prior}.")

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits [N] -> float64 [N], P(positive); NaN stays NaN."""
        logits = np.asarray(logits, np.float64)
        outside = logits - np.clip(logits, self.knots[0], self.knots[-1])
        return probabilities_of(np.interp(logits, self.knots, self.heights) + self.slope * outside)

    def rescore(self, scores: np.ndarray) -> np.ndarray:
        """Calibrate scores [N] that no calibrator has touched; NaN stays NaN.

        As a stored score is float32, a logit above 16.6 comes back as 16.6, and one near it is off by some tenths.
        """
        return self(logits_of(scores))

    def describe(self) -> str:
        """Name it for people: "temperature 1.52"."""
        if self.kind == "isotonic":
            return f"isotonic, {len(self.knots)} levels"
        if self.kind == "platt":
            return f"platt, slope {self.slope:.3g}, offset {self.heights[0] - self.slope * self.knots[0]:.3g}"
        return f"temperature {1 / self.slope:.3g}" if self.kind == "temperature" else "none"


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), exact to rounding at both ends."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1 + small))


def logits_of(scores: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p)) of scores kept within LOWEST and HIGHEST; NaN stays NaN."""
    kept = np.clip(np.asarray(scores, np.float64), LOWEST, HIGHEST)
    return np.asarray(np.log(kept) - np.log1p(-kept))
