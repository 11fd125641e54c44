"""How a detector holds up: the figures of every cell at the frozen threshold, on the same pictures.

All cells meet the same replicates of the bootstrap, so that the change from native clean pictures has an interval of
its own, which is narrower than those of the two figures would let one think.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics, replicates
from gencv.evaluate.intervals import NUM_REPLICATES, Statistics, bootstrap
from gencv.evaluate.metrics import ONE_CLASS, Metric
from gencv.evaluate.protocols import NATIVE, Cell
from gencv.evaluate.replicates import ratio

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("protocol", pa.string()),  # these three are a Cell
        ("degradation", pa.string()),
        ("strength", pa.float64()),  # null for a tier
        ("score", pa.float32()),  # P(positive); null where the picture gave no answer
        ("error", pa.string()),
    ]
)
KEYS = ("id", "protocol", "degradation", "strength")
"""What tells a row from every other."""
FILE = "robustness.parquet"
TPR_AT = "tpr_at_fpr_1"
CLASS_OF = {"recall": 1, "bpcer": 0}
"""Figures that are a rate of one class."""


@dataclass(frozen=True)
class CellRow:
    """One cell at the frozen threshold."""

    cell: Cell
    num_unanswered: int
    figures: dict[str, Metric]
    """The figures of TITLES."""

    @property
    def worst(self) -> float:
        """What cells are ordered by: balanced accuracy, or recall or specificity where there is one class."""
        recall, alarms = self.figures["recall"].value, self.figures["bpcer"].value
        rates = [rate for rate in (recall, None if alarms is None else 1 - alarms) if rate is not None]
        return float(np.mean(rates)) if rates else 1.0


@dataclass(frozen=True)
class Robustness:
    """Every cell, the worst first, and how many pictures stand behind each; no rows where there is a reason."""

    rows: Sequence[CellRow] = field(default_factory=tuple)
    num_genuine: int = 0
    num_positive: int = 0
    reason: str = ""
    """Why there are no rows."""

    def row(self, cell: Cell) -> CellRow | None:
        return next((row for row in self.rows if row.cell == cell), None)


def robustness_of(
    table: pa.Table,
    predictions: Predictions,
    threshold: float,
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> Robustness:
    """Return the figures of every cell in a table of SCHEMA, which has the same N pictures in each cell.

    predictions: where the labels and groups of the pictures stand. A picture without an answer is judged wrongly in
    its cell, and is left out of what is ranked.
    """
    cells, ids, scores = _scores_of(table)
    if not ids:
        return Robustness(reason="no readable picture with a label could be degraded")
    places = {image_id: place for place, image_id in enumerate(predictions.table["id"].to_pylist())}
    rows = Predictions(predictions.table.take(pa.array([places[image_id] for image_id in ids])))
    labels, groups = rows.labels.astype(int), metrics.clusters(rows)
    native = scores[:, cells.index(NATIVE)]
    each = {
        cell: _statistics_of(labels, scores[:, k], native, threshold, is_native=cell == NATIVE)
        for k, cell in enumerate(cells)
    }

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        base: dict[str, np.ndarray] = each[NATIVE](weights)
        found: dict[str, np.ndarray] = {}
        for cell, measure in each.items():
            mine = base if cell == NATIVE else measure(weights)
            if cell != NATIVE:
                mine |= {f"{name}_change": mine[name] - base[name] for name in ("auroc", "balanced_accuracy")}
            found |= {f"{cell.name} {name}": values for name, values in mine.items()}
        return found

    points = statistics(np.ones((1, len(ids))))
    intervals = bootstrap(statistics, groups, labels, num_replicates=num_replicates, seed=seed)
    of_class = {label: len(np.unique(groups[labels == label])) for label in (0, 1)}
    num_groups = {"flips": len(np.unique(groups)), **{name: of_class[label] for name, label in CLASS_OF.items()}}
    found = []
    for k, cell in enumerate(cells):
        figures = {}
        for name in TITLES:
            key = f"{cell.name} {name}"
            if key not in points:
                figures[name] = Metric(None, reason="the other cells are measured against this one")
            elif np.isnan(points[key][0]):
                figures[name] = Metric(None, reason=_REASONS.get(name, ONE_CLASS))
            else:
                value = Metric(float(points[key][0]))
                figures[name] = metrics.with_interval(value, intervals[key], num_groups.get(name, 0))
        told = metrics.tpr_at_fpr(labels, scores[:, k], replicates.TPR_AT_FPR[TPR_AT])
        if told.value is None:
            figures[TPR_AT] = told
        found.append(CellRow(cell, int(np.isnan(scores[:, k]).sum()), figures))
    return Robustness(
        sorted(found, key=lambda row: (row.worst, row.cell.name)),
        num_genuine=int((labels == 0).sum()),
        num_positive=int((labels == 1).sum()),
    )


def _scores_of(table: pa.Table) -> tuple[list[Cell], list[str], np.ndarray]:
    """Return the cells, the ids of the N pictures, and float64 [N, cells], NaN where there is no answer."""
    columns = (table[name].to_pylist() for name in ("protocol", "degradation", "strength", "id", "score"))
    found: dict[Cell, dict[str, float]] = {}
    for protocol, degradation, strength, image_id, score in zip(*columns, strict=True):
        found.setdefault(Cell(protocol, degradation, strength), {})[image_id] = np.nan if score is None else score
    ids = list(found.get(NATIVE, {}))
    assert all(list(scores) == ids for scores in found.values()), "every cell has the same pictures in the same order"
    return list(found), ids, np.array([list(scores.values()) for scores in found.values()], np.float64).T


def _statistics_of(
    labels: np.ndarray, scores: np.ndarray, native: np.ndarray, threshold: float, *, is_native: bool
) -> Statistics:
    """Return a function from weights [R, N] to one cell's figures."""
    rank = replicates.ranking_tables(labels, scores)
    answered, positive = ~np.isnan(scores), labels == 1
    has_both = len(set(labels[answered].tolist())) == 2
    was_answered = ~np.isnan(native)
    flipped = was_answered & (~answered | ((scores >= threshold) != (native >= threshold)))
    columns = [
        positive,
        positive & ~(scores >= threshold),  # NaN is neither >= nor <, so no answer is wrong for both classes
        ~positive,
        ~positive & ~(scores < threshold),
        was_answered,
        flipped,
    ]
    table = np.column_stack(columns).astype(float)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        positives, missed, genuine, alarmed, judged, turned = (weights @ table).T
        recall, alarms = 1 - ratio(missed, positives), ratio(alarmed, genuine)
        found = {
            "balanced_accuracy": (recall + 1 - alarms) / 2,
            "recall": recall,
            "bpcer": alarms,
            "auroc": np.full(len(weights), np.nan),
            TPR_AT: np.full(len(weights), np.nan),
        }
        if has_both:
            tables = rank(weights)
            found["auroc"] = replicates.auroc(**tables)
            with np.errstate(invalid="ignore"):  # a replicate without an answered row of a class becomes NaN
                found[TPR_AT] = replicates.tpr_at_fpr(**tables, target=replicates.TPR_AT_FPR[TPR_AT])
        if not is_native:
            found["flips"] = ratio(turned, judged)
        return found

    return statistics


_REASONS = {
    "recall": metrics.NO_POSITIVE,
    "bpcer": metrics.NO_GENUINE,
    "flips": metrics.NO_ANSWER,
}

TITLES: dict[str, str] = {
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "recall": "recall",
    "bpcer": "false positives",
    TPR_AT: "TPR at FPR ≤ 1 %",
    "flips": "verdicts turned",
    "balanced_accuracy_change": "change of balanced accuracy",
    "auroc_change": "change of AUROC",
}
"""What people read for each figure of a cell, in the order to show them."""
