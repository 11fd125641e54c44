"""Where a detector fails: recall for each generator and false positives for each source of genuine pictures."""

from dataclasses import dataclass, replace

import numpy as np

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.intervals import FEW_GROUPS, NUM_REPLICATES, Statistics, bootstrap
from gencv.evaluate.metrics import Metric
from gencv.evaluate.replicates import ratio


@dataclass(frozen=True)
class GeneratorRow:
    """One generator, or one source of genuine pictures, at a fixed threshold."""

    generator: str
    family: str
    source: str
    """Where genuine pictures were gathered; "" for a generator, whose pictures count together."""
    is_genuine: bool
    num_rows: int
    num_groups: int
    num_unanswered: int
    rate: Metric
    """Recall of a generator; false-positive rate of genuine pictures."""
    auroc: Metric
    """A generator against all genuine pictures; None for genuine pictures."""

    @property
    def name(self) -> str:
        """Name it for people: "sd15", or "camera of folder:products"."""
        return f"{self.generator} of {self.source}" if self.source else self.generator

    @property
    def error(self) -> float:
        """Share of its pictures that were judged wrongly."""
        assert self.rate.value is not None
        return self.rate.value if self.is_genuine else 1 - self.rate.value


def per_generator(
    predictions: Predictions,
    threshold: float,
    seed: int = 0,
    *,
    cluster: str = "group",
    num_replicates: int = NUM_REPLICATES,
) -> list[GeneratorRow]:
    """Return a row for each generator, the least recall first, then for each genuine source, most alarms first.

    The intervals come from one bootstrap in which the groups of every generator are drawn apart, so that all rows
    meet the same replicates of the genuine pictures.
    """
    labels, scores, generators = metrics.labelled(predictions, "generator")
    _, _, families = metrics.labelled(predictions, "family")
    _, _, sources = metrics.labelled(predictions, "source")
    sources = np.where((labels == 1) | (sources == "None"), "", sources)
    groups = metrics.clusters(predictions, cluster)
    # A name may stand on both sides (a data set with its own reconstructions), so the label is part of the key.
    rows_of = zip(labels, generators, sources, strict=True)
    keys = np.array([f"{label} {name}\x1f{source}" for label, name, source in rows_of], dtype=str)
    names = np.unique(keys)
    if not len(names):
        return []
    statistics = statistics_of_keys(labels, scores, keys, names, threshold)
    intervals = bootstrap(statistics, groups, keys, num_replicates=num_replicates, seed=seed)

    num_genuine_groups = len(np.unique(groups[labels == 0]))
    rows = []
    for key in names:
        mine = keys == key
        is_genuine = bool(labels[mine][0] == 0)
        num_groups = len(np.unique(groups[mine]))
        measure = metrics.bpcer if is_genuine else metrics.recall
        # The interval notes the fewest groups of any generator; what matters here are this row's own.
        rate_interval = replace(intervals[f"rate {key}"], note=note_on_groups(num_groups))
        rate = metrics.with_interval(measure(labels[mine], scores[mine], threshold), rate_interval, num_groups)
        auroc = Metric(None, reason="genuine pictures are the other side of every AUROC")
        if not is_genuine:
            against = mine | (labels == 0)
            auroc = metrics.auroc(labels[against], scores[against])
            if f"auroc {key}" in intervals:
                note = note_on_groups(min(num_groups, num_genuine_groups))
                auroc = metrics.with_interval(auroc, replace(intervals[f"auroc {key}"], note=note))
        rows.append(
            GeneratorRow(
                generator=str(generators[mine][0]),
                family=str(families[mine][0]),
                source=str(sources[mine][0]),
                is_genuine=is_genuine,
                num_rows=int(mine.sum()),
                num_groups=num_groups,
                num_unanswered=int(np.isnan(scores[mine]).sum()),
                rate=rate,
                auroc=auroc,
            )
        )
    return sorted(rows, key=lambda row: (row.is_genuine, -row.error, row.name))


def note_on_groups(num_groups: int) -> str:
    """Say that an interval over so few groups is not to be relied on; "" if it is."""
    return f"unreliable: few groups ({num_groups})" if num_groups < FEW_GROUPS else ""


def statistics_of_keys(
    labels: np.ndarray, scores: np.ndarray, keys: np.ndarray, names: np.ndarray, threshold: float
) -> Statistics:
    """Return a function from weights [R, N] to "rate KEY" of each key and "auroc KEY" of those of positives.

    keys: str [N], "1 NAME" for positives and "0 NAME" for genuine pictures; names: the distinct ones. A rate is the
    share that is called positive, an AUROC is against all genuine pictures. Two products and one sum a replicate.
    """
    answered, positive = ~np.isnan(scores), labels == 1
    members = (keys[:, None] == names[None, :]).astype(float)
    # An answered positive is counted for recall; an unanswered genuine picture is a false alarm.
    called = np.where(answered, scores >= threshold, ~positive).astype(float)
    genuine = np.flatnonzero(answered & ~positive)
    genuine = genuine[np.argsort(scores[genuine], kind="stable")]
    attacks = np.flatnonzero(answered & positive)
    below = np.searchsorted(scores[genuine], scores[attacks], side="left")
    upto = np.searchsorted(scores[genuine], scores[attacks], side="right")

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        totals = weights @ members
        rates = ratio(weights @ (members * called[:, None]), totals)
        found = {f"rate {name}": rates[:, k] for k, name in enumerate(names)}
        if len(genuine) and len(attacks):
            mass = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, genuine], axis=1)], axis=1)
            placed = (mass[:, below] + mass[:, upto]) / 2  # weight of genuine scores under each attack's, ties by half
            drawn = weights[:, attacks]
            areas = ratio((drawn * placed) @ members[attacks], (drawn @ members[attacks]) * mass[:, -1:])
            found |= {f"auroc {name}": areas[:, k] for k, name in enumerate(names) if name.startswith("1 ")}
        return found

    return statistics
