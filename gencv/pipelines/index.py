"""Bring an index up to date with a manifest or with embeddings: new pictures are written, by all workers.

Pictures that came one by one without a manifest (`layout.POSTED`) stay.

Of a picture that is there only what is said of it can have changed, for its id is that of its bytes: such rows keep
their vectors and thumbnails, and the driver writes them.

Each unit of work is a data file of the table and, in `pending/`, a note that it is there. Readers see none of it until
the driver names all files in one commit. After a kill the same call finds the notes and makes only what lacks one; a
file without a note is garbage, which the upkeep removes.
"""

import hashlib
import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from gencv.core import storage, tables
from gencv.core.contracts import Encoder
from gencv.core.embeddings import VECTORS, Space, read_vectors, vector_column
from gencv.core.manifest import Manifest
from gencv.images.decode import decode
from gencv.images.thumbnail import THUMBNAIL_PX, thumbnail
from gencv.images.transform import Transform
from gencv.index import layout, upkeep
from gencv.index.layout import SAID, row_digests
from gencv.index.lock import writing
from gencv.index.table import Changes, Index, Written, commit, overtaken, write_rows
from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import BATCH_SIZE, in_batches
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.pipelines.pixels import try_pictures

PENDING = "pending"
NOTE_SCHEMA = pa.schema([("id", pa.string()), ("uri", pa.string()), ("error", pa.string()), ("fragment", pa.string())])
"""A row for each picture of a unit; the first has what Lance says of the file, null if none could be read."""

Unit: TypeAlias = list[tuple[int, list[int]]]
"""Parts of a manifest, and the places of some rows in each."""


@dataclass(frozen=True)
class ReadUnit:
    """Number of a unit -> its rows: what the index says of each, a thumbnail, and a vector or the pixels to make it of.

    transform: the encoder's, to read a manifest; None for embeddings, which bring their vectors.
    stored: the pictures are what `preprocess` stored, which is decoded whole.
    """

    folder: str
    units: list[Unit]
    transform: Transform | None = None
    stored: bool = False

    def __call__(self, unit: int) -> pa.Table:
        return pa.concat_tables([self.rows_of(part, places) for part, places in self.units[unit]])

    def rows_of(self, part: int, places: list[int]) -> pa.Table:
        rows, made, errors = try_pictures(self.folder, part, self.read, places)
        thumbnails, pixels = zip(*(one or (None, None) for one in made), strict=True)
        columns = {
            "id": rows["id"],
            "error": pa.array(errors, pa.string()),
            "digest": pa.array(list(row_digests(rows).values()), pa.string()),
            "thumbnail": pa.array(thumbnails, pa.binary()),
            **{name: rows[name] for name in SAID},
        }
        if self.transform is None:
            vectors = tables.read_table(tables.part_path(storage.join(self.folder, VECTORS), part), ["vector"])
            columns["vector"] = vectors["vector"].take(pa.array(places, pa.int64()))
        else:
            columns |= {"pixels": pa.array(pixels, pa.binary()), "num_views": pa.array([1] * len(made), pa.int32())}
        return pa.table(columns)

    def read(self, data: bytes, image_id: str, split: str) -> tuple[bytes, bytes | None]:
        """Return the thumbnail of a picture and, for an encoder, its pixels. Raises BadImage."""
        if self.transform is None:
            return thumbnail(decode(data, min_side_px=THUMBNAIL_PX)), None
        image = decode(data, min_side_px=None if self.stored else self.transform.decode_side_px)
        return thumbnail(image), self.transform(image).tobytes()


@dataclass(frozen=True)
class WriteUnit:
    """Rows of a unit with their vectors -> its note, after they were written into the table's folder."""

    out: str
    space: Space
    is_new: bool

    def __call__(self, rows: pa.Table) -> pa.Table:
        good = rows.filter(pc.is_null(rows["error"]))
        notes = rows.select(["id", "uri", "error"]).to_pylist()
        if good.num_rows:
            schema = layout.row_schema(self.space)
            good = tables.conform(good, schema, "unit").replace_schema_metadata(schema.metadata)
            notes[0]["fragment"] = write_rows(self.out, good, is_new=self.is_new).fragment
        return pa.Table.from_pylist(notes, NOTE_SCHEMA)


@dataclass(frozen=True)
class ReadAndWrite:
    """Number of a unit -> its note, where the vectors are there already."""

    read: ReadUnit
    write: WriteUnit

    def __call__(self, unit: int) -> pa.Table:
        return self.write(self.read(unit))


@dataclass(frozen=True)
class BuildWriter:
    """Load an encoder in an actor; what was read is encoded and written there."""

    write: WriteUnit
    batch_size: int

    def __call__(self, device: str, threads: int) -> InferPart:
        torch.set_num_threads(threads or torch.get_num_threads())
        encoder = load_encoder(self.write.space.encoder, device=device)

        def infer(rows: pa.Table) -> pa.Table:
            vectors = in_batches(encoder.images, rows, encoder.space.dim, self.batch_size or BATCH_SIZE[device])
            return self.write(rows.append_column("vector", vector_column(vectors[:, 0])))

        return infer


Plan: TypeAlias = Callable[[list[Unit], WriteUnit], dict[str, Any]]
"""Units, and how one is written -> the fields `prepare` and `build` of a PartWork."""


