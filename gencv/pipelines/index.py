"""Bring an index up to date with embeddings: what is new or changed is read, thumbnailed, and written by all workers.

Each unit of work is a data file of the table and, in `pending/`, a note that it is there. Readers see none of it until
the driver names all files in one commit. After a kill the same call finds the notes and makes only what lacks one; a
file without a note is garbage, which the upkeep removes.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.embeddings import VECTORS, Embeddings, Space
from gencv.core.errors import BadImage, BadInput
from gencv.core.manifest import read_part
from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, fit
from gencv.index import layout, upkeep
from gencv.index.lock import writing
from gencv.index.table import Changes, Index, Written, commit, write_rows
from gencv.pipelines.parts import PartWork, map_parts

PENDING = "pending"
NOTE_SCHEMA = pa.schema([("id", pa.string()), ("uri", pa.string()), ("error", pa.string()), ("fragment", pa.string())])
"""A row for each picture of a unit; the first has what Lance says of the file, null if none could be read."""
THUMBNAIL_PX = 256
THUMBNAIL_QUALITY = 80
SAID = ("uri", "caption", "width", "height", "label", "generator", "family", "source", "split")
"""Columns of a manifest that a row of the index has too."""


@dataclass(frozen=True)
class WriteUnit:
    """Number of a unit -> its note, after its rows were written into the table's folder.

    units: for each unit its parts of the embeddings, and the rows of each part that are to be written with their
    digests.
    """

    embeddings_dir: str
    out: str
    space: Space
    is_new: bool
    units: list[list[tuple[int, dict[str, str]]]]

    def __call__(self, unit: int) -> pa.Table:
        found = [self.rows_of(part, digests) for part, digests in self.units[unit]]
        rows = pa.concat_tables([rows for rows, _ in found])
        notes = [note for _, notes in found for note in notes]
        if rows.num_rows:
            notes[0]["fragment"] = write_rows(self.out, rows, is_new=self.is_new).fragment
        return pa.Table.from_pylist(notes, NOTE_SCHEMA)

    def rows_of(self, part: int, digests: dict[str, str]) -> tuple[pa.Table, list[dict[str, Any]]]:
        """Return the rows of a part that can be indexed, and a note for each of `digests`."""
        rows, images = read_part(self.embeddings_dir, part)
        vectors = tables.read_table(tables.part_path(storage.join(self.embeddings_dir, VECTORS), part))
        if vectors["id"].to_pylist() != rows["id"].to_pylist():
            raise BadInput(f"The vectors in {self.embeddings_dir} belong to other pictures than its manifest.")
        thumbnails: list[bytes | None] = []
        notes: list[dict[str, Any]] = []
        for row_id, uri, data in zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), images, strict=True):
            made = None
            if row_id in digests:
                made = thumbnail(data)
                notes.append({"id": row_id, "uri": uri, "error": made.code if isinstance(made, BadImage) else None})
            thumbnails.append(None if isinstance(made, BadImage) else made)
        columns = {
            "id": rows["id"],
            "digest": [digests.get(row_id) for row_id in rows["id"].to_pylist()],
            "vector": vectors["vector"],
            "thumbnail": pa.array(thumbnails, pa.binary()),
            **{name: rows[name] for name in SAID},
        }
        schema = layout.row_schema(self.space)
        table = pa.table({name: columns[name] for name in schema.names}, schema)
        return table.filter(table["thumbnail"].is_valid()), notes


def thumbnail(data: bytes | BadImage | None) -> bytes | BadImage:
    """Return a picture as a JPEG whose longer side is THUMBNAIL_PX at most, or the fault that keeps it from one."""
    if isinstance(data, BadImage):
        return data
    assert data is not None, "a picture with an error has no vector"
    try:
        return encode_jpeg(fit(decode(data, min_side_px=THUMBNAIL_PX), THUMBNAIL_PX), THUMBNAIL_QUALITY)
    except BadImage as bad:
        return bad


def index_embeddings(
    embeddings_dir: str, out: str, *, address: str | None = None, workers: int = 0
) -> tuple[Changes, dict[str, Any]]:
    """Make the index in `out` hold the pictures of an embeddings folder; returns what changed, and facts of the work.

    A picture without a vector is not in the index. One whose file is gone or damaged is not written: an older row of
    it stays, and the next call tries again; the fact `bad` names these as (uri, code). Raises BadInput if another
    writer is at work or the index is of another space, and BrokenIndex.
    """
    embeddings = Embeddings.load(embeddings_dir)
    with writing(out):
        table = layout.open_table(out)
        if table is not None:
            layout.check_space(table, embeddings.space, out)
        wanted = row_digests(embeddings)
        there = Index(out, table).digests() if table is not None else {}
        todo = {row_id: digest for row_id, digest in wanted.items() if there.get(row_id) != digest}
        folder = _pending(out, todo, int(table.version) if table is not None else 0)
        units = _units(embeddings.manifest["id"], todo)
        work = PartWork(
            name="index",
            out_dir=folder,
            num_parts=len(units),
            prepare=WriteUnit(embeddings_dir, out, embeddings.space, table is None, units),
        )
        with warnings.catch_warnings():
            # Ray starts its processes through a fork; they replace themselves at once and never come to Lance.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            facts = map_parts(work, address=address, workers=workers)
        notes = list(tables.iterate_parts(folder))
        bad = [(note["uri"], note["error"]) for one in notes for note in one.to_pylist() if note["error"]]
        written = (_written(note) for note in notes if note["fragment"][0].is_valid)
        changes = commit(out, embeddings.space, table, written, set(wanted))
        storage.remove(storage.join(out, PENDING))
    return changes, {**facts, "rows": changes.added + changes.changed, "bad": bad}


def row_digests(embeddings: Embeddings) -> dict[str, str]:
    """Return, by id, a digest of all that a row of the index says of each picture that has a vector."""
    columns = embeddings.manifest.table.select(["id", *SAID]).to_pylist()
    return {
        said["id"]: hashlib.blake2b(vector.tobytes() + json.dumps(said).encode(), digest_size=8).hexdigest()
        for said, vector, is_good in zip(columns, embeddings.vectors, embeddings.good, strict=True)
        if is_good
    }


def _units(ids: list[str], todo: dict[str, str]) -> list[list[tuple[int, dict[str, str]]]]:
    """Cut what is to be written into units, by whole parts: 64 units or more, up to FRAGMENT_ROWS each."""
    parts: dict[int, dict[str, str]] = {}
    for place, row_id in enumerate(ids):
        if row_id in todo:
            parts.setdefault(place // tables.ROWS_PER_PART, {})[row_id] = todo[row_id]
    size = int(np.clip(len(parts) // 64, 1, upkeep.FRAGMENT_ROWS // tables.ROWS_PER_PART))
    numbered = list(parts.items())
    return [numbered[start : start + size] for start in range(0, len(numbered), size)]


def _pending(out: str, todo: dict[str, str], version: int) -> str:
    """Return the folder for the notes of exactly this work on exactly this version; notes of other work go away."""
    digest = hashlib.blake2b(json.dumps([version, todo]).encode(), digest_size=8).hexdigest()
    for name in storage.names_in(storage.join(out, PENDING)):
        if name != digest:
            storage.remove(storage.join(out, PENDING, name))
    return storage.join(out, PENDING, digest)


def _written(note: pa.Table) -> Written:
    ids = [row_id for row_id, error in zip(note["id"].to_pylist(), note["error"].to_pylist(), strict=True) if not error]
    return Written(ids, note["fragment"][0].as_py())
