"""What a bundle was fitted on: the digests of its pictures, so that it is not judged on them by mistake.

A picture's id is a digest of its original bytes, which preprocessing keeps, so the record holds no more of a picture
than 32 letters. It lies in the bundle's folder, beside what decides its scores.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gencv.core import storage, tables
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.models.detectors import LABELS, task_of

FILE = "fitted_on.parquet"
SCHEMA = pa.schema([("digest", pa.string()), ("split", pa.string())])


def record(manifest: Manifest, folder: str) -> None:
    """Write which readable, labelled pictures of a manifest were trained on, and which set thresholds."""
    table = manifest.table
    used = pc.and_(pc.is_valid(table["label"]), pc.is_null(table["error"]))
    rows = table.filter(pc.and_(used, pc.is_in(table["split"], pa.array([Split.TRAIN.value, Split.VAL.value]))))
    told = rows.select(["id", "split"]).rename_columns(SCHEMA.names).sort_by("digest")
    tables.write_table(told, storage.join(folder, FILE))


def require_unseen(folder: str, manifest: Manifest, split: Split) -> str:
    """Say in a sentence what a bundle has seen of the pictures that it is to be judged on.

    Raises BadInput where it was trained on some of them, unless they are asked for as training rows.
    """
    place = storage.join(folder, FILE)
    if not storage.exists(place):
        return "The bundle does not say what it was fitted on, so nobody can tell here whether it saw these pictures."
    table = tables.conform(tables.read_table(place), SCHEMA, FILE)
    split_of = dict(zip(table["digest"].to_pylist(), table["split"].to_pylist(), strict=True))
    seen = {kind: [image_id for image_id in manifest["id"] if split_of.get(image_id) == kind] for kind in Split}
    trained = seen[Split.TRAIN]
    if trained and split != Split.TRAIN:
        raise BadInput(
            f"The bundle was trained on {len(trained):,} of the {len(manifest):,} pictures of the {split} split "
            f"({_some(trained)}), so that its figures would flatter it; give pictures that it never saw, or --split "
            "train to judge what it was trained on."
        )
    if trained:
        return f"It was trained on {len(trained):,} of these {len(manifest):,} pictures."
    if settled := seen[Split.VAL]:
        return f"Its thresholds and calibration were set on {len(settled):,} of these pictures, which flatters it."
    return f"None of these pictures is among the {len(split_of):,} that the bundle was fitted on."


def require_task(description: dict[str, Any], manifest: Manifest) -> None:
    """Raise BadInput where the positives are of another task than a bundle's: spoofs for one that tells generated ones.

    description: the bundle's detector.json. Positives of an unknown family, or of one that it was trained on, are let
    pass.
    """
    rows = zip(manifest["label"], manifest["family"], strict=True)
    families = {family for label, family in rows if label == 1} - {"unknown", None}
    learnt = set(description["training"].get("counts", {}).get("family", {}))
    task = description["task"]
    if families and not families & learnt and task_of(families) != task:
        other = task_of(families)
        raise BadInput(
            f"The bundle tells {LABELS[task][1]} pictures from {LABELS[task][0]} ones, and the positives here are "
            f"{LABELS[other][1]} ({', '.join(sorted(families))}); give a bundle or a manifest of the same task."
        )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