def index_manifest(
    manifest_dir: str,
    manifest: Manifest,
    encoder: Encoder,
    out: str,
    *,
    batch_size: int = 0,
    address: str | None = None,
    workers: int = 0,
) -> tuple[Changes, dict[str, Any]]:
    """Make the index in `out` hold the pictures of a manifest, and encode those that are new.

    encoder: as loaded here; every actor loads its own by the same name. Returns what changed, and facts of the work. A
    new picture whose file is gone or damaged is not written, and the next call tries again; the fact `bad` names these
    as (uri, code). Raises BadInput if another writer is at work or the index is of another
    space, and BrokenIndex.
    """
    space = replace(encoder.space, preprocessing=manifest.preprocessing)

    def plan(units: list[Unit], write: WriteUnit) -> dict[str, Any]:
        read = ReadUnit(manifest_dir, units, encoder.transform, manifest.preprocessing is not None)
        return {"prepare": read, "build": BuildWriter(write, batch_size)}

    is_wanted = pc.is_null(manifest.table["error"])
    return _bring_up_to_date(out, space, manifest, is_wanted, tables.ROWS_PER_PART, plan, address, workers)


def index_embeddings(
    embeddings_dir: str, out: str, *, address: str | None = None, workers: int = 0
) -> tuple[Changes, dict[str, Any]]:
    """Make the index in `out` hold those pictures of an embeddings folder that have a vector, as `index_manifest`."""
    manifest, table, space = read_vectors(embeddings_dir, ["id", "error"])

    def plan(units: list[Unit], write: WriteUnit) -> dict[str, Any]:
        return {"prepare": ReadAndWrite(ReadUnit(embeddings_dir, units), write)}

    unit_rows = int(np.clip(len(manifest) // 64, tables.ROWS_PER_PART, upkeep.FRAGMENT_ROWS))
    return _bring_up_to_date(out, space, manifest, pc.is_null(table["error"]), unit_rows, plan, address, workers)


def _bring_up_to_date(
    out: str,
    space: Space,
    manifest: Manifest,
    is_wanted: pa.ChunkedArray,
    unit_rows: int,
    plan: Plan,
    address: str | None,
    workers: int,
) -> tuple[Changes, dict[str, Any]]:
    """is_wanted: bool, the rows of the manifest that the index shall hold."""
    wanted = row_digests(manifest.table.filter(is_wanted))
    with writing(out):
        table = layout.open_table(out)
        if table is not None:
            layout.check_space(table, space, out)
        index = None if table is None else Index(out, table)
        there = {} if index is None else index.digests()
        new: list[int] = []
        changed: list[int] = []
        for row, name in enumerate(manifest["id"]):
            if name in wanted and there.get(name) != wanted[name]:
                (changed if name in there else new).append(row)
        units = units_of(new, unit_rows)
        version = int(table.version) if table is not None else 0
        notes_dir = _notes_dir(out, [space.digest(), version, units, wanted])
        with warnings.catch_warnings():
            # Ray starts its processes through a fork; they replace themselves at once and never come to Lance.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            facts = map_parts(
                PartWork(
                    name="index",
                    out_dir=notes_dir,
                    num_parts=len(units),
                    **plan(units, WriteUnit(out, space, table is None)),
                ),
                address=address,
                workers=workers,
            )
        notes = list(tables.iterate_parts(notes_dir))
        if len(notes) < len(units):  # on an object store, where no lock keeps another writer from tidying up
            raise overtaken(out)
        kept = said_anew(index, manifest.table.take(changed)) if index is not None and changed else ()
        posted = () if index is None else index.posted()
        changes = commit(out, space, table, itertools.chain(written_of(notes), kept), {*wanted, *posted})
        storage.remove(storage.join(out, PENDING))
    bad = [(row["uri"], row["error"]) for note in notes for row in note.to_pylist() if row["error"]]
    return changes, {**facts, "rows": changes.added + changes.changed, "bad": bad}


def units_of(rows: list[int], unit_rows: int) -> list[Unit]:
    """Cut rows of a manifest, in order, into units of so many, each with the parts that its rows lie in."""
    units: list[Unit] = []
    for start in range(0, len(rows), unit_rows):
        parts: dict[int, list[int]] = {}
        for row in rows[start : start + unit_rows]:
            parts.setdefault(row // tables.ROWS_PER_PART, []).append(row % tables.ROWS_PER_PART)
        units.append(list(parts.items()))
    return units


def said_anew(index: Index, rows: pa.Table) -> Iterator[pa.Table]:
    """Yield rows of a manifest as those of the index that holds their pictures already."""
    for start in range(0, rows.num_rows, upkeep.FRAGMENT_ROWS):
        some = rows.slice(start, upkeep.FRAGMENT_ROWS)
        kept = index.rows(some["id"].to_pylist(), ["vector", "thumbnail"])
        columns = {name: some[name] for name in ("id", *SAID)}
        columns["digest"] = pa.array(list(row_digests(some).values()))
        yield pa.table({**columns, "vector": kept["vector"], "thumbnail": kept["thumbnail"]})


def written_of(notes: Iterable[pa.Table]) -> Iterable[Written]:
    """Yield what was written of each unit of which anything was."""
    for note in notes:
        if note["fragment"][0].is_valid:
            yield Written(note.filter(pc.is_null(note["error"]))["id"].to_pylist(), note["fragment"][0].as_py())


def _notes_dir(out: str, work: list[Any]) -> str:
    """Return the folder for the notes of exactly this work; notes of other work go away."""
    digest = hashlib.blake2b(json.dumps(work).encode(), digest_size=8).hexdigest()
    for name in storage.names_in(storage.join(out, PENDING)):
        if name != digest:
            storage.remove(storage.join(out, PENDING, name))
    return storage.join(out, PENDING, digest)
