"""Gather the facts of every picture of a manifest that an audit looks at: what its file is, and what it shows."""

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.manifest import Manifest
from gencv.core.record import picture_id
from gencv.images.container import container_facts
from gencv.images.content import REFERENCE_SIDE_PX, content_facts
from gencv.images.decode import decode
from gencv.images.hashing import perceptual_hash
from gencv.pipelines.parts import PartWork, map_parts
from gencv.pipelines.pixels import try_pictures

FACTS = "facts"
FACTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("error", pa.string()),
        ("digest", pa.string()),  # of the bytes as they lie here; the id is that of the original ones
        ("phash", pa.uint64()),
        *((name, pa.string()) for name in ("format", "mode", "subsampling")),
        *((name, pa.int64()) for name in ("width", "height", "quality", "metadata_bytes", "reference_bytes")),
        *((name, pa.float64()) for name in ("aspect", "luma_step", "chroma_step", "bytes_per_pixel")),
        *((name, pa.float64()) for name in ("mean_luma", "contrast", "colourfulness")),
        *((name, pa.bool_()) for name in ("standard_tables", "progressive", "standard_huffman")),
        *((name, pa.bool_()) for name in ("has_exif", "has_icc")),
    ]
)
DECODE_SIDE_PX = 2 * REFERENCE_SIDE_PX
"""A scaled decode may shrink a picture to this side: enough for an average over REFERENCE_SIDE_PX."""


@dataclass(frozen=True)
class GatherFacts:
    """Part number -> a row of FACTS_SCHEMA for each of its pictures; one that cannot be read has its error alone."""

    manifest_dir: str

    def __call__(self, part: int) -> pa.Table:
        rows, made, errors = try_pictures(self.manifest_dir, part, lambda data, image_id, split: facts_of(data))
        ids = rows["id"].to_pylist()
        facts = [
            {"id": row_id, "error": error, **(found or {})}
            for row_id, error, found in zip(ids, errors, made, strict=True)
        ]
        return pa.Table.from_pylist(facts, FACTS_SCHEMA)


def facts_of(data: bytes) -> dict[str, Any]:
    """Return all facts of one picture. Raises BadImage."""
    image = decode(data, min_side_px=DECODE_SIDE_PX)
    return {
        "digest": picture_id(data),
        "phash": perceptual_hash(image),
        **asdict(container_facts(data)),
        **asdict(content_facts(image)),
    }


def gather_facts(
    manifest_dir: str, manifest: Manifest, out: str, *, address: str | None = None, workers: int = 0
) -> tuple[pa.Table, dict[str, Any]]:
    """Write the facts of every picture into `out`; returns them, row by row with the manifest, and map_parts' facts."""
    folder = storage.join(out, FACTS)
    work = PartWork(name="audit", out_dir=folder, num_parts=manifest.num_parts, prepare=GatherFacts(manifest_dir))
    done = map_parts(work, address=address, workers=workers)
    return tables.read_parts(folder), done
