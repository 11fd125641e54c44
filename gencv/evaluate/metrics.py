"""How well scores tell positives from genuine pictures: each figure by its field's definition, or none and why.

Positive (label 1) is the attack: spoof or generated. A picture is called positive where `score >= threshold`. A
score of NaN is a picture without an answer: wrong for both classes wherever decisions are counted, and left out
where scores are ranked or read as probabilities. Nothing here looks for a threshold; `thresholds` does, on
validation rows.

scikit-learn is imported where it is used: it takes two to three seconds, and most jobs and processes need none of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate import likelihood, replicates
from gencv.evaluate.intervals import NUM_REPLICATES, Interval, bootstrap, exact_rate

ONE_CLASS = "needs answered pictures of both classes"
NO_THRESHOLD = "no threshold is set"
NO_POSITIVE = "no positive pictures"
NO_GENUINE = "no genuine pictures"
NO_ANSWER = "no answered pictures"


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval, or no figure and the reason; a reason beside a figure is a remark on it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    undefined: bool = False
    """The value is the 0 that stands for 0/0, as precision where nothing was called positive."""

    def text(self, digits: int = 3) -> str:
        """Return "0.912 [0.880, 0.941]", without what there is not."""
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Roc:
    """Points of the ROC, one a distinct score, from the threshold that calls nothing positive downwards."""

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class Counts:
    """What was decided at a threshold. A picture without an answer is in `fn` or `fp`, and counted apart as well."""

    tp: int
    fp: int
    tn: int
    fn: int
    num_unanswered_positive: int
    num_unanswered_genuine: int

    @property
    def num_positive(self) -> int:
        return self.tp + self.fn

    @property
    def num_genuine(self) -> int:
        return self.tn + self.fp


def roc(labels: np.ndarray, scores: np.ndarray) -> Roc:
    """Return every point of the ROC of the answered rows. Raises BadInput if they are not of both classes.

    labels: 0 or 1 [N]. scores: [N] in [0, 1], NaN for no answer; so for all functions here.
    """
    from sklearn.metrics import roc_curve

    labels, scores = _answered(labels, scores)
    if not _both(labels):
        raise BadInput(f"A ROC {ONE_CLASS}; these are {int((labels == 1).sum())} positive of {len(labels)}.")
    return Roc(*roc_curve(labels, scores, drop_intermediate=False))


def auroc(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """P(s+ > s-) + P(s+ = s-) / 2, the Mann-Whitney statistic; the direction is never turned. None for one class."""
    from sklearn.metrics import roc_auc_score

    labels, scores = _answered(labels, scores)
    return Metric(float(roc_auc_score(labels, scores))) if _both(labels) else Metric(None, reason=ONE_CLASS)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Sum of (R_k - R_{k-1}) P_k over distinct scores, ties in one step. None for one class."""
    from sklearn.metrics import average_precision_score

    labels, scores = _answered(labels, scores)
    return Metric(float(average_precision_score(labels, scores))) if _both(labels) else Metric(None, reason=ONE_CLASS)


def eer(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """The error where FPR = FNR, by linear interpolation on the ROC. None for one class.

    It describes a ranking; as an operating point it would be tuned on the rows that it judges.
    """
    return _ranked(labels, scores, replicates.eer)


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, target: float) -> Metric:
    """Return the greatest TPR over thresholds with FPR <= target, without interpolation.

    None where 1 / target exceeds the number of genuine rows: one error would already be too many to count. The
    remark says how many false positives the target allows.
    """
    assert 0 < target < 1
    labels, scores = _answered(labels, scores)
    num_genuine, needed = int((labels == 0).sum()), int(np.ceil(1 / target - 1e-9))
    if num_genuine < needed:
        return Metric(None, reason=f"too_few: {num_genuine} genuine pictures, {needed} needed")
    allowed = int(np.floor(target * num_genuine + 1e-9))
    metric = _ranked(labels, scores, lambda tp, fp: replicates.tpr_at_fpr(tp, fp, target))
    return metric if metric.value is None else replace(metric, reason=f"{allowed} false positives allowed")


