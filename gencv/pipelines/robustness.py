"""Judge a sample of pictures in every cell: each is read and decoded once, and all its versions are made from that."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Prepare
from gencv.core.errors import BadImage
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.evaluate.protocols import NATIVE_CLEAN, Cell, Version, draw_sample, make_versions, versions_of
from gencv.evaluate.robustness import FILE, SCHEMA
from gencv.images.decode import decode
from gencv.models.detectors import Detector
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.pipelines.pixels import PIXELS_SCHEMA, try_pictures
from gencv.pipelines.predict import BuildDetector

FOLDER = "robustness"
PICTURES_PER_PART = 16
"""Pictures in one part: 16 in 33 versions at 384 px take 230 MB, and several parts keep several processes busy."""

VERSIONS_SCHEMA = PIXELS_SCHEMA.append(pa.field("version", pa.int32()))
"""`version` is a place among the versions that are made."""

Answer = tuple[float | None, str | None]
"""A score and an error code, one of them None."""
Said = dict[Version, dict[str, Answer]]
"""Version -> id -> answer."""


@dataclass(frozen=True)
class ReadVersions:
    """Part number -> rows of VERSIONS_SCHEMA: all versions of each picture, without re-encodings of their own."""

    manifest_dir: str
    prepare: Prepare
    versions: tuple[Version, ...]
    seed: int

    def __call__(self, part: int) -> pa.Table:
        rows, made, errors = try_pictures(self.manifest_dir, part, lambda data, image_id, _: self.read(data, image_id))
        found: list[dict[str, Any]] = []
        for image_id, versions, error in zip(rows["id"].to_pylist(), made, errors, strict=True):
            for place, one in enumerate(versions or [error] * len(self.versions)):
                said = {"pixels" if isinstance(one, bytes) else "error": one}
                found.append({"id": image_id, "version": place, "num_views": 1, **said})
        return pa.Table.from_pylist(found, VERSIONS_SCHEMA)

    def read(self, data: bytes, image_id: str) -> list[bytes | str | None]:
        """Return the network's input for each version, or an error code. Raises BadImage where nothing can be made.

        The picture is decoded whole: a degradation acts on the pixels that the file has.
        """
        found: list[bytes | str | None] = []
        for _, made in make_versions(decode(data), image_id, self.versions, self.seed):
            try:
                if isinstance(made, BadImage):
                    raise made
                found.append(self.prepare(made).tobytes())
            except BadImage as bad:
                found.append(bad.code)
        return found


@dataclass(frozen=True)
class BuildJudge:
    """Load a bundle in an actor, to score versions."""

    build: BuildDetector

    def __call__(self, device: str, threads: int) -> InferPart:
        infer = self.build(device, threads)

        def score(part: pa.Table) -> pa.Table:
            return infer(part).select(["id", "score", "error"]).append_column("version", part["version"])

        return score


def robustness(
    bundle_dir: str,
    detector: Detector,
    manifest: Manifest,
    predictions: Predictions,
    cells: list[Cell],
    out: str,
    *,
    per_class: int,
    seed: int,
    batch_size: int = 0,
    address: str | None = None,
    workers: int = 0,
) -> tuple[pa.Table, dict[str, Any]]:
    """Score a sample of raw pictures in every cell into `out`; returns a table of SCHEMA and map_parts' facts.

    predictions: what the detector said of the manifest's pictures as they came, which is the native clean cell.
    per_class, seed: as `draw_sample` takes them.
    """
    assert manifest.preprocessing is None
    work_dir = storage.join(out, FOLDER)
    sample, versions = draw_sample(manifest, per_class, seed), versions_of(cells)
    sample.save(work_dir, rows_per_part=PICTURES_PER_PART)
    done = map_parts(
        PartWork(
            name="robustness",
            out_dir=storage.join(work_dir, "scores"),
            num_parts=-(-len(sample) // PICTURES_PER_PART),
            prepare=ReadVersions(work_dir, detector.prepare, tuple(versions), seed),
            build=BuildJudge(BuildDetector(bundle_dir, batch_size)),
        ),
        address=address,
        workers=workers,
    )
    said: Said = {NATIVE_CLEAN: said_natively(predictions, sample)}
    for row in tables.read_parts(storage.join(work_dir, "scores")).to_pylist() if len(sample) else ():
        said.setdefault(versions[row["version"]], {})[row["id"]] = (row["score"], row["error"])
    table = table_of(cells, sample, said)
    tables.write_table(table, storage.join(out, FILE))
    return table, done


def said_natively(predictions: Predictions, sample: Manifest) -> dict[str, Answer]:
    """Return score and error of the sample's pictures as they came, by id."""
    wanted = set(sample["id"])
    columns = (predictions.table[name].to_pylist() for name in ("id", "score", "error"))
    return {image_id: (score, error) for image_id, score, error in zip(*columns, strict=True) if image_id in wanted}


def table_of(cells: list[Cell], sample: Manifest, said: Said) -> pa.Table:
    """Lay out what was said of versions cell by cell."""
    rows: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    pictures = list(zip(sample["id"], sample["label"], strict=True))
    for cell in cells:
        for image_id, label in pictures:
            values = (image_id, cell.protocol, cell.degradation, cell.strength, *said[cell.version(label)][image_id])
            for name, value in zip(SCHEMA.names, values, strict=True):
                rows[name].append(value)
    return pa.table(rows, schema=SCHEMA)
