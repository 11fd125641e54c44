"""Arrow tables on storage: checked schemas, tables cut into numbered parts, and digests of what they say."""

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gencv.core import storage
from gencv.core.errors import BadInput

PICTURES_PER_GROUP = 8
"""Pictures in a row group of a part: training reads them one by one, in an order of its own."""
ROWS_PER_PART = 256
"""Rows in one part: the unit of parallel work and of commit. A part of decoded pictures (224 px) takes 38 MB, with
their re-encodings 154."""


def part_path(folder: str, part: int) -> str:
    """Return where part number `part` of a table lies."""
    return storage.join(folder, f"part-{part:06d}.parquet")


def parts_in(folder: str) -> list[int]:
    """Return the numbers of the parts that are there, in order."""
    names = storage.names_in(folder)
    return [int(name[5:-8]) for name in names if name.startswith("part-") and name.endswith(".parquet")]


def read_parts(folder: str, columns: list[str] | None = None) -> pa.Table:
    """Return all parts of a table, in order, as one. Raises BadInput if there are none."""
    tables = list(iterate_parts(folder, columns))
    if not tables:
        raise BadInput(f"{folder} holds no part-*.parquet.")
    return pa.concat_tables(tables)


def iterate_parts(folder: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the parts of a table in order, one in memory at a time."""
    for part in parts_in(folder):
        yield read_table(part_path(folder, part), columns)


def read_table(location: str, columns: list[str] | None = None, row_group: int | None = None) -> pa.Table:
    """Return one Parquet file, or one of its row groups. Raises BadInput if it is absent or no Parquet."""
    system, path = storage.open_at(location)
    try:
        with system.open_input_file(path) as stream, pq.ParquetFile(stream) as file:
            return file.read(columns) if row_group is None else file.read_row_group(row_group, columns)
    except FileNotFoundError:
        raise BadInput(f"{location} is not there.") from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{location} is no Parquet file that can be read: {error}") from None


def write_table(table: pa.Table, location: str, *, rows_per_group: int | None = None) -> None:
    """Write one Parquet file, whole or not at all."""
    sink = pa.BufferOutputStream()
    # Pictures are compressed already, and vectors hardly compress: trying costs more than decoding the pictures again.
    has_pictures = any(pa.types.is_binary(kind) for kind in table.schema.types)
    dense = has_pictures or any(pa.types.is_fixed_size_list(kind) for kind in table.schema.types)
    pq.write_table(
        table,
        sink,
        row_group_size=rows_per_group or (PICTURES_PER_GROUP if has_pictures else None),
        compression="none" if dense else "zstd",
        use_dictionary=not dense,
    )
    storage.write_bytes(location, memoryview(sink.getvalue()))


def conform(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Return `table` with exactly the columns of `schema`, in its order and types.

    what: how to call the table in an error, "manifest" for example. Raises BadInput that names what is missing or of
    a type that cannot be cast without loss.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise BadInput(f"The {what} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}.")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadInput(f"The {what} has a column of another type than {schema.names}: {error}") from None


def content_digest(table: pa.Table, *, keys: Sequence[str] = ("id",)) -> str:
    """Return a digest of what a table says: independent of row order, chunks, file layout, and compression.

    keys: the columns that tell a row from every other.
    """
    table = table.take(pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys])).combine_chunks()
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(table.column_names):
        digest.update(name.encode())
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
            digest.update(np.ascontiguousarray(column.drop_null().flatten().to_numpy(zero_copy_only=False)).tobytes())
        elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            for value in column:
                digest.update(hashlib.blake2b(value.as_py() or b"", digest_size=16).digest())
        else:
            digest.update(json.dumps(column.to_pylist(), ensure_ascii=False).encode())
    return digest.hexdigest()
