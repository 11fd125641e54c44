"""Rows as a file for other tools: JSON, CSV, or Parquet."""

import io
import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gencv.core import storage


def write_export(rows: pa.Table, place: str) -> None:
    """Write rows to a place whose ending is one of EXPORTS."""
    storage.write_bytes(place, EXPORTS[place.rpartition(".")[2]](rows))


def to_json(rows: pa.Table) -> bytes:
    return json.dumps(rows.to_pylist(), indent=1, ensure_ascii=False).encode()


def to_csv(rows: pa.Table) -> bytes:
    """A cell holds one text, so that several captions stand in it as JSON, and none that a spreadsheet would run."""
    columns = {guarded(name): _cells(rows[name]) for name in rows.column_names}
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), buffer)
    return buffer.getvalue()


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe goes before one that begins like it.

    Source: OWASP, CSV Injection. An apostrophe at the beginning gets one as well, so that taking one away gives every
    text back.
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_list(column.type):
        texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.to_pylist()
    else:
        return column
    return pa.array([None if text is None else guarded(text) for text in texts], pa.string())


def to_parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer)
    return buffer.getvalue()


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""What a formula begins with, in some spreadsheet, and the guard itself."""

EXPORTS = {"json": to_json, "csv": to_csv, "parquet": to_parquet}
