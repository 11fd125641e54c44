"""The gate to everything that is fitted to scores: validation rows, and no others."""

from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.core.record import Split

FEW = 30
"""Under so many pictures of a class a figure is given, with a warning."""
ALL_EQUAL = "all scores are equal, so they tell nothing"


@dataclass(frozen=True)
class Validation(Predictions):
    """Predictions of validation rows: what calibration, thresholds, band, and scope are fitted to, and nothing else.

    Those functions take no other type, and no other rows can become one: raises BadInput without rows, or if one is of
    another split.
    """

    def __post_init__(self) -> None:
        if not len(self):
            raise BadInput(
                "Calibration and thresholds are set on validation rows, and there are none; make the manifest with "
                "--splits for val."
            )
        if others := sorted(set(self.column("split")) - {Split.VAL.value}):
            raise BadInput(
                "Calibration and thresholds are set on validation rows only; these also hold rows of split "
                f"{', '.join(others)}."
            )

    def fit_rows(self) -> Predictions:
        """Return the answered, labelled rows; by a name that other predictions lack, so that no fit takes them."""
        return self.answered()

    def labels_and_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return labels int [N] and scores float64 [N] of `fit_rows`."""
        rows = self.fit_rows()
        return rows.labels.astype(int), rows.scores


def warning(num_genuine: int, num_positive: int) -> str:
    """Say that what was set on so few answered validation pictures is not to be relied on; "" if it is."""
    if min(num_genuine, num_positive) >= FEW:
        return ""
    return f"too_few: {num_genuine} genuine and {num_positive} positive validation pictures, {FEW} of each needed"


def remark_on(labels: np.ndarray, scores: np.ndarray) -> str:
    """Return what a reader must know of a fit to these rows of both classes, "" if nothing."""
    if np.ptp(scores) == 0:
        return ALL_EQUAL
    return warning(int((labels == 0).sum()), int((labels == 1).sum()))
