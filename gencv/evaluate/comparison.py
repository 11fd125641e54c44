"""Is one detector better than another? On the same pictures, each at its own frozen threshold, pair by pair.

The answer comes from a paired bootstrap over groups: both detectors meet the same replicates, so what is hard for both
drops out of the difference. McNemar's exact test counts single pictures, as if each stood for itself; where many share
a group it is too sure, so it stands beside the bootstrap and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from gencv.evaluate import metrics
from gencv.evaluate.entrants import Entrant
from gencv.evaluate.generators import GeneratorRow, per_generator
from gencv.evaluate.intervals import FEW_GROUPS, Statistics, fewest_groups, percentiles, replicate
from gencv.evaluate.metrics import Metric
from gencv.evaluate.replicates import statistics_of

LEVEL = 0.05
"""The p-value, corrected for the number of pairs, under which a difference is called one."""
DECIDING = "auroc"
"""The metric that the verdict on a pair is about: it depends on no threshold."""
COMPARED = {
    "auroc": 1,
    "balanced_accuracy": 1,
    "average_precision": 1,
    "tpr_at_fpr_1": 1,
    "accuracy": 1,
    "precision": 1,
    "recall": 1,
    "f1": 1,
    "bpcer": -1,
    "eer": -1,
    "ece": -1,
    "brier": -1,
    "cllr": -1,
}
"""The metrics of `metrics.summarise` that are compared: 1 where more is better, -1 where less is."""
MIN_REPLICATES = 2_000
REPLICATES_A_PAIR = 100
"""So that the smallest p-value there can be, two of all replicates, is under LEVEL when multiplied by the pairs."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of the first detector less that of the second, with its 95 % interval and two-sided p-values."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    """Corrected for the number of pairs."""
    reason: str = ""

    @property
    def is_real(self) -> bool:
        return self.p_holm is not None and self.p_holm < LEVEL

    def text(self, sign: int = 1) -> str:
        """Return "+0.031 [+0.012, +0.050]"; sign -1 turns it to the second less the first."""
        if self.value is None:
            return "–"
        low, high = (self.low, self.high) if sign == 1 else (self.high, self.low)
        if low is None or high is None:
            return f"{sign * self.value:+.3f}"
        return f"{sign * self.value:+.3f} [{sign * low:+.3f}, {sign * high:+.3f}]"


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """The pictures that only one of two detectors judged rightly, and how likely so uneven a share is by chance."""

    only_first: int
    only_second: int
    p: float
    p_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two detectors, what tells them apart, and the verdict in words."""

    first: str
    second: str
    differences: dict[str, Difference]
    mcnemar: McNemar
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Detectors on the same pictures, the best AUROC first."""

    names: tuple[str, ...]
    metrics: dict[str, dict[str, Metric]]
    """By detector, what `metrics.summarise` gives."""
    generators: dict[str, tuple[GeneratorRow, ...]]
    """By detector, recall for each generator and false positives for each source of genuine pictures."""
    pairs: tuple[Pair, ...]
    num_pictures: int
    num_groups: int
    """Groups in the class that has fewest."""
    remarks: tuple[str, ...] = ()


def compare(entrants: Sequence[Entrant], *, remarks: Sequence[str] = (), seed: int = 0) -> Comparison:
    """Compare detectors on pictures that all of them judged: `entrants.same_pictures` makes them so."""
    found = {
        each.name: metrics.summarise(each.predictions, each.terms.at, prior=each.terms.calibrator.prior, seed=seed)
        for each in entrants
    }
    ordered = sorted(entrants, key=lambda each: (-(found[each.name][DECIDING].value or 0.0), each.name))
    rows = ordered[0].predictions
    labels, groups = rows.labels.astype(int), metrics.clusters(rows)
    num_groups = fewest_groups(groups, labels)
    return Comparison(
        names=tuple(each.name for each in ordered),
        metrics={each.name: found[each.name] for each in ordered},
        generators={each.name: tuple(per_generator(each.predictions, each.terms.at, seed)) for each in ordered},
        pairs=tuple(compare_pairs(ordered, found, seed=seed)),
        num_pictures=len(rows),
        num_groups=num_groups,
        remarks=tuple(remarks),
    )


def compare_pairs(
    entrants: Sequence[Entrant],
    found: Mapping[str, Mapping[str, Metric]],
    *,
    num_replicates: int = 0,
    seed: int = 0,
) -> list[Pair]:
    """Return every pair of detectors. found: the metrics of each; num_replicates: 0 for as many as the pairs need."""
    labels = entrants[0].predictions.labels.astype(int)
    groups = metrics.clusters(entrants[0].predictions)
    each_two = list(combinations(entrants, 2))
    drawn = replicate(
        _all_of(entrants),
        groups,
        labels,
        num_replicates=num_replicates or max(MIN_REPLICATES, REPLICATES_A_PAIR * len(each_two)),
        seed=seed,
    )
    pairs = []
    for first, second in each_two:
        differences = {
            name: difference(
                found[first.name][name],
                found[second.name][name],
                drawn.get(f"{first.name}\n{name}"),
                drawn.get(f"{second.name}\n{name}"),
            )
            for name in COMPARED
        }
        test = mcnemar(_right(first), _right(second))
        pairs.append(Pair(first=first.name, second=second.name, differences=differences, mcnemar=test))
    num_groups = fewest_groups(groups, labels)
    return [replace(pair, verdict=verdict_on(pair, len(pairs), num_groups)) for pair in _corrected(pairs)]


