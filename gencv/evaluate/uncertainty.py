"""How often a detector does not commit itself, and how often it is wrong where it does."""

from collections import Counter

import numpy as np

from gencv.core.band import Band
from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.intervals import NUM_REPLICATES, Statistics, bootstrap
from gencv.evaluate.metrics import NO_ANSWER, Metric
from gencv.evaluate.replicates import ratio
from gencv.evaluate.verdicts import REASONS, decide_all

CLASS_OF = {
    "uncertain_genuine": 0,
    "uncertain_positive": 1,
    "certain_fpr": 0,
    "certain_fnr": 1,
}
"""Figures that are a rate of one class."""


def uncertainty(
    predictions: Predictions,
    threshold: float,
    band: Band | None,
    *,
    cluster: str = "group",
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> dict[str, Metric]:
    """Return the figures of TITLES over the labelled rows with an answer, with 95 % intervals by bootstrap over groups.

    Pictures without an answer have no verdict; APNRR and BPNRR count them. `certain_fpr` and `certain_fnr` count every
    group once, as the band's promise does; the others count pictures.
    """
    rows = predictions.answered()
    labels, groups = rows.labels.astype(int), metrics.clusters(rows, cluster)
    if not len(rows):
        return {name: Metric(None, reason=NO_ANSWER) for name in TITLES}
    called, reasons = decide_all(rows, threshold, band)
    uncertain = np.array([bool(codes) for codes in reasons])
    statistics = _statistics_of(labels, groups, called, uncertain)
    points = statistics(np.ones((1, len(rows))))
    intervals = bootstrap(statistics, groups, labels, num_replicates=num_replicates, seed=seed)
    found = {}
    for name, values in points.items():
        if np.isnan(values[0]):
            found[name] = Metric(None, reason="no such picture with an answer, or none with a certain verdict")
            continue
        mine = groups[labels == CLASS_OF[name]] if name in CLASS_OF else groups
        found[name] = metrics.with_interval(Metric(float(values[0])), intervals[name], len(np.unique(mine)))
    return found


def reasons_of(predictions: Predictions, threshold: float, band: Band | None) -> dict[str, int]:
    """Count the answered rows that are uncertain for each of REASONS; a row may count for several."""
    _, reasons = decide_all(predictions.answered(), threshold, band)
    counts = Counter(code for codes in reasons for code in codes)
    return {code: counts[code] for code in REASONS}


def _statistics_of(labels: np.ndarray, groups: np.ndarray, called: np.ndarray, uncertain: np.ndarray) -> Statistics:
    """Return a function from weights [R, N] to each figure, from one product a replicate."""
    wrong = ~uncertain & (called != (labels == 1))
    _, codes = np.unique(groups, return_inverse=True)
    share = np.zeros(len(labels))  # of its group within its class
    for label in (0, 1):
        mine = labels == label
        share[mine] = 1 / np.bincount(codes[mine])[codes[mine]]
    columns = [np.ones(len(labels)), uncertain, wrong]
    for label in (0, 1):
        mine = labels == label
        columns += [mine, mine & uncertain, share * mine, share * (mine & wrong)]
    table = np.column_stack(columns).astype(float)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = (weights @ table).T
        return {
            "uncertain": ratio(sums[1], sums[0]),
            "uncertain_genuine": ratio(sums[4], sums[3]),
            "uncertain_positive": ratio(sums[8], sums[7]),
            "certain_error": ratio(sums[2], sums[0] - sums[1]),
            "certain_fpr": ratio(sums[6], sums[5]),
            "certain_fnr": ratio(sums[10], sums[9]),
        }

    return statistics


TITLES: dict[str, str] = {
    "uncertain": "Uncertain, of all answered",
    "uncertain_genuine": "Uncertain, of the genuine",
    "uncertain_positive": "Uncertain, of the positives",
    "certain_error": "Wrong, of the certain verdicts",
    "certain_fpr": "Genuine surely called positive, by group",
    "certain_fnr": "Positives surely called genuine, by group",
}
"""What people read for each figure of `uncertainty`, in the order to show them."""
