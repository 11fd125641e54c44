"""Look at every picture of some sources: digest, size, perceptual hash, or what is wrong with it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.errors import BadImage, RunConflict
from gencv.core.manifest import IMAGE_SCHEMA, IMAGES, SCHEMA, read_image
from gencv.core.record import ImageRecord, picture_id
from gencv.images.decode import decode, image_size
from gencv.images.hashing import perceptual_hash
from gencv.pipelines.parts import PartWork, map_parts

LISTING = "listing"
INSPECTED = "inspected"
LISTING_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("label", pa.int8()),
        *((name, pa.string()) for name in ("generator", "family", "source", "group", "split")),
        ("caption", pa.list_(pa.string())),
    ]
)
HASH_SIDE_PX = 64
"""A scaled decode may shrink a picture to this side for its perceptual hash, which looks at 32 x 32."""


def list_sources(records: Iterable[ImageRecord], out: str) -> None:
    """Write what the sources yield as numbered parts, the bytes that they bring straight into the packed images.

    A part that is there already must say the same: raises RunConflict if the sources have changed since.
    """
    folder = storage.join(out, LISTING)
    there = set(tables.parts_in(folder))
    part = -1
    for part, rows in enumerate(cut(records, tables.ROWS_PER_PART)):
        table = pa.Table.from_pylist([row_of(record) for record in rows], LISTING_SCHEMA)
        place = tables.part_path(folder, part)
        if part in there:
            if not tables.read_table(place).equals(table):
                raise RunConflict(f"The sources have changed since {out} was begun; choose another --out.")
            continue
        images = [record.data for record in rows]
        if any(data is not None for data in images):
            write_images(out, part, images)
        tables.write_table(table, place)
    if there - set(range(part + 1)):
        raise RunConflict(f"The sources have fewer pictures than when {out} was begun; choose another --out.")


def write_images(out: str, part: int, images: list[bytes | None]) -> None:
    """Write one part of packed bytes; what is wrong with a picture is found out later."""
    table = pa.table([images, [None] * len(images)], schema=IMAGE_SCHEMA)
    tables.write_table(table, tables.part_path(storage.join(out, IMAGES), part))


def cut(records: Iterable[ImageRecord], size: int) -> Iterator[list[ImageRecord]]:
    records = iter(records)
    for first in records:
        yield list(chain([first], islice(records, size - 1)))


def row_of(record: ImageRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in LISTING_SCHEMA.names}
    return {**row, "split": record.split.value if record.split else None, "caption": list(record.caption)}


@dataclass(frozen=True)
class Look:
    """Part number of a listing -> rows of a manifest, their bytes packed beside them if `pack`."""

    out: str
    pack: bool

    def __call__(self, part: int) -> pa.Table:
        listed = tables.read_table(tables.part_path(storage.join(self.out, LISTING), part)).to_pylist()
        packed = tables.part_path(storage.join(self.out, IMAGES), part)
        brought = (
            tables.read_table(packed, ["bytes"])["bytes"].to_pylist()
            if storage.exists(packed)
            else [None] * len(listed)
        )
        images = [
            data if data is not None else read_image(row["uri"]) for data, row in zip(brought, listed, strict=True)
        ]
        if self.pack:
            brought = [data if isinstance(data, bytes) else None for data in images]
            write_images(self.out, part, brought)
        rows = []
        for place, (row, data) in enumerate(zip(listed, images, strict=True)):
            where = {"part": part, "row": place} if brought[place] is not None else {"part": None, "row": None}
            rows.append({**row, **look(data), **where})
        return pa.Table.from_pylist(rows, SCHEMA)


def look(data: bytes | BadImage) -> dict[str, Any]:
    """Return id, width, height, phash, and error of one picture."""
    try:
        if isinstance(data, BadImage):
            raise data
        width, height = image_size(data)
        phash = perceptual_hash(decode(data, min_side_px=HASH_SIDE_PX))
        return {"id": picture_id(data), "width": width, "height": height, "phash": phash, "error": None}
    except BadImage as bad:
        content = b"" if isinstance(data, BadImage) else data
        unreadable = {"width": None, "height": None, "phash": None, "error": bad.code}
        return {"id": picture_id(content), **unreadable}


def number_unreadable(rows: pa.Table) -> pa.Table:
    """Give every row with an error an id of its own: two empty files are two rows, not duplicates of one picture.

    They are counted in the order of the rows, so that the ids do not depend on where the folder lies.
    """
    seen: Counter[str] = Counter()
    ids = []
    for image_id, error in zip(rows["id"].to_pylist(), rows["error"].to_pylist(), strict=True):
        if error is not None:
            seen[image_id] += 1
            image_id = picture_id(f"{image_id} {seen[image_id]}".encode())
        ids.append(image_id)
    return rows.set_column(rows.column_names.index("id"), "id", pa.array(ids, pa.string()))


def inspect(out: str, *, pack: bool, address: str | None = None, workers: int = 0) -> tuple[pa.Table, dict[str, Any]]:
    """Look at everything that `list_sources` wrote; returns rows of SCHEMA in source order, and map_parts' facts."""
    num_parts = len(tables.parts_in(storage.join(out, LISTING)))
    folder = storage.join(out, INSPECTED)
    work = PartWork(name="inspect", out_dir=folder, num_parts=num_parts, prepare=Look(out, pack))
    done = map_parts(work, address=address, workers=workers)
    return number_unreadable(tables.read_parts(folder)), done