def difference(first: Metric, second: Metric, ones: np.ndarray | None, others: np.ndarray | None) -> Difference:
    """Return the difference of a metric, none if either is undefined. ones, others: its replicates [R], drawn together.

    The p-value is twice the smaller share of replicates on either side of 0, so it is under .05 about where the
    interval leaves 0 out; one is added to count and total, as no number of replicates makes a p of 0. Source: Efron
    and Tibshirani 1993, chapter 15; Davison and Hinkley 1997, section 4.2.
    """
    for each in (first, second):
        if each.value is None or each.undefined:
            return Difference(value=None, reason=each.reason or "undefined")
    assert first.value is not None and second.value is not None
    if ones is None or others is None:
        return Difference(value=None, reason=first.reason or second.reason)
    gaps = ones - others
    gaps = gaps[~np.isnan(gaps)]
    interval = percentiles(gaps, FEW_GROUPS)
    p = None
    if len(gaps):
        # What differs by rounding alone is equal.
        below, above = int((gaps <= 1e-12).sum()), int((gaps >= -1e-12).sum())
        p = min(1.0, 2 * (min(below, above) + 1) / (len(gaps) + 1))
    return Difference(value=first.value - second.value, low=interval.low, high=interval.high, p=p)


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare what two detectors judged rightly, bool [N] each, by McNemar's exact test.

    Pictures that both judged alike say nothing; among the others, a fair coin decides which of the two was right.
    Source: McNemar 1947; Dietterich 1998.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    num = only_first + only_second
    p = float(binomtest(only_first, num, 0.5).pvalue) if num else 1.0
    return McNemar(only_first=only_first, only_second=only_second, p=p)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, step by step down. Source: Holm 1979."""
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(values)[order] * np.arange(len(values), 0, -1)))
    return [float(value) for value in corrected]


def verdict_on(pair: Pair, num_pairs: int, num_groups: int) -> str:
    """Say in words what the deciding metric comes to."""
    told = pair.differences[DECIDING]
    title = metrics.TITLES[DECIDING]
    if told.value is None:
        return f"Nothing can be said of {pair.first} and {pair.second}: {told.reason}."
    doubt = f" Unreliable: {num_groups} groups in a class." if num_groups < FEW_GROUPS else ""
    if told.is_real:
        sign = 1 if told.value * COMPARED[DECIDING] > 0 else -1
        better, worse = (pair.first, pair.second) if sign == 1 else (pair.second, pair.first)
        return f"{better} is better than {worse}: {title} {told.text(sign * COMPARED[DECIDING])}.{doubt}"
    alone = told.p is not None and told.p < LEVEL
    among = f", as it is one of {num_pairs} pairs" if alone else ""
    return f"No difference can be told between {pair.first} and {pair.second}{among}: {title} {told.text()}.{doubt}"


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Correct every metric's p-values, and McNemar's, for the number of pairs."""
    differences = [dict(pair.differences) for pair in pairs]
    for name in COMPARED:
        told = [k for k, each in enumerate(differences) if each[name].p is not None]
        for k, p in zip(told, holm([differences[k][name].p or 0.0 for k in told]), strict=True):
            differences[k][name] = replace(differences[k][name], p_holm=p)
    tests = holm([pair.mcnemar.p for pair in pairs])
    return [
        replace(pair, differences=each, mcnemar=replace(pair.mcnemar, p_holm=p))
        for pair, each, p in zip(pairs, differences, tests, strict=True)
    ]


def _all_of(entrants: Sequence[Entrant]) -> Statistics:
    """Return a function from weights [R, N] to the compared metrics of every detector."""
    functions = {}
    for each in entrants:
        labels, scores, species = metrics.labelled(each.predictions, "generator")
        prior = metrics.prior_or_half(each.terms.calibrator.prior)
        functions[each.name] = statistics_of(labels, scores, each.terms.at, species, prior)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{detector}\n{name}": values
            for detector, function in functions.items()
            for name, values in function(weights).items()
            if name in COMPARED
        }

    return statistics


def _right(each: Entrant) -> np.ndarray:
    """bool [N]: what was judged rightly; no answer is wrong for both classes."""
    labels, scores = each.predictions.labels, each.predictions.scores
    return np.asarray(np.where(labels == 1, scores >= each.terms.at, scores < each.terms.at))
