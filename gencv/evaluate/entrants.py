"""Detectors that enter a comparison: what `evaluate` left of each, cut to the pictures that all of them judged."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate.evaluation import METRICS, Terms


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One detector: its predictions of labelled pictures, and the terms on which it judged them."""

    name: str
    terms: Terms
    predictions: Predictions

    def rows(self, rows: np.ndarray) -> "Entrant":
        """Return the rows int [K], in this order."""
        return replace(self, predictions=Predictions(self.predictions.table.take(pa.array(rows, pa.int64()))))


def read_entrant(folder: str, name: str) -> Entrant:
    """Read a folder that `evaluate` wrote. Raises BadInput if it is none, or not finished."""
    if not storage.exists(storage.join(folder, METRICS)):
        raise BadInput(f"{folder} holds no finished evaluation; run `evaluate` into it (the same command goes on).")
    return Entrant(name=name, terms=Terms.load(folder), predictions=Predictions.load(folder))


def same_pictures(entrants: Sequence[Entrant]) -> tuple[list[Entrant], list[str]]:
    """Return the entrants cut to the labelled pictures that all have, in one order, and what that left out.

    A picture is known by its id, the digest of its bytes. Groups, generators, and sources are those that the first one
    names. Raises BadInput for different tasks, for a picture of two labels, and if a class is missing in what all have.
    """
    first = entrants[0]
    for other in entrants[1:]:
        if other.terms.task != first.terms.task:
            raise BadInput(
                f"{first.name} tells {first.terms.labels[1]} from {first.terms.labels[0]} and {other.name} "
                f"{other.terms.labels[1]} from {other.terms.labels[0]}; only detectors of one task can be compared."
            )
    labels = [_labels_of(each.predictions) for each in entrants]
    common = sorted(set.intersection(*(set(known) for known in labels)))
    for each, known in zip(entrants, labels, strict=True):
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
        sizes = ", ".join(f"{len(known):,} of {each.name}" for each, known in zip(entrants, labels, strict=True))
        remarks.append(f"Not all judged the same pictures ({sizes}); the {len(common):,} that all have are compared.")
    cut = []
    for each in entrants:
        place = {row_id: row for row, row_id in enumerate(each.predictions.table["id"].to_pylist())}
        cut.append(each.rows(np.array([place[row_id] for row_id in common])))
    return [_described_as(each, cut[0]) for each in cut], [*remarks, *remarks_on(cut)]


def remarks_on(entrants: Sequence[Entrant]) -> list[str]:
    """Say what makes a comparison less than fair: rows that were fitted on, unlike thresholds, other manifests."""
    found = []
    splits = sorted({str(split) for each in entrants for split in each.predictions.column("split")} - {"test"})
    if splits:
        found.append(f"Some pictures are of the split {', '.join(splits)}: a detector may have been fitted on them.")
    names = {each.name: each.terms.threshold.name for each in entrants}
    if len(set(names.values())) > 1:
        said = ", ".join(f"{name} at {threshold}" for name, threshold in names.items())
        found.append(f"Not all decide at the same kind of threshold ({said}); AUROC needs none.")
    if len({each.terms.fitted_on for each in entrants}) > 1:
        found.append(
            "The detectors were fitted on different manifests; that none of these pictures was among those that "
            "another was fitted on cannot be seen from here."
        )
    return found


def _labels_of(predictions: Predictions) -> dict[str, int]:
    rows = zip(predictions.table["id"].to_pylist(), predictions.table["label"].to_pylist(), strict=True)
    return {row_id: label for row_id, label in rows if label is not None}


def _described_as(each: Entrant, first: Entrant) -> Entrant:
    """Return an evaluation whose pictures are described as the first one's are."""
    table = each.predictions.table
    for name in ("generator", "family", "source", "group"):
        table = table.set_column(table.column_names.index(name), name, first.predictions.table[name])
    return replace(each, predictions=Predictions(table))
