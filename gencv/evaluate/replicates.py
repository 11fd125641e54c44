"""The metrics under row weights, for many replicates at once; with weights of one they are the metrics themselves.

Everything that ranks comes from two tables: `tp` and `fp` [R, U], the weight of positives and of genuine pictures at
or above each of the U distinct scores, from the highest score down. Rows without a score are not in them.
"""

import numpy as np

from gencv.core.calibrator import logits_of
from gencv.evaluate import likelihood
from gencv.evaluate.intervals import Statistics

TPR_AT_FPR = {"tpr_at_fpr_1": 0.01, "tpr_at_fpr_0.5": 0.005, "tpr_at_fpr_0.1": 0.001}
BPCER_AT_APCER = {"bpcer10": 0.10, "bpcer20": 0.05, "bpcer100": 0.01}
NUM_BINS = 15
CLIP = 1e-7
"""The least distance of a score from 0 and 1 in the NLL, so that one sure mistake is not infinite."""
_ROUND = 1e-9  # .01 * 300 is a hair under 3 in floating point; a budget of errors must not lose one to that


def auroc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """P(s+ > s-) + P(s+ = s-) / 2: the trapezoids under tp over fp. Returns [R]."""
    heights = (tp + _before(tp)) / 2
    return ratio((heights * np.diff(fp, axis=1, prepend=0)).sum(axis=1), tp[:, -1] * fp[:, -1])


def average_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Sum of (R_k - R_{k-1}) P_k over distinct scores. Returns [R]."""
    above = tp + fp
    precision = np.divide(tp, above, out=np.zeros_like(tp), where=above > 0)
    return ratio((np.diff(tp, axis=1, prepend=0) * precision).sum(axis=1), tp[:, -1])


def eer(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """FPR where it equals FNR, by linear interpolation between neighbouring points of the ROC. Returns [R]."""
    num_replicates = len(tp)
    fpr = np.concatenate([np.zeros((num_replicates, 1)), ratio(fp, fp[:, -1:])], axis=1)
    gap = fpr - 1 + np.concatenate([np.zeros((num_replicates, 1)), ratio(tp, tp[:, -1:])], axis=1)  # FPR - FNR
    after = np.maximum((gap >= 0).argmax(axis=1), 1)
    rows = np.arange(num_replicates)
    share = -gap[rows, after - 1] / (gap[rows, after] - gap[rows, after - 1])
    value = fpr[rows, after - 1] + share * (fpr[rows, after] - fpr[rows, after - 1])
    return np.asarray(value)


def tpr_at_fpr(tp: np.ndarray, fp: np.ndarray, target: float) -> np.ndarray:
    """Greatest TPR over the thresholds with FPR <= target, without interpolation. Returns [R]."""
    allowed = fp <= target * fp[:, -1:] + _ROUND
    return ratio(np.where(allowed, tp, 0).max(axis=1), tp[:, -1])


def bpcer_at_apcer(tp: np.ndarray, fp: np.ndarray, target: float) -> np.ndarray:
    """Least BPCER over the thresholds with APCER (pooled) <= target, without interpolation. Returns [R]."""
    allowed = tp[:, -1:] - tp <= target * tp[:, -1:] + _ROUND
    return ratio(np.where(allowed, fp, np.inf).min(axis=1), fp[:, -1])


def bins_of_equal_width(scores: np.ndarray) -> np.ndarray:
    """int [N]: the bin of each score among 15 of equal width; a score of 1 goes to the last."""
    return np.asarray(np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1))


def bins_of_equal_mass(scores: np.ndarray) -> np.ndarray:
    """int [N]: the bin of each score among at most 15 of about equally many rows; equal scores share one."""
    edges: np.ndarray = np.unique(np.quantile(scores, np.arange(1, NUM_BINS) / NUM_BINS))
    return np.asarray(np.searchsorted(edges, scores, side="right"))


def calibration_error(weights: np.ndarray, labels: np.ndarray, scores: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Sum over bins of their share times |mean label - mean score|. Returns [R]."""
    members = (bins[:, None] == np.unique(bins)[None, :]) * (labels - scores)[:, None]
    return ratio(np.abs(weights @ members).sum(axis=1), weights.sum(axis=1))


