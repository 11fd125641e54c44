"""The manifest: an immutable table of pictures, and the bytes that may travel with it.

A manifest folder holds `manifest.parquet`, one row a picture without its bytes, in row groups of ROWS_PER_PART rows;
row group k is part k of all work on it. A packed manifest also has `images/part-*.parquet` with the bytes, and its
rows say where (`part`, `row`). A picture that cannot be read is a row like any other, with an `error`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gencv.core import storage, tables
from gencv.core.errors import BadImage, BadInput
from gencv.core.record import Split, picture_id

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # picture_id of the original bytes; of these and a number if they cannot be read
        ("uri", pa.string()),  # where the picture came from, for people and for reading it again
        ("part", pa.int32()),  # where its bytes lie in images/, null if only at the uri
        ("row", pa.int32()),
        ("label", pa.int8()),  # 1 spoof or generated, 0 live or real, null not labelled
        ("generator", pa.string()),
        ("family", pa.string()),
        ("source", pa.string()),
        ("group", pa.string()),  # identity, source photograph, near-duplicates: never crosses a split
        ("split", pa.string()),
        ("caption", pa.list_(pa.string())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("side_px", pa.int32()),  # of a stored picture: shorter side of the part that was cut out for it, as it came
        ("phash", pa.uint64()),
        ("error", pa.string()),  # a key of errors.IMAGE_FAULTS, or null
    ]
)
FILE = "manifest.parquet"
IMAGES = "images"
IMAGE_SCHEMA = pa.schema([("bytes", pa.binary()), ("error", pa.string())])
_CONTENT = [name for name in SCHEMA.names if name not in ("uri", "part", "row")]


@dataclass(frozen=True)
class Manifest:
    """Rows of SCHEMA, where their packed bytes lie, and how the pictures were preprocessed."""

    table: pa.Table
    images_dir: str = ""
    """The folder of the packed bytes; "" if the pictures lie at their `uri`."""
    preprocessing: dict[str, Any] | None = field(default=None)
    """What `preprocess` did to every picture; None for pictures as they came."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.table[column].to_pylist())

    @classmethod
    def load(cls, folder: str, *, to_audit: bool = False) -> "Manifest":
        """Open a manifest folder. Raises BadInput if it is none, or as `check` does.

        to_audit: let repeated ids and groups in two splits pass, for the one job that is there to report them.
        """
        path = storage.join(folder, FILE)
        if not storage.exists(path):
            raise BadInput(f"{folder} holds no {FILE}; give the folder that `manifest` or `preprocess` wrote.")
        table = tables.read_table(path)
        images_dir, preprocessing = _facts_of(table.schema, folder)
        manifest = cls(tables.conform(table, SCHEMA, "manifest"), images_dir, preprocessing)
        manifest.check_words() if to_audit else manifest.check()
        return manifest

    def save(self, folder: str, *, rows_per_part: int = tables.ROWS_PER_PART) -> None:
        """Write manifest.parquet, cut into parts. The packed bytes stay where they are and are referred to."""
        here = storage.join(folder, IMAGES)
        facts = {"images_dir": "." if self.images_dir == here else self.images_dir, "preprocessing": self.preprocessing}
        table = self.table.replace_schema_metadata({"gencv": json.dumps(facts)})
        tables.write_table(table, storage.join(folder, FILE), rows_per_group=rows_per_part)

    @property
    def num_parts(self) -> int:
        return -(-len(self) // tables.ROWS_PER_PART)

    def digest(self) -> str:
        """Digest what the rows say and their order: the same pictures, labels, and splits, wherever they lie.

        The order counts because parts are cut by it: what was made of one order must not be taken for another's.
        """
        facts = [tables.content_digest(self.table.select(_CONTENT)), self.preprocessing, self["id"]]
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()

    def where(
        self, mask: pa.ChunkedArray | Sequence[bool] | np.ndarray | None = None, *, split: Split | None = None
    ) -> "Manifest":
        """Return the rows of a mask or of a split; they are cut into other parts than before."""
        if split is not None:
            mask = pc.fill_null(pc.equal(self.table["split"], split.value), False)
        return replace(self, table=self.table.filter(mask if isinstance(mask, pa.ChunkedArray) else pa.array(mask)))

    def bad(self) -> list[tuple[str, str]]:
        """Return uri and error code of every picture that cannot be read."""
        return [(uri, error) for uri, error in zip(self["uri"], self["error"], strict=True) if error]

    def counts(self) -> dict[str, Any]:
        """Count rows by split, label, and generator; bad rows apart by their code."""
        bad = [error for error in self["error"] if error]
        good = self.where(pc.is_null(self.table["error"]))
        return {
            "rows": len(self),
            "bad": {code: bad.count(code) for code in sorted(set(bad))},
            **{
                name: dict(
                    sorted((str(row["values"]), row["counts"]) for row in pc.value_counts(good.table[name]).to_pylist())
                )
                for name in ("split", "label", "generator", "family", "source")
            },
        }

    def check(self) -> None:
        """Raise BadInput if ids repeat, a label is neither 0 nor 1, or a group lies in two splits."""
        ids = self.table["id"]
        if (repeated := len(self) - pc.count_distinct(ids).as_py()) > 0:
            raise BadInput(f"The manifest names {repeated} pictures twice; every id must be there once.")
        self.check_words()
        splits_of: dict[str, set[str]] = {}
        for group, split in zip(self["group"], self["split"], strict=True):
            splits_of.setdefault(group, set()).add(split)
        leaks = [group for group, splits in splits_of.items() if len(splits) > 1]
        if leaks:
            raise BadInput(f"{len(leaks)} groups lie in more than one split, {leaks[0]!r} for example.")

    def check_words(self) -> None:
        """Raise BadInput if a label is neither 0 nor 1, or a split is none of ours."""
        labels = set(self["label"]) - {0, 1, None}
        if labels:
            raise BadInput(f"The manifest has the labels {sorted(labels)}; 1 is spoof or generated, 0 is live or real.")
        unknown = set(self["split"]) - set(Split)
        if unknown:
            raise BadInput(f"The manifest has the split {unknown.pop()!r}; known: {', '.join(Split)}.")


def read_part(
    folder: str, part: int, places: Sequence[int] | None = None
) -> tuple[pa.Table, list[bytes | BadImage | None]]:
    """Read one part of a manifest folder with its bytes, on any machine that sees the storage.

    places: of the rows that are wanted, from 0 in this part; None for all. Returns the rows of SCHEMA and, for each,
    its bytes, or what keeps them from being read, or None for a row that had an error before.
    """
    system, path = storage.open_at(storage.join(folder, FILE))
    with system.open_input_file(path) as stream, pq.ParquetFile(stream) as file:
        images_dir, _ = _facts_of(file.schema_arrow, folder)
        rows = file.read_row_group(part).select(SCHEMA.names)
    rows = rows if places is None else rows.take(pa.array(places, pa.int64()))
    return rows, read_images(rows, images_dir)


def read_images(rows: pa.Table, images_dir: str) -> list[bytes | BadImage | None]:
    """Return the bytes of some rows, from the packed parts or from their uri; see `read_part`."""
    images: list[bytes | BadImage | None] = [None] * rows.num_rows
    packed: dict[int, list[tuple[int, int]]] = {}
    columns = (rows[name].to_pylist() for name in ("id", "part", "row", "uri", "error"))
    for index, (row_id, part, place, uri, error) in enumerate(zip(*columns, strict=True)):
        if error is not None:
            continue
        if part is not None:
            packed.setdefault(part, []).append((index, place))
        else:
            images[index] = read_checked(uri, row_id)
    for part, wanted in packed.items():
        column = tables.read_table(tables.part_path(images_dir, part), ["bytes"])["bytes"]
        for index, place in wanted:
            images[index] = column[place].as_py()
    return images


class PictureReader:
    """Reads single pictures of a manifest folder in any order, as training does; files stay open in between."""

    def __init__(self, folder: str) -> None:
        self.manifest = Manifest.load(folder)
        self._columns = {name: self.manifest[name] for name in ("id", "uri", "part", "row", "error")}
        self._open = lru_cache(maxsize=256)(self._open_part)

    def read(self, row: int) -> bytes:
        """Return the bytes of a row. Raises BadImage for a row with an error, or whose file is gone or changed."""
        row_id, uri, part, place, error = (self._columns[name][row] for name in ("id", "uri", "part", "row", "error"))
        if error is not None:
            raise BadImage(error)
        if part is None:
            data = read_checked(uri, row_id)
            if isinstance(data, BadImage):
                raise data
            return data
        file = self._open(part)
        group, place = divmod(place, file.metadata.row_group(0).num_rows)
        found: bytes = file.read_row_group(group, ["bytes"])["bytes"][place].as_py()
        return found

    def _open_part(self, part: int) -> pq.ParquetFile:
        system, path = storage.open_at(tables.part_path(self.manifest.images_dir, part))
        return pq.ParquetFile(system.open_input_file(path))


def read_checked(uri: str, row_id: str) -> bytes | BadImage:
    """Return the bytes at a uri if they are those that the id names.

    Labels, splits, and near-duplicates were settled for these bytes, and for no others.
    """
    data = read_image(uri)
    return BadImage("changed") if isinstance(data, bytes) and picture_id(data) != row_id else data


def read_image(uri: str) -> bytes | BadImage:
    """Return a file's bytes, or the fault that makes it a row with an error.

    Raises BadInput where a remote storage fails: that may pass, so it must not become a row.
    """
    try:
        return storage.read_bytes(uri)
    except FileNotFoundError:
        return BadImage("missing")
    except BadInput:  # no location at all
        return BadImage("unreadable")
    except OSError as error:
        if not storage.is_uri(uri) or isinstance(error, PermissionError):
            return BadImage("unreadable")
        raise BadInput(f"{uri} cannot be read just now ({error}); the same command goes on from here.") from None


def _facts_of(schema: pa.Schema, folder: str) -> tuple[str, dict[str, Any] | None]:
    """Return where the packed bytes lie, and the preprocessing, as a manifest file notes them."""
    facts = json.loads((schema.metadata or {}).get(b"gencv", b"{}"))
    images_dir = facts.get("images_dir", "")
    return storage.join(folder, IMAGES) if images_dir == "." else images_dir, facts.get("preprocessing")
