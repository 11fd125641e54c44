"""Predictions: what a detector says of each picture, beside what is true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.record import Split

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("uri", pa.string()),
        ("label", pa.int8()),
        ("generator", pa.string()),
        ("family", pa.string()),
        ("source", pa.string()),  # where it was gathered from: what tells genuine pictures apart
        ("group", pa.string()),
        ("split", pa.string()),
        ("score", pa.float32()),  # P(positive) in [0, 1]; null where the picture gave no answer
        ("kind", pa.string()),  # the most likely kind of positive, were it one; null where none is told
        ("kind_score", pa.float32()),  # its probability among the kinds
        ("score_low", pa.float32()),  # least score of the picture and its re-encodings; null where there were none
        ("score_high", pa.float32()),  # greatest score of them
        ("side_px", pa.int32()),  # shorter side of the part that was judged, as it came
        ("blur", pa.float32()),  # of what the network saw: 0 sharp, 1 without any detail
        ("outside", pa.list_(pa.string())),  # codes of `scope.OUTSIDE`; null where no scope was known
        ("verdict", pa.string()),  # what the picture is called, or `uncertain`; null without an answer or a threshold
        ("reasons", pa.list_(pa.string())),  # why it is uncertain; empty for a certain verdict
        ("error", pa.string()),
    ]
)
FILE = "predictions.parquet"
SCORES = "scores"
"""The folder of the parts that a detector wrote, features included."""
SAID = SCHEMA.names[SCHEMA.get_field_index("score") :]
"""The columns that judging fills."""


@dataclass(frozen=True)
class Predictions:
    """Rows of SCHEMA with numpy views of the columns that metrics need."""

    table: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, said: pa.Table) -> "Predictions":
        """Put what a detector said (columns of SAID, score and error at least) beside N rows of a manifest."""
        table = rows.drop_columns([name for name in SAID if name in rows.column_names])
        for name in SAID:
            kind = SCHEMA.field(name).type
            column = said[name].cast(kind) if name in said.column_names else pa.nulls(len(rows), kind)
            table = table.append_column(name, column)
        return cls(tables.conform(table, SCHEMA, "predictions"))

    @classmethod
    def load(cls, folder: str) -> "Predictions":
        """Open the predictions that `evaluate` left in a folder. Raises BadInput if there are none."""
        return cls(tables.conform(tables.read_table(storage.join(folder, FILE)), SCHEMA, "table of predictions"))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def labels(self) -> np.ndarray:
        """int8 [N], 1 = positive (spoof or generated)."""
        return np.asarray(self.table["label"].to_numpy(), np.int8)

    @property
    def scores(self) -> np.ndarray:
        """float64 [N], P(positive); NaN where there is no answer."""
        return self.numbers("score")

    def numbers(self, name: str) -> np.ndarray:
        """float64 [N]: a column of numbers, NaN where it is null."""
        return np.array([np.nan if value is None else value for value in self.table[name].to_pylist()], np.float64)

    def column(self, name: str) -> np.ndarray:
        """str [N]: generator, family, group, or any other text column."""
        return np.array([str(value) for value in self.table[name].to_pylist()], dtype=object)

    def bad(self) -> list[tuple[str, str]]:
        """Return uri and error code of every picture without an answer."""
        rows = zip(self.table["uri"].to_pylist(), self.table["error"].to_pylist(), strict=True)
        return [(uri, error) for uri, error in rows if error]

    def where(self, mask: np.ndarray) -> "Predictions":
        return Predictions(self.table.filter(pa.array(mask)))

    def in_split(self, split: Split) -> np.ndarray:
        """bool [N]: which rows are of a split."""
        return np.asarray(self.column("split") == split.value)

    def split(self, split: Split) -> "Predictions":
        return self.where(self.in_split(split))

    def rescored(self, scores: np.ndarray) -> "Predictions":
        """Return the same rows with other scores, float [N], NaN where there is no answer; verdicts stay."""
        column = pa.array(scores, pa.float32(), mask=np.isnan(scores))
        return Predictions(self.table.set_column(self.table.column_names.index("score"), "score", column))

    def filled(self, **columns: Sequence[Any]) -> "Predictions":
        """Return the same rows with other values in some columns, [N] each."""
        table = self.table
        for name, values in columns.items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array(values, SCHEMA.field(name).type))
        return Predictions(table)

    def answered(self) -> "Predictions":
        """Return the labelled rows that have a score: those that a metric can count."""
        return self.where(self.table["label"].is_valid().to_numpy() & ~np.isnan(self.scores))
