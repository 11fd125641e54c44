"""Whether a 95 % interval holds the truth as often as it says, over simulated data sets whose truth is known."""

import numpy as np
import pytest
from scipy.stats import norm

from gencv.evaluate import replicates
from gencv.evaluate.intervals import bootstrap

NUM_SETS = 500
NUM_GROUPS = 200
"""In each class. Fewer are a little too narrow: see docs/log.md."""
DISTANCE, BETWEEN, WITHIN, THRESHOLD = 2.0, 0.8, 0.6, 1.5
"""Genuine scores have the mean 0, positives DISTANCE; groups differ by BETWEEN, pictures of a group by WITHIN."""
SPREAD = np.hypot(BETWEEN, WITHIN)
FPR_LIMIT = 0.05
TRUTH = {
    "auroc": norm.cdf(DISTANCE / (SPREAD * np.sqrt(2))),
    "bpcer": norm.sf(THRESHOLD / SPREAD),
    "tpr_at_fpr": norm.sf((norm.isf(FPR_LIMIT) * SPREAD - DISTANCE) / SPREAD),
}


def simulate(rng: np.random.Generator, num_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, scores, and groups: one to seven pictures a group, so that rows are far from independent."""
    labels, scores, groups = [], [], []
    for label in (0, 1):
        sizes = rng.integers(1, 8, num_groups)
        shifts = np.repeat(rng.normal(label * DISTANCE, BETWEEN, num_groups), sizes)
        scores.append(shifts + rng.normal(0, WITHIN, len(shifts)))
        groups.append(np.repeat(np.arange(num_groups), sizes))
        labels.append(np.full(len(shifts), label))
    return np.concatenate(labels), np.concatenate(scores), np.concatenate(groups)


def coverage(num_groups: int, num_sets: int = NUM_SETS) -> dict[str, float]:
    """Return the share of data sets whose interval holds the truth, for each figure."""
    hits = dict.fromkeys(TRUTH, 0)
    for seed in range(num_sets):
        labels, scores, groups = simulate(np.random.default_rng([seed, num_groups]), num_groups)
        rank = replicates.ranking_tables(labels, scores)
        alarmed, genuine = ((labels == 0) & (scores >= THRESHOLD)).astype(float), (labels == 0).astype(float)

        def statistics(
            weights: np.ndarray,
            rank: object = rank,
            alarmed: np.ndarray = alarmed,
            genuine: np.ndarray = genuine,
        ) -> dict[str, np.ndarray]:
            tables = rank(weights)  # type: ignore[operator]
            return {
                "auroc": replicates.auroc(**tables),
                "bpcer": replicates.ratio(weights @ alarmed, weights @ genuine),
                "tpr_at_fpr": replicates.tpr_at_fpr(**tables, target=FPR_LIMIT),
            }

        for name, interval in bootstrap(statistics, groups, labels, seed=seed).items():
            assert interval.low is not None and interval.high is not None
            hits[name] += interval.low <= TRUTH[name] <= interval.high
    return {name: hit / num_sets for name, hit in hits.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_intervals_by_group_cover_the_truth_as_often_as_they_say() -> None:
    found = coverage(NUM_GROUPS)
    assert all(0.93 <= share <= 0.97 for share in found.values()), found
