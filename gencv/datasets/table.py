"""Pictures listed in a table: Parquet, CSV, XLSX, or a folder of Parquet parts.

    table:/data/faces.csv                               columns by name, see columns.COLUMNS
    table:/data/parts?image_column=face&label_column=y  other names
    table:/data/faceauth.xlsx?convention=faceauth       FACEAUTH's labels and splits, see faceauth.py

Options beside the common ones: image_column= (or path=), label_column=, generator_column=, family_column=,
group_column=, split_column=, caption_column=; positive=NAME[,NAME] names the labels that are 1, all others being 0;
convention=faceauth; group=folder or group=stem as for folders, where no column says the group.
Relative paths start from the table's folder. Without a label column the pictures are not labelled.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from gencv.core import storage
from gencv.core.errors import BadSource
from gencv.core.record import ImageRecord
from gencv.datasets import columns, faceauth
from gencv.datasets.folder import group_of
from gencv.datasets.source import Source

BATCH_ROWS = 64
"""Rows of Parquet in memory at a time; they may hold pictures of several MB."""


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the pictures of a table in its order.

    Raises BadSource if the table is not there, is of another format, lacks a column, or holds a value that is none.
    """
    source.accept(*columns.OPTIONS, "path", "convention", "group")
    convention = source.options.get("convention")
    if convention is not None and convention not in CONVENTIONS:
        raise BadSource(f"{source} says convention={convention}; known: {', '.join(CONVENTIONS)}.")
    if "path" in source.options:
        source = replace(source, options={"image_column": source.options["path"], **source.options})
    folder, files = _files(source.root)
    for file in files:
        try:
            for record in _records(source, file, folder):
                if record.data is None and not record.group:
                    record = replace(record, group=group_of(source, record.uri.removeprefix(folder + "/")))
                yield record
        except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
            raise BadSource(f"{file} cannot be read as a table: {error}") from None


def _records(source: Source, file: str, folder: str) -> Iterator[ImageRecord]:
    ours = CONVENTIONS.get(source.options.get("convention", ""))
    system, path = storage.open_at(file)
    with system.open_input_file(path) as stream:
        names, rows = FORMATS[storage.suffix_of(file)](stream)
        found = columns.find_columns(source, [*names, "label"] if ours else names)
        wanted = rows(names if ours else list(dict.fromkeys(chain(*found.values()))))
        yield from columns.records(
            source, map(ours, wanted) if ours else wanted, found, folder=folder, name_of=lambda index: f"{file}#{index}"
        )


def _files(root: str) -> tuple[str, list[str]]:
    """Return the folder of a table, and its files: itself, or the Parquet files of a folder in order of their names."""
    system, path = storage.open_at(root)
    kind = system.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise BadSource(f"{root} is not there; give a table, or a folder of Parquet files.")
    if kind == fs.FileType.Directory:
        files = [storage.join(root, name) for name in storage.names_in(root) if storage.suffix_of(name) == ".parquet"]
        if not files:
            raise BadSource(f"{root} holds no Parquet files; a folder: source takes a folder of pictures.")
        return root, files
    if storage.suffix_of(root) not in FORMATS:
        raise BadSource(f"{root} is no table that is known; known suffixes: {', '.join(FORMATS)}.")
    return root.rpartition("/")[0], [root]


Opened = tuple[list[str], Callable[[list[str]], Iterator[dict[str, Any]]]]
"""The names of a table's columns, and what yields its rows with some of them."""


def open_parquet(stream: Any) -> Opened:
    """Open Parquet; BATCH_ROWS rows are in memory at a time."""
    file = pq.ParquetFile(stream)

    def rows(names: list[str]) -> Iterator[dict[str, Any]]:
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            yield from batch.to_pylist()

    return file.schema_arrow.names, rows


def open_csv(stream: Any) -> Opened:
    """Open CSV of UTF-8 with a header; every value is text, so that the group 007 stays 007."""
    reader = csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
    names = list(reader.fieldnames or [])

    def rows(_: list[str]) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                raise csv.Error(f"row {number} has another number of values than the header")
            yield row

    return names, rows


def open_xlsx(stream: Any) -> Opened:
    """Open the first sheet of a workbook; its first row names the columns."""
    import zipfile

    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(stream.read()), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise OSError(f"no workbook ({error})") from None
    cells = book.worksheets[0].iter_rows(values_only=True)
    names = [str(name) for name in next(cells, ()) if name is not None]

    def rows(_: list[str]) -> Iterator[dict[str, Any]]:
        # Rows of blanks are what a spreadsheet keeps of deleted ones.
        return (dict(zip(names, row, strict=False)) for row in cells if any(value is not None for value in row))

    return names, rows


FORMATS: dict[str, Callable[[Any], Opened]] = {".parquet": open_parquet, ".csv": open_csv, ".xlsx": open_xlsx}
CONVENTIONS: dict[str, Callable[[columns.Row], columns.Row]] = {"faceauth": faceauth.ours}
"""How rows are turned into ours where their words mean something else."""