def bpcer_at_apcer(labels: np.ndarray, scores: np.ndarray, target: float) -> Metric:
    """Return the least BPCER over thresholds with pooled APCER <= target: BPCER10, 20, 100 for .1, .05, .01.

    None where there are fewer than 1 / target attacks. Source: ISO/IEC 30107-3.
    """
    assert 0 < target < 1
    labels, scores = _answered(labels, scores)
    num_positive, needed = int((labels == 1).sum()), int(np.ceil(1 / target - 1e-9))
    if num_positive < needed:
        return Metric(None, reason=f"too_few: {num_positive} positive pictures, {needed} needed")
    metric = _ranked(labels, scores, lambda tp, fp: replicates.bpcer_at_apcer(tp, fp, target))
    return metric if metric.value is None else replace(metric, reason="pooled APCER")


def confusion(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Counts:
    """Count the decisions `score >= threshold`; a row without an answer is wrong whatever its label."""
    positive, unanswered = labels == 1, np.isnan(scores)
    called = np.where(unanswered, ~positive, scores >= threshold)
    return Counts(
        tp=int((positive & called).sum()),
        fp=int((~positive & called).sum()),
        tn=int((~positive & ~called).sum()),
        fn=int((positive & ~called).sum()),
        num_unanswered_positive=int((positive & unanswered).sum()),
        num_unanswered_genuine=int((~positive & unanswered).sum()),
    )


def accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """(TP + TN) / N. None without rows."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.tp + counts.tn, len(labels), "no pictures")


def balanced_accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """(TPR + TNR) / 2. None for one class."""
    counts = confusion(labels, scores, threshold)
    tpr = _share(counts.tp, counts.num_positive, NO_POSITIVE)
    return _half_of(tpr, _share(counts.tn, counts.num_genuine, NO_GENUINE))


def precision(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """TP / (TP + FP); 0 and `undefined` where nothing was called positive. It moves with the prevalence."""
    counts = confusion(labels, scores, threshold)
    return _or_zero(counts.tp, counts.tp + counts.fp, "nothing was called positive")


def recall(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """TP / (TP + FN); 0 and `undefined` without positives."""
    counts = confusion(labels, scores, threshold)
    return _or_zero(counts.tp, counts.num_positive, NO_POSITIVE)


def f1(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """2 P R / (P + R); 0 and `undefined` where there is no true positive, no miss, and no false alarm."""
    counts = confusion(labels, scores, threshold)
    return _or_zero(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, "no positives, and none called so")


def apcer(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """Share of all attacks called genuine, every species pooled. None without attacks. Source: ISO/IEC 30107-3."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.fn, counts.num_positive, NO_POSITIVE)


def apcer_by_species(
    labels: np.ndarray, scores: np.ndarray, species: np.ndarray, threshold: float
) -> dict[str, Metric]:
    """Return the APCER of each species of attack: generator, family, or instrument [N]. Source: ISO/IEC 30107-3."""
    attacks = labels == 1
    rows = {str(name): attacks & (species == name) for name in np.unique(species[attacks])}
    return {name: apcer(labels[mask], scores[mask], threshold) for name, mask in rows.items()}


def apcer_max(labels: np.ndarray, scores: np.ndarray, species: np.ndarray, threshold: float) -> Metric:
    """The greatest APCER over species, the figure that ISO/IEC 30107-3 asks for; the remark names the species."""
    each = apcer_by_species(labels, scores, species, threshold)
    if not each:
        return Metric(None, reason=NO_POSITIVE)
    worst = max(each, key=lambda name: each[name].value or 0.0)
    return replace(each[worst], reason=f"worst of {len(each)}: {worst}")


def bpcer(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """Share of genuine pictures called attacks. None without genuine pictures. Source: ISO/IEC 30107-3."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.fp, counts.num_genuine, NO_GENUINE)


def acer_max(labels: np.ndarray, scores: np.ndarray, species: np.ndarray, threshold: float) -> Metric:
    """(greatest APCER over species + BPCER) / 2. None for one class."""
    return _half_of(apcer_max(labels, scores, species, threshold), bpcer(labels, scores, threshold))


def acer_pooled(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """(pooled APCER + BPCER) / 2 = 1 - balanced accuracy. None for one class."""
    return _half_of(apcer(labels, scores, threshold), bpcer(labels, scores, threshold))


def hter(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Metric:
    """(false acceptance + false rejection) / 2, which at a threshold is the ACER over pooled attacks.

    The field means the validation threshold of equal errors; at one that was tuned on these rows it is worth nothing.
    """
    return acer_pooled(labels, scores, threshold)


def ece(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Expected calibration error of P(positive) over 15 bins of equal width; empty bins count nothing.

    None without answered rows. It is biased upwards where rows are few. Source: Guo et al. 2017, arXiv:1706.04599.
    """
    return _calibration_error(labels, scores, replicates.bins_of_equal_width)


def ece_equal_mass(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Expected calibration error over 15 bins of equally many rows. Source: Nixon et al. 2019, arXiv:1904.01685."""
    return _calibration_error(labels, scores, replicates.bins_of_equal_mass)


def nll(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Mean negative log likelihood in nats; the remark says how many scores had to be kept 1e-7 from 0 or 1."""
    labels, scores = _answered(labels, scores)
    if not len(labels):
        return Metric(None, reason=NO_ANSWER)
    return Metric(float(replicates.losses(labels, scores).mean()), reason=_clipped(scores))


def brier(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Mean (p - y)^2, in [0, 1]. None without answered rows. Source: Brier 1950, its binary form."""
    labels, scores = _answered(labels, scores)
    return Metric(float(((scores - labels) ** 2).mean())) if len(labels) else Metric(None, reason=NO_ANSWER)


def cllr(labels: np.ndarray, scores: np.ndarray, prior: float | None = None) -> Metric:
    """Cost of the log-likelihood ratio in bits, with the prior removed: 0 perfect, 1 tells nothing. None for one class.

    prior: the share of positives that the scores take for granted, a calibrator's `prior`; None stands for .5, and the
    remark says so.
    """
    labels, scores = _answered(labels, scores)
    if not _both(labels):
        return Metric(None, reason=ONE_CLASS)
    weights = np.ones((1, len(labels)))
    value = likelihood.cllr(weights, labels, replicates.bits(labels, scores, prior_or_half(prior)))[0]
    remark = "" if prior == prior_or_half(prior) else "no prior is known, .5 is assumed"
    return Metric(float(value), reason="; ".join(filter(None, [_clipped(scores), remark])))


def cllr_min(labels: np.ndarray, scores: np.ndarray) -> Metric:
    """Cllr after the best rising change of the scores (PAV on these rows): what the ranking allows; None for one class.

    With few rows it is lower than the ranking deserves, since the change was fitted to them.
    """
    return _ranked(labels, scores, likelihood.cllr_min)


def cllr_cal(labels: np.ndarray, scores: np.ndarray, prior: float | None = None) -> Metric:
    """Cllr - Cllr_min: what calibration loses, in bits. None for one class."""
    whole, least = cllr(labels, scores, prior), cllr_min(labels, scores)
    if whole.value is None or least.value is None:
        return Metric(None, reason=whole.reason)
    return Metric(whole.value - least.value, reason=whole.reason)


def summarise(
    predictions: Predictions,
    threshold: float | None,
    *,
    prior: float | None = None,
    species: str = "generator",
    cluster: str = "group",
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> dict[str, Metric]:
    """Return every metric of the labelled rows with its 95 % bootstrap interval, and the counts behind them.

    threshold: set on validation rows and kept through the replicates; None leaves out what needs a decision.
    prior: see `cllr`.
    species: the column that tells attacks apart, "generator" or "family". cluster: the column that is resampled; a
    row that names none stands for itself.
    """
    labels, scores, kinds = labelled(predictions, species)
    groups = clusters(predictions, cluster)
    metrics = _points(labels, scores, kinds, threshold, prior)
    if not len(labels):
        return metrics
    statistics = replicates.statistics_of(labels, scores, threshold, kinds, prior_or_half(prior))
    intervals = bootstrap(statistics, groups, labels, num_replicates=num_replicates, seed=seed)
    num_groups = {label: len(np.unique(groups[labels == label])) for label in (0, 1)}
    for name, interval in intervals.items():
        metrics[name] = with_interval(metrics[name], interval, num_groups[_CLASS_OF[name]] if name in _CLASS_OF else 0)
    metrics |= {"num_groups_positive": _count(num_groups[1]), "num_groups_genuine": _count(num_groups[0])}
    return metrics


def with_interval(metric: Metric, interval: Interval, num_groups: int = 0) -> Metric:
    """Return the metric with its interval and the interval's note.

    num_groups: for the rate of one class, its groups; a rate of exactly 0 or 1 then gets the exact interval.
    """
    if metric.value is None or metric.undefined:
        return metric
    if num_groups and metric.value in (0.0, 1.0):
        low, high = exact_rate(metric.value, num_groups)
        note = f"exact interval over {num_groups} groups"
        return replace(metric, low=low, high=high, reason="; ".join(filter(None, [metric.reason, note])))
    reason = "; ".join(filter(None, [metric.reason, interval.note]))
    return replace(metric, low=interval.low, high=interval.high, reason=reason)


def labelled(predictions: Predictions, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels int [N], scores float64 [N], and a text column [N] of the rows that have a label."""
    known = predictions.where(predictions.table["label"].is_valid().to_numpy())
    return known.labels.astype(int), known.scores, known.column(column)


def clusters(predictions: Predictions, column: str = "group") -> np.ndarray:
    """Return str [N], the group of each labelled row; a row without one gets its own."""
    known = predictions.where(predictions.table["label"].is_valid().to_numpy()).table
    return groups_or_rows(known[column].to_pylist(), known["id"].to_pylist())


def groups_or_rows(groups: Sequence[str | None], ids: Sequence[str]) -> np.ndarray:
    """Return str [N], the group of each row; a row without one gets its own, named after its id."""
    pairs = zip(groups, ids, strict=True)
    return np.array([f"group {name}" if name else f"row {row_id}" for name, row_id in pairs], dtype=str)


def _points(
    labels: np.ndarray, scores: np.ndarray, species: np.ndarray, threshold: float | None, prior: float | None
) -> dict[str, Metric]:
    """Return the metrics without intervals, under the names that `summarise` gives them."""
    positive, unanswered = labels == 1, np.isnan(scores)
    found = {
        "num_positive": _count(positive.sum()),
        "num_genuine": _count((~positive).sum()),
        "num_unanswered": _count(unanswered.sum()),
        "prevalence": _share(int(positive.sum()), len(labels), "no pictures"),
        "apnrr": _share(int((positive & unanswered).sum()), int(positive.sum()), NO_POSITIVE),
        "bpnrr": _share(int((~positive & unanswered).sum()), int((~positive).sum()), NO_GENUINE),
        **{name: metric(labels, scores) for name, metric in RANKING.items()},
        **{name: tpr_at_fpr(labels, scores, target) for name, target in replicates.TPR_AT_FPR.items()},
        **{name: bpcer_at_apcer(labels, scores, target) for name, target in replicates.BPCER_AT_APCER.items()},
        "cllr": cllr(labels, scores, prior),
        "cllr_cal": cllr_cal(labels, scores, prior),
    }
    if threshold is None:
        names = [*DECISION, "apcer_max", "acer_max"]
        return found | {name: Metric(None, reason=NO_THRESHOLD) for name in names}
    found |= {name: metric(labels, scores, threshold) for name, metric in DECISION.items()}
    found["apcer_max"] = apcer_max(labels, scores, species, threshold)
    found["acer_max"] = acer_max(labels, scores, species, threshold)
    return found


def prior_or_half(prior: float | None) -> float:
    """Return the prior that Cllr removes: .5 where none is known, or where it is that of a single class."""
    return prior if prior is not None and 0 < prior < 1 else 0.5


def _clipped(scores: np.ndarray) -> str:
    """Say how many scores had to be kept away from 0 or 1, "" for none."""
    num = int(((scores < replicates.CLIP) | (scores > 1 - replicates.CLIP)).sum())
    return f"{num} scores clipped to {replicates.CLIP:g}" if num else ""


def _answered(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(scores)
    return np.asarray(labels)[known], np.asarray(scores, np.float64)[known]


def _both(labels: np.ndarray) -> bool:
    return bool((labels == 1).any() and (labels == 0).any())


def _ranked(labels: np.ndarray, scores: np.ndarray, figure: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Metric:
    """Evaluate a figure of the ranking tables with weights of one."""
    labels, scores = _answered(labels, scores)
    if not _both(labels):
        return Metric(None, reason=ONE_CLASS)
    tables = replicates.ranking_tables(labels, scores)(np.ones((1, len(labels))))
    return Metric(float(figure(tables["tp"], tables["fp"])[0]))


def _calibration_error(labels: np.ndarray, scores: np.ndarray, bins: Callable[[np.ndarray], np.ndarray]) -> Metric:
    labels, scores = _answered(labels, scores)
    if not len(labels):
        return Metric(None, reason=NO_ANSWER)
    weights = np.ones((1, len(labels)))
    return Metric(float(replicates.calibration_error(weights, labels, scores, bins(scores))[0]))


def _count(number: int) -> Metric:
    return Metric(float(number))


def _share(part: int, whole: int, reason: str) -> Metric:
    return Metric(part / whole) if whole else Metric(None, reason=reason)


def _or_zero(part: int, whole: int, reason: str) -> Metric:
    return Metric(part / whole) if whole else Metric(0.0, reason=f"undefined: {reason}", undefined=True)


def _half_of(first: Metric, second: Metric) -> Metric:
    if first.value is None or second.value is None:
        return Metric(None, reason=first.reason if first.value is None else second.reason)
    return Metric((first.value + second.value) / 2, reason=first.reason)


# Rates of one class, which have an exact interval at 0 and 1.
_CLASS_OF = {"recall": 1, "apcer_pooled": 1, "bpcer": 0, "apnrr": 1, "bpnrr": 0}

RANKING: dict[str, Callable[[np.ndarray, np.ndarray], Metric]] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "eer": eer,
    "ece": ece,
    "ece_equal_mass": ece_equal_mass,
    "nll": nll,
    "brier": brier,
    "cllr_min": cllr_min,
}
"""Metrics of the scores alone."""

DECISION: dict[str, Callable[[np.ndarray, np.ndarray, float], Metric]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "apcer_pooled": apcer,
    "bpcer": bpcer,
    "acer_pooled": acer_pooled,
    "hter": hter,
}
"""Metrics at a threshold."""

TITLES: dict[str, str] = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "eer": "Equal error rate",
    "tpr_at_fpr_1": "TPR at FPR ≤ 1 %",
    "tpr_at_fpr_0.5": "TPR at FPR ≤ 0.5 %",
    "tpr_at_fpr_0.1": "TPR at FPR ≤ 0.1 %",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "apcer_max": "APCER, worst species",
    "apcer_pooled": "APCER, pooled",
    "bpcer": "BPCER",
    "acer_max": "ACER, worst species",
    "acer_pooled": "ACER, pooled",
    "hter": "HTER at the validation threshold",
    "bpcer10": "BPCER at APCER ≤ 10 %",
    "bpcer20": "BPCER at APCER ≤ 5 %",
    "bpcer100": "BPCER at APCER ≤ 1 %",
    "apnrr": "Attacks without an answer (APNRR)",
    "bpnrr": "Genuine without an answer (BPNRR)",
    "ece": "Calibration error, 15 equal bins",
    "ece_equal_mass": "Calibration error, equal mass",
    "nll": "Negative log likelihood, nats",
    "brier": "Brier score",
    "cllr": "Cllr, bits",
    "cllr_min": "Cllr, least for this ranking",
    "cllr_cal": "Cllr lost by calibration",
    "prevalence": "Prevalence of positives",
}
"""What people read for each figure of `summarise`, in the order to show them; counts (`num_*`) are not in it."""
