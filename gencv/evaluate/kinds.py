"""How well a cascade's second head names the kind of what the first one called positive (recipe R5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gencv.core.predictions import Predictions
from gencv.core.record import FAMILIES
from gencv.evaluate import metrics as measures
from gencv.evaluate.intervals import NUM_REPLICATES, bootstrap
from gencv.evaluate.metrics import Metric
from gencv.evaluate.replicates import ratio


@dataclass(frozen=True)
class KindsResult:
    """How the second head names the kind of positives that were called positive."""

    column: str
    """Where the truth stands: family or generator."""
    truths: tuple[str, ...]
    """The kinds that the detector learnt and that occur, in its order, then those that it did not learn."""
    kinds: tuple[str, ...]
    """The kinds that it can name."""
    counts: np.ndarray
    """int [len(truths), len(kinds)]: pictures of a true kind that were called positive, by the kind they were taken
    for."""
    totals: tuple[int, ...]
    """All positives of each true kind, called so or not."""
    accuracy: Metric
    """Share named rightly, of the kinds that it learnt."""


def kinds_result(
    predictions: Predictions,
    threshold: float,
    kinds: Sequence[str],
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> KindsResult:
    """Compare the kinds that were told with what they are, over positives that were called positive.

    The truth is the family if all kinds are names of families, else the generator. The interval is a bootstrap over
    groups.
    """
    column = "family" if set(kinds) <= set(FAMILIES) else "generator"
    known = predictions.where(predictions.table["label"].is_valid().to_numpy())
    positives = known.where(known.labels == 1)
    truth = positives.column(column)
    called = positives.scores >= threshold
    present = sorted(set(truth.tolist()))
    truths = (*(kind for kind in kinds if kind in present), *(kind for kind in present if kind not in kinds))
    told = positives.column("kind")
    counts = np.array(
        [[int((called & (truth == true) & (told == kind)).sum()) for kind in kinds] for true in truths], np.int64
    ).reshape(len(truths), len(kinds))
    learnt = called & np.isin(truth, list(kinds))
    return KindsResult(
        column=column,
        truths=truths,
        kinds=tuple(kinds),
        counts=counts,
        totals=tuple(int((truth == true).sum()) for true in truths),
        accuracy=_share_right(positives.where(learnt), (told == truth)[learnt], num_replicates, seed),
    )


def _share_right(rows: Predictions, right: np.ndarray, num_replicates: int, seed: int) -> Metric:
    """Return the mean of bool [N] with its interval over the groups of the rows."""
    if not len(rows):
        return Metric(None, reason="no positive picture of a learnt kind was called positive")
    groups = measures.clusters(rows)
    found = bootstrap(
        lambda weights: {"right": ratio(weights @ right.astype(float), weights.sum(axis=1))},
        groups,
        np.zeros(len(rows), int),
        num_replicates=num_replicates,
        seed=seed,
    )
    return measures.with_interval(Metric(float(right.mean())), found["right"], len(np.unique(groups)))
