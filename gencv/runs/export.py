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
    """A cell holds one text, so that several captions stand in it as JSON."""
    columns = {
        name: pa.array(
            [None if value is None else json.dumps(value, ensure_ascii=False) for value in rows[name].to_pylist()],
            pa.string(),
        )
        if pa.types.is_list(rows[name].type)
        else rows[name]
        for name in rows.column_names
    }
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), buffer)
    return buffer.getvalue()


def to_parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer)
    return buffer.getvalue()


EXPORTS = {"json": to_json, "csv": to_csv, "parquet": to_parquet}
