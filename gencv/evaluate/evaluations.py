"""What a detector said of some pictures and the threshold that it froze: what `evaluate` leaves, read back."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.core.predictions import SCHEMA, Predictions

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a report of `evaluate` keeps of the detector, beside its predictions."""

    title: str
    task: str
    labels: tuple[str, str]
    """What genuine and positive are called."""
    threshold: float
    threshold_name: str
    prior: float | None
    """The share of positives that its scores take for granted."""
    fitted_on: str = ""
    """Digest of the manifest that it was fitted on."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One detector's predictions of labelled pictures; `sources` [N] says where each picture came from."""

    name: str
    said: Said
    predictions: Predictions
    sources: np.ndarray

    def rows(self, rows: np.ndarray) -> "Evaluation":
        """Return the rows int [K], in this order."""
        taken = Predictions(self.predictions.table.take(pa.array(rows, pa.int64())))
        return replace(self, predictions=taken, sources=self.sources[rows])


def said_in(folder: str) -> Said:
    """Return what an evaluation keeps of its detector. Raises BadInput if it is none, or not finished."""
    place = storage.join(folder, "report.json")
    if not storage.exists(place):
        raise BadInput(f"{folder} holds no finished evaluation; run `evaluate` into it (the same command goes on).")
    try:
        report: dict[str, Any] = json.loads(storage.read_bytes(place))
        job, said = report["job"], report["figures"].get("detector")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{place} is no report that can be read: {error!r}") from None
    if job != "evaluate":
        raise BadInput(f"{folder} was made by {job}, and is no evaluation; give a folder that `evaluate` wrote.")
    try:
        return Said(**{**said, "labels": tuple(said["labels"])})
    except TypeError:
        raise BadInput(f"{folder} does not say at which threshold it judged; run `evaluate` again.") from None


def read_evaluation(folder: str, name: str) -> Evaluation:
    """Read the predictions of a folder that `evaluate` wrote. Raises BadInput."""
    said = said_in(folder)
    table = tables.conform(tables.read_table(storage.join(folder, PREDICTIONS)), SCHEMA, "predictions")
    return evaluation(name, said, Predictions(table), Manifest.load(folder))


def evaluation(name: str, said: Said, predictions: Predictions, manifest: Manifest) -> Evaluation:
    """Put predictions beside the sources that their manifest names."""
    source_of = dict(zip(manifest["id"], manifest["source"], strict=True))
    sources = np.array(
        [source_of.get(row_id) or "unknown" for row_id in predictions.table["id"].to_pylist()], dtype=object
    )
    return Evaluation(name=name, said=said, predictions=predictions, sources=sources)


def same_pictures(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], list[str]]:
    """Return the evaluations cut to the labelled pictures that all have, in one order, and what that left out.

    A picture is known by its id, the digest of its bytes. Groups, generators, and sources are those that the first one
    names. Raises BadInput for different tasks, for a picture of two labels, and if a class is missing in what all have.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.said.task != first.said.task:
            raise BadInput(
                f"{first.name} tells {first.said.labels[1]} from {first.said.labels[0]} and {other.name} "
                f"{other.said.labels[1]} from {other.said.labels[0]}; only detectors of one task can be compared."
            )
    labels = [_labels_of(each.predictions) for each in evaluations]
    common = sorted(set.intersection(*(set(known) for known in labels)))
    for each, known in zip(evaluations, labels, strict=True):
        differing = [row_id for row_id in common if known[row_id] != labels[0][row_id]]
        if differing:
            raise BadInput(
                f"{first.name} and {each.name} were given different labels for {len(differing)} of the same pictures, "
                f"{differing[0]} for example; evaluate both on one manifest."
            )
    counts = Counter(labels[0][row_id] for row_id in common)
    if len(counts) < 2:
        raise BadInput(
            f"The evaluations have {len(common)} labelled pictures in common, {counts[0]} genuine and {counts[1]} "
            "positive; a comparison needs both."
        )
    remarks = []
    if any(len(known) != len(common) for known in labels):
        sizes = ", ".join(f"{len(known):,} of {each.name}" for each, known in zip(evaluations, labels, strict=True))
        remarks.append(f"Not all judged the same pictures ({sizes}); the {len(common):,} that all have are compared.")
    cut = []
    for each in evaluations:
        place = {row_id: row for row, row_id in enumerate(each.predictions.table["id"].to_pylist())}
        cut.append(each.rows(np.array([place[row_id] for row_id in common])))
    return [_described_as(each, cut[0]) for each in cut], [*remarks, *remarks_on(cut)]


def remarks_on(evaluations: Sequence[Evaluation]) -> list[str]:
    """Say what makes a comparison less than fair: rows that were fitted on, unlike thresholds, other manifests."""
    found = []
    splits = sorted({str(split) for each in evaluations for split in each.predictions.column("split")} - {"test"})
    if splits:
        found.append(f"Some pictures are of the split {', '.join(splits)}: a detector may have been fitted on them.")
    names = {each.name: each.said.threshold_name for each in evaluations}
    if len(set(names.values())) > 1:
        said = ", ".join(f"{name} at {threshold}" for name, threshold in names.items())
        found.append(f"Not all decide at the same kind of threshold ({said}); AUROC needs none.")
    if len({each.said.fitted_on for each in evaluations}) > 1:
        found.append(
            "The detectors were fitted on different manifests; that none of these pictures was among those that "
            "another was fitted on cannot be seen from here."
        )
    return found


def _labels_of(predictions: Predictions) -> dict[str, int]:
    rows = zip(predictions.table["id"].to_pylist(), predictions.table["label"].to_pylist(), strict=True)
    return {row_id: label for row_id, label in rows if label is not None}


def _described_as(each: Evaluation, first: Evaluation) -> Evaluation:
    """Return an evaluation whose pictures are described as the first one's are."""
    table = each.predictions.table
    for name in ("generator", "family", "group"):
        table = table.set_column(table.column_names.index(name), name, first.predictions.table[name])
    return replace(each, predictions=Predictions(table), sources=first.sources)
