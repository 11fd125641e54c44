"""Predictions: what a detector says of each picture, beside what is true."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gencv.core import tables
from gencv.core.record import Split

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("uri", pa.string()),
        ("label", pa.int8()),
        ("generator", pa.string()),
        ("family", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("score", pa.float32()),  # P(positive) in [0, 1]; null where the picture gave no answer
        ("kind", pa.string()),  # the most likely kind of positive, were it one; null where none is told
        ("kind_score", pa.float32()),  # its probability among the kinds
        ("verdict", pa.string()),  # what the picture is called, or `uncertain`; null without an answer or a threshold
        ("verdict_reason", pa.string()),  # why it is uncertain, else null
        ("error", pa.string()),
    ]
)
SAID = ("score", "kind", "kind_score", "verdict", "verdict_reason", "error")
"""The columns that a detector fills."""


@dataclass(frozen=True)
class Predictions:
    """Rows of SCHEMA with numpy views of the columns that metrics need."""

    table: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, said: pa.Table) -> "Predictions":
        """Put what a detector said (columns of SAID, score and error at least) beside N rows of a manifest."""
        table = rows.drop_columns(["error"])
        for name in SAID:
            kind = SCHEMA.field(name).type
            column = said[name].cast(kind) if name in said.column_names else pa.nulls(len(rows), kind)
            table = table.append_column(name, column)
        return cls(tables.conform(table, SCHEMA, "predictions"))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def labels(self) -> np.ndarray:
        """int8 [N], 1 = positive (spoof or generated)."""
        return np.asarray(self.table["label"].to_numpy(), np.int8)

    @property
    def scores(self) -> np.ndarray:
        """float64 [N], P(positive); NaN where there is no answer."""
        return np.array([np.nan if s is None else s for s in self.table["score"].to_pylist()], np.float64)

    def column(self, name: str) -> np.ndarray:
        """str [N]: generator, family, group, or any other text column."""
        return np.array([str(value) for value in self.table[name].to_pylist()], dtype=object)

    def bad(self) -> list[tuple[str, str]]:
        """Return uri and error code of every picture without an answer."""
        rows = zip(self.table["uri"].to_pylist(), self.table["error"].to_pylist(), strict=True)
        return [(uri, error) for uri, error in rows if error]

    def where(self, mask: np.ndarray) -> "Predictions":
        return Predictions(self.table.filter(pa.array(mask)))

    def split(self, split: Split) -> "Predictions":
        return self.where(self.column("split") == split.value)

    def rescored(self, scores: np.ndarray) -> "Predictions":
        """Return the same rows with other scores, float [N], NaN where there is no answer; verdicts stay."""
        column = pa.array(scores, pa.float32(), mask=np.isnan(scores))
        return Predictions(self.table.set_column(self.table.column_names.index("score"), "score", column))

    def judged(self, verdicts: np.ndarray, reasons: np.ndarray) -> "Predictions":
        """Return the same rows with verdicts and their reasons, str or None [N]."""
        table = self.table
        for name, values in (("verdict", verdicts), ("verdict_reason", reasons)):
            column = pa.array(values.tolist(), pa.string())
            table = table.set_column(table.column_names.index(name), name, column)
        return Predictions(table)

    def answered(self) -> "Predictions":
        """Return the labelled rows that have a score: those that a metric can count."""
        return self.where(self.table["label"].is_valid().to_numpy() & ~np.isnan(self.scores))
