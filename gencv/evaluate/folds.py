"""Scores for rows that a probe was not fitted on: cross-validation in which no group is cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NUM_FOLDS = 5
MIN_PICTURES = 30
"""Pictures of a class under which an AUROC has an interval of about a quarter, and says nothing."""
MIN_GROUPS = NUM_FOLDS
"""Groups of a class: one for every fold."""
PRIOR_VARIANCE = 10.0

FitAndScore = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(features to fit on [M, F], their labels [M], features to score [K, F]) -> P(positive) [K]."""


@dataclass(frozen=True, kw_only=True)
class Enough:
    """How many labelled pictures there are of each class, and whether they carry a figure."""

    num_genuine: int
    num_positive: int
    groups_genuine: int
    groups_positive: int

    @property
    def lacking(self) -> str:
        """Say what there is too little of, or nothing."""
        counts = (
            ("genuine", self.num_genuine, self.groups_genuine),
            ("positive", self.num_positive, self.groups_positive),
        )
        short = [f"{num} {name} pictures of {groups} groups" for name, num, groups in counts if _is_few(num, groups)]
        needed = f"{MIN_PICTURES} pictures and {MIN_GROUPS} groups of a class are needed"
        return f"{' and '.join(short)} are too few, {needed}" if short else ""


def enough(labels: np.ndarray, groups: np.ndarray) -> Enough:
    """Count the pictures and groups of each class. labels: 0 or 1 [N]; groups: [N]."""
    genuine, positive = labels == 0, labels == 1
    return Enough(
        num_genuine=int(genuine.sum()),
        num_positive=int(positive.sum()),
        groups_genuine=len(np.unique(groups[genuine])),
        groups_positive=len(np.unique(groups[positive])),
    )


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, fit_and_score: FitAndScore, seed: int = 0
) -> np.ndarray:
    """Return float64 [N], the score of every row by a probe that saw neither it nor any other row of its group.

    features: [N, F]; labels: 0 or 1 [N]; groups: [N]. NaN for the rows of a fold that leaves one class to fit on.
    The probe must weigh both classes alike: the share of positives differs from fold to fold, against that of the fold
    that is scored, so that the base rate alone would rank the rows, and rank them backwards.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.full(len(labels), np.nan)
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for fitted, held_out in folds.split(features, labels, groups):
        if len(np.unique(labels[fitted])) == 2 and len(held_out):
            scores[held_out] = fit_and_score(features[fitted], labels[fitted], features[held_out])
    # Rounding noise must not rank rows that the probe cannot tell apart.
    return np.round(scores, 6)


def fit_trees(categorical: Sequence[int] = ()) -> FitAndScore:
    """Return a probe of boosted trees: it takes missing values, categories, and what is not monotone.

    A size of 256 px amid photographs of all sizes is what a linear probe would miss. categorical: columns that hold
    codes from 0 to 31. Deterministic; some seconds for 100,000 rows.
    """

    def fit_and_score(features: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(
            max_iter=50,
            learning_rate=0.2,
            max_leaf_nodes=15,
            min_samples_leaf=5,
            l2_regularization=1.0,
            early_stopping=False,
            class_weight="balanced",
            categorical_features=list(categorical) or None,
            random_state=0,
        )
        return np.asarray(trees.fit(features, labels).predict_proba(others)[:, 1])

    return fit_and_score


def fit_logistic(features: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Score by a logistic regression on standardised features.

    Its strength falls with the number of features, so that before it sees a label its logits have a variance of
    PRIOR_VARIANCE whatever the encoder: sure of itself in few features or in many only as far as the rows make it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    strength = PRIOR_VARIANCE / features.shape[1]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000, class_weight="balanced"))
    return np.asarray(probe.fit(features, labels).predict_proba(others)[:, 1])


def _is_few(num: int, groups: int) -> bool:
    return num < MIN_PICTURES or groups < MIN_GROUPS