def losses(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float64 [N]: each row's negative log likelihood in nats, with scores kept CLIP away from 0 and 1."""
    given = np.where(labels == 1, scores, 1 - scores)
    return np.asarray(-np.log(np.clip(given, CLIP, 1 - CLIP)))


def bits(labels: np.ndarray, scores: np.ndarray, prior: float) -> np.ndarray:
    """float64 [N]: each row's part in Cllr, with scores kept CLIP away from 0 and 1."""
    return likelihood.costs(labels, logits_of(np.clip(scores, CLIP, 1 - CLIP)), prior)


def ranking_tables(labels: np.ndarray, scores: np.ndarray) -> Statistics:
    """Return a function from weights [R, N] to {"tp": [R, U], "fp": [R, U]}, with the sorting done beforehand."""
    rows = np.flatnonzero(~np.isnan(scores))
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    ends = np.flatnonzero(np.append(np.diff(scores[rows]) != 0, True)) if len(rows) else np.zeros(0, int)
    is_positive = (labels[rows] == 1).astype(float)

    def tables(weights: np.ndarray) -> dict[str, np.ndarray]:
        ordered = weights[:, rows]
        tp = np.cumsum(ordered * is_positive, axis=1)[:, ends]
        return {"tp": tp, "fp": np.cumsum(ordered, axis=1)[:, ends] - tp}

    return tables


def statistics_of(
    labels: np.ndarray, scores: np.ndarray, threshold: float | None, species: np.ndarray, prior: float = 0.5
) -> Statistics:
    """Return a function from weights [R, N] to every metric that `metrics.summarise` gives an interval for.

    labels: 0 or 1 [N]. scores: [N], NaN for no answer. species: [N], read where the label is 1. prior: see
    `likelihood.costs`.
    """
    rank = ranking_tables(labels, scores)
    answered = ~np.isnan(scores)
    costs = bits(labels[answered], scores[answered], prior)
    probability = _probability_of(labels[answered], scores[answered]) if answered.any() else None
    decide = None if threshold is None else _decisions_of(labels, scores, threshold, species)
    sides = {"apnrr": (labels == 1).astype(float), "bpnrr": (labels == 0).astype(float)}

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: ratio(weights @ (side * ~answered), weights @ side) for name, side in sides.items()}
        if answered.any() and len(set(labels[answered])) == 2:
            tables = rank(weights)
            tp, fp = tables["tp"], tables["fp"]
            with np.errstate(invalid="ignore"):  # a replicate without an answered row of a class becomes NaN
                found |= {"auroc": auroc(tp, fp), "average_precision": average_precision(tp, fp), "eer": eer(tp, fp)}
                found |= {name: tpr_at_fpr(tp, fp, target) for name, target in TPR_AT_FPR.items()}
                found |= {name: bpcer_at_apcer(tp, fp, target) for name, target in BPCER_AT_APCER.items()}
            whole = likelihood.cllr(weights[:, answered], labels[answered], costs)
            least = likelihood.cllr_min(tp, fp)
            found |= {"cllr": whole, "cllr_min": least, "cllr_cal": whole - least}
        if probability is not None:
            found |= probability(weights[:, answered])
        if decide is not None:
            found |= decide(weights)
        return found

    return statistics


def _probability_of(labels: np.ndarray, scores: np.ndarray) -> Statistics:
    rows = np.stack([losses(labels, scores), (scores - labels) ** 2], axis=1)
    wide, even = bins_of_equal_width(scores), bins_of_equal_mass(scores)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        means = ratio(weights @ rows, weights.sum(axis=1, keepdims=True))
        return {
            "nll": means[:, 0],
            "brier": means[:, 1],
            "ece": calibration_error(weights, labels, scores, wide),
            "ece_equal_mass": calibration_error(weights, labels, scores, even),
        }

    return statistics


def _decisions_of(labels: np.ndarray, scores: np.ndarray, threshold: float, species: np.ndarray) -> Statistics:
    positive = labels == 1
    missed = positive & ~(scores >= threshold)  # NaN is neither >= nor <, so no answer is wrong for both classes
    alarmed = ~positive & ~(scores < threshold)
    names = np.unique(species[positive])
    of_species = (species[:, None] == names[None, :]) & positive[:, None]
    columns = np.column_stack([positive, missed, ~positive, alarmed, of_species, of_species & missed[:, None]])
    columns = columns.astype(float)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = weights @ columns
        num_positive, fn, num_genuine, fp = sums[:, :4].T
        tp, tn = num_positive - fn, num_genuine - fp
        apcer, bpcer = ratio(fn, num_positive), ratio(fp, num_genuine)
        found = {
            "accuracy": ratio(tp + tn, num_positive + num_genuine),
            "balanced_accuracy": 1 - (apcer + bpcer) / 2,
            "precision": ratio(tp, tp + fp),
            "recall": 1 - apcer,
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "apcer_pooled": apcer,
            "bpcer": bpcer,
            "acer_pooled": (apcer + bpcer) / 2,
            "hter": (apcer + bpcer) / 2,
        }
        if len(names):
            each = ratio(sums[:, 4 + len(names) :], sums[:, 4 : 4 + len(names)])
            worst = np.nan_to_num(each, nan=-1.0).max(axis=1)  # a species that was not drawn cannot be the worst
            worst = np.where(worst < 0, np.nan, worst)
            found |= {"apcer_max": worst, "acer_max": (worst + bpcer) / 2}
        return found

    return statistics


def _before(table: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(table), 1)), table[:, :-1]], axis=1)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0: such a replicate is undefined."""
    below = np.broadcast_to(below, above.shape)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
