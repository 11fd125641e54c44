"""The gate to everything that is fitted to scores: validation rows, and no others."""

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.core.record import Split

FEW = 30
"""Under so many pictures of a class a figure is given, with a warning."""
ONE_CLASS = "needs answered pictures of both classes"
ALL_EQUAL = "all scores are equal, so they tell nothing"


def validation_rows(predictions: Predictions, what: str) -> Predictions:
    """Return the answered, labelled rows. Raises BadInput without rows, or if one is not of the validation split."""
    if not len(predictions):
        raise BadInput(
            f"{what} is set on validation rows, and there are none; make the manifest with --splits for val."
        )
    others = sorted(set(predictions.column("split")) - {Split.VAL.value})
    if others:
        raise BadInput(f"{what} is set on validation rows only; these also hold rows of split {', '.join(others)}.")
    return predictions.answered()


def labels_and_scores(predictions: Predictions, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels int [N] and scores float64 [N] of `validation_rows`."""
    rows = validation_rows(predictions, what)
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
