"""Doubts about labels: pictures that a probe, fitted on all others, is sure belong to the other class.

Source: confident learning, Northcutt et al. 2021, arXiv:1911.00068; here with one threshold for both classes.
"""

from dataclasses import dataclass

import numpy as np

from gencv.core.findings import Finding, Level
from gencv.evaluate.folds import Enough, enough, fit_logistic, out_of_fold
from gencv.evaluate.metrics import Metric
from gencv.evaluate.shortcuts import auroc_by_group

DOUBT_BELOW = 0.1
"""Probability of a picture's own label, by a probe that did not see its group, under which a person should look."""


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """rows: int [D], of the N that were given, the most doubtful first; own: P(own label) of each."""

    counts: Enough
    auroc: Metric
    """Of the probe. Where it tells nothing, its doubts say nothing either."""
    rows: np.ndarray
    own: np.ndarray


def doubt_labels(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> Doubts:
    """Judge the labels of N pictures by their features. vectors: float32 [N, D]; labels: 0 or 1 [N]; groups: [N]."""
    counts = enough(labels, groups)
    if counts.lacking:
        none = np.zeros(0)
        return Doubts(counts=counts, auroc=Metric(None, reason=counts.lacking), rows=none.astype(int), own=none)
    scores = out_of_fold(vectors, labels, groups, fit_logistic, seed)
    own = np.where(labels == 1, scores, 1 - scores)
    rows = np.flatnonzero(own < DOUBT_BELOW)  # NaN is not below
    rows = rows[np.argsort(own[rows], kind="stable")]
    return Doubts(counts=counts, auroc=auroc_by_group(labels, scores, groups, seed), rows=rows, own=own[rows])


def findings_of(doubts: Doubts, uris: list[str]) -> list[Finding]:
    """Say how many labels are doubtful. uris: of all N pictures."""
    if doubts.auroc.value is None:
        sentence = f"There is no verdict on the labels: {doubts.auroc.reason}."
        return [Finding(level=Level.WARN, part="labels", sentence=sentence)]
    if not len(doubts.rows):
        return []
    sentence = (
        f"{len(doubts.rows):,} labels are doubtful: a probe on the embeddings that saw none of their group gives their "
        f"own label less than {DOUBT_BELOW:.0%} (its AUROC is {doubts.auroc.text()}); look at each."
    )
    share = len(doubts.rows) / (doubts.counts.num_genuine + doubts.counts.num_positive)
    examples = tuple(uris[row] for row in doubts.rows[:10])
    return [Finding(level=Level.WARN, part="labels", sentence=sentence, weight=share, examples=examples)]
