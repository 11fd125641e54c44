"""An evaluation: all figures of a detector on some pictures, out of the tables that a run keeps and nothing else.

A run of `evaluate` keeps `terms.json` (what was fixed before a picture was judged), `predictions.parquet`, and
`robustness.parquet`. Every figure of its page and of its metrics.json follows from these, by the functions here; so
`--reproduce` makes them again without the detector.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate import robustness
from gencv.evaluate.generators import GeneratorRow, per_generator
from gencv.evaluate.intervals import FEW_GROUPS, NUM_REPLICATES
from gencv.evaluate.kinds import KindsResult, kinds_result
from gencv.evaluate.metrics import Metric, clusters, summarise
from gencv.evaluate.robustness import CellRow, Robustness, robustness_of
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.uncertainty import reasons_of, uncertainty
from gencv.evaluate.validation import ALL_EQUAL, FEW

SCHEMA_VERSION = 2
"""Of metrics.json; 1 was a flat table of metrics."""
TERMS = "terms.json"
METRICS = "metrics.json"
HEADLINE = ("auroc", "balanced_accuracy", "eer")
FITTED_ON = {
    Split.TEST: "",
    Split.VAL: "These are validation rows: the threshold and the calibration may have been set on them.",
    Split.TRAIN: "These are training rows: the detector may have been fitted on them, so the figures flatter it.",
}
"""What a reader must know of the rows of a split."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What was fixed before a picture was judged."""

    title: str
    task: str
    labels: tuple[str, str]
    """What genuine and positive are called."""
    split: Split
    threshold: Threshold
    calibrator: Calibrator
    band: Band | None
    scope: str = ""
    """A sentence on which pictures are outside of what the detector was measured on."""
    kinds: tuple[str, ...] = ()
    """What the detector's second head tells apart."""
    preprocessing: dict[str, Any] | None = None
    fitted_on: str = ""
    """Digest of the manifest that it was fitted on."""
    audit: str = ""
    """A sentence on what an audit said of that manifest."""
    seen: str = ""
    """A sentence on what the detector saw of these pictures when it was fitted."""
    no_reencoding: str = ""
    """Why no picture was encoded again, so that no verdict can be unstable."""
    no_robustness: str = ""
    """Why nothing was degraded, where there is no table of it."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of the manifest and of the bundle."""
    seed: int = 0
    num_replicates: int = NUM_REPLICATES

    @property
    def at(self) -> float:
        """The threshold's value, which a threshold that decides has."""
        assert self.threshold.value is not None
        return self.threshold.value

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return facts

    def save(self, folder: str) -> None:
        """Write terms.json."""
        storage.write_bytes(storage.join(folder, TERMS), json.dumps(self.to_dict(), indent=1).encode())

    @classmethod
    def load(cls, folder: str) -> "Terms":
        """Read terms.json. Raises BadInput if it is absent, or says something else."""
        place = storage.join(folder, TERMS)
        if not storage.exists(place):
            raise BadInput(f"{folder} holds no {TERMS}; give the folder of a finished run of `evaluate`.")
        try:
            facts = dict(json.loads(storage.read_bytes(place)))
            facts["split"], facts["labels"] = Split(facts["split"]), tuple(facts["labels"])
            facts["threshold"], facts["kinds"] = Threshold(**facts["threshold"]), tuple(facts["kinds"])
            facts["calibrator"] = Calibrator.from_dict(facts["calibrator"])
            facts["band"] = Band.from_dict(facts["band"]) if facts["band"] else None
            return cls(**facts)
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(f"{place} cannot be read: {error!r}.") from None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures of a detector on the N rows of `predictions`."""

    terms: Terms
    predictions: Predictions
    metrics: dict[str, Metric]
    """As `summarise` gives them."""
    doubts: dict[str, Metric]
    """As `uncertainty` gives them."""
    reasons: dict[str, int]
    """As `reasons_of` gives them."""
    generators: Sequence[GeneratorRow]
    """Generators, the least recall first; then sources of genuine pictures, the most false positives first."""
    robustness: Robustness
    kinds: KindsResult | None
    warnings: tuple[str, ...]
    """What a reader must know before believing the figures, a sentence each."""
    digests: dict[str, str]
    """Of the inputs, and of the tables that the figures follow from."""

    def worst_generator(self) -> GeneratorRow | None:
        return next((row for row in self.generators if not row.is_genuine), None)

    def worst_source(self) -> GeneratorRow | None:
        return next((row for row in self.generators if row.is_genuine), None)

    def worst_cell(self) -> CellRow | None:
        return next(iter(self.robustness.rows), None)

    def to_dict(self) -> dict[str, Any]:
        """Return what metrics.json holds; docs/evaluation.md says what each key means."""
        terms, genuine, positive = self.terms, *self.terms.labels
        worst = {"generator": self.worst_generator(), "genuine_source": self.worst_source()}
        cell = self.worst_cell()
        rows = [(row.is_genuine, _row(row)) for row in self.generators]
        return {
            "schema": SCHEMA_VERSION,
            "title": terms.title,
            "task": terms.task,
            "labels": {"genuine": genuine, "positive": positive},
            "split": terms.split.value,
            "headline": _metrics({name: self.metrics[name] for name in HEADLINE}),
            "worst": {**{key: _row(row) if row else None for key, row in worst.items()}, "cell": _cell(cell)},
            "warnings": list(self.warnings),
            "counts": self.counts(),
            "metrics": _metrics(self.metrics),
            "uncertainty": _metrics(self.doubts),
            "reasons": self.reasons,
            "generators": [row for is_genuine, row in rows if not is_genuine],
            "genuine_sources": [row for is_genuine, row in rows if is_genuine],
            "robustness": {
                "num_genuine": self.robustness.num_genuine,
                "num_positive": self.robustness.num_positive,
                "reason": self.robustness.reason,
                "cells": [_cell(row) for row in self.robustness.rows],
            },
            "kinds": self.kinds and {"column": self.kinds.column, "accuracy": _metric(self.kinds.accuracy)},
            "threshold": {**asdict(terms.threshold), "id": terms.threshold.id},
            "calibration": {**terms.calibrator.to_dict(), "description": terms.calibrator.describe()},
            "band": terms.band.to_dict() if terms.band else None,
            "scope": terms.scope,
            "audit": terms.audit,
            "settings": {"seed": terms.seed, "num_replicates": terms.num_replicates},
            "digests": self.digests,
        }

    def counts(self) -> dict[str, int]:
        """Count the rows by label, and those without an answer."""
        labels = self.predictions.table["label"].to_pylist()
        return {
            "rows": len(labels),
            "genuine": labels.count(0),
            "positive": labels.count(1),
            "unlabelled": labels.count(None),
            "answered": int((~np.isnan(self.predictions.scores)).sum()),
            "unreadable": len(self.predictions.bad()),
        }


def figures_of(predictions: Predictions, degraded: pa.Table | None, terms: Terms) -> Evaluation:
    """Make every figure. degraded: a table of `robustness.SCHEMA`, or None where nothing was degraded."""
    how: dict[str, Any] = {"seed": terms.seed, "num_replicates": terms.num_replicates}
    digests = {**terms.digests, "predictions": tables.content_digest(predictions.table)}
    held = Robustness(reason=terms.no_robustness)
    if degraded is not None:
        held = robustness_of(degraded, predictions, terms.at, **how)
        digests["robustness"] = tables.content_digest(degraded, keys=robustness.KEYS)
    return Evaluation(
        terms=terms,
        predictions=predictions,
        metrics=summarise(predictions, terms.at, prior=terms.calibrator.prior, **how),
        doubts=uncertainty(predictions, terms.at, terms.band, **how),
        reasons=reasons_of(predictions, terms.at, terms.band),
        generators=per_generator(predictions, terms.at, **how),
        robustness=held,
        kinds=kinds_result(predictions, terms.at, terms.kinds, **how) if terms.kinds else None,
        warnings=tuple(warnings_of(predictions, terms)),
        digests=digests,
    )


def recompute(folder: str) -> Evaluation:
    """Make every figure of a finished run again from its tables. Raises BadInput if one of them is absent."""
    terms = Terms.load(folder)
    place = storage.join(folder, robustness.FILE)
    degraded = None
    if not terms.no_robustness:
        degraded = tables.conform(tables.read_table(place), robustness.SCHEMA, "table of degraded pictures")
    return figures_of(Predictions.load(folder), degraded, terms)


def warnings_of(predictions: Predictions, terms: Terms) -> list[str]:
    """Say what keeps these rows from saying much: a class that is absent or small, equal scores, answers of NaN."""
    rows = predictions.answered()
    counts = [int((rows.labels == label).sum()) for label in (0, 1)]
    found = []
    if min(counts) == 0:
        absent = " and no ".join(name for name, count in zip(terms.labels, counts, strict=True) if count == 0)
        found.append(f"There are no {absent} pictures with an answer, so that figures that need both have no value.")
    elif np.ptp(rows.scores) == 0:
        found.append(f"On these pictures {ALL_EQUAL}.")
    for name, count in zip(terms.labels, counts, strict=True):
        if 0 < count < FEW:
            found.append(f"Only {count} {name} pictures have an answer; with fewer than {FEW} a figure may be far off.")
    groups = [len(np.unique(clusters(rows)[rows.labels == label])) for label in (0, 1)]
    for label, name in enumerate(terms.labels):
        if counts[label] >= FEW and groups[label] < FEW_GROUPS:
            found.append(f"The {name} pictures are of {groups[label]} groups only, so that intervals say little.")
    silent = np.isnan(predictions.scores) & ~predictions.table["error"].is_valid().to_numpy()
    if silent.any():
        found.append(
            f"{int(silent.sum()):,} readable pictures got no number as their score (NaN); they count as no answer."
        )
    return found


def _metric(metric: Metric) -> dict[str, Any]:
    """Return a metric as JSON has it: value, low, and high, null where there is none, and a reason or remark if any."""
    facts: dict[str, Any] = {"value": metric.value, "low": metric.low, "high": metric.high}
    if metric.reason:
        facts["reason"] = metric.reason
    return facts | ({"undefined": True} if metric.undefined else {})


def _metrics(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: _metric(metric) for name, metric in metrics.items()}


def _row(row: GeneratorRow) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": row.name, "generator": row.generator, "family": row.family, "source": row.source}
    facts |= {"pictures": row.num_rows, "groups": row.num_groups, "unanswered": row.num_unanswered}
    rate = "false_positive_rate" if row.is_genuine else "recall"
    return {**facts, rate: _metric(row.rate), **({} if row.is_genuine else {"auroc": _metric(row.auroc)})}


def _cell(row: CellRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"name": row.cell.name, **asdict(row.cell), "unanswered": row.num_unanswered, **_metrics(row.figures)}
