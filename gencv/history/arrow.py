"""Rows of the ledger as an Arrow table, for other tools."""

import json
from typing import Any

import pyarrow as pa
from sqlalchemy import JSON, Float, Integer, Text
from sqlalchemy.types import TypeEngine

from gencv.history.schema import Texts, Utc

TYPES: dict[type[TypeEngine], pa.DataType] = {
    Utc: pa.timestamp("us", "UTC"),
    Texts: pa.list_(pa.string()),
    JSON: pa.string(),  # what is nested, as JSON
    Float: pa.float64(),
    Integer: pa.int64(),
    Text: pa.string(),
}
"""What a column becomes, by the first type that fits; any other is text."""


def schema_of(table: Any) -> pa.Schema:
    """Return the Arrow schema of one of the ledger's tables."""
    kinds = {
        column.name: next((to for kind, to in TYPES.items() if isinstance(column.type, kind)), pa.string())
        for column in table.columns
    }
    return pa.schema(list(kinds.items()))


def batch_of(table: Any, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Return some of its rows."""
    plain = [
        {
            name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return pa.RecordBatch.from_pylist(plain, schema_of(table))
