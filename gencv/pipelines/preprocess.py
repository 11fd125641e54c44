"""Preprocess a manifest: every picture resized, blurred by chance, and compressed once, packed in Parquet parts."""

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gencv.core import storage, tables
from gencv.core.manifest import IMAGE_SCHEMA, IMAGES, Manifest
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.pipelines.parts import PartWork, map_parts
from gencv.pipelines.pixels import try_pictures

STORED_SCHEMA = IMAGE_SCHEMA.append(pa.field("side_px", pa.int32()))


@dataclass(frozen=True)
class StorePictures:
    """Part number -> its pictures as `preprocessing` stores them, or an error code."""

    manifest_dir: str
    preprocessing: Preprocessing

    def __call__(self, part: int) -> pa.Table:
        _, made, errors = try_pictures(self.manifest_dir, part, self.store)
        stored, sides_px = zip(*(one or (None, None) for one in made), strict=True)
        return pa.table([stored, errors, sides_px], schema=STORED_SCHEMA)

    def store(self, data: bytes, image_id: str, split: str) -> tuple[bytes, int]:
        """Return one picture's stored file, and the shorter side of what was cut out for it. Raises BadImage."""
        part = self.preprocessing.cut(decode(data, min_side_px=self.preprocessing.decode_side_px))
        return self.preprocessing.whole.store(part, image_id, split), min(part.shape[:2])


def preprocess(
    manifest_dir: str,
    manifest: Manifest,
    preprocessing: Preprocessing,
    out: str,
    *,
    address: str | None = None,
    workers: int = 0,
) -> tuple[Manifest, dict[str, Any]]:
    """Write a packed manifest of preprocessed pictures into `out`; returns it and what map_parts does.

    The pictures must be raw: `manifest.preprocessing` is None. Ids stay those of the original bytes.
    """
    assert manifest.preprocessing is None
    images_dir = storage.join(out, IMAGES)
    done = map_parts(
        PartWork(
            name="preprocess",
            out_dir=images_dir,
            num_parts=manifest.num_parts,
            prepare=StorePictures(manifest_dir, preprocessing),
        ),
        address=address,
        workers=workers,
    )
    made = tables.read_parts(images_dir, ["error", "side_px"])
    errors = made["error"]
    size = pc.if_else(pc.is_null(errors), pa.scalar(preprocessing.size_px, pa.int32()), None)
    places = range(len(manifest))
    columns = {
        "part": pa.array([place // tables.ROWS_PER_PART for place in places], pa.int32()),
        "row": pa.array([place % tables.ROWS_PER_PART for place in places], pa.int32()),
        "width": size,
        "height": size,
        "side_px": made["side_px"],
        "error": errors,
    }
    table = manifest.table
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    stored = replace(Manifest(table), images_dir=images_dir, preprocessing=preprocessing.to_dict())
    stored.save(out)
    return stored, done
