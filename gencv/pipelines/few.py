"""What is asked of a few chosen pictures, on this machine: what a detector sees of them, and what they lie near."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gencv.core.errors import BadImage
from gencv.core.manifest import Manifest, read_images
from gencv.core.record import picture_id
from gencv.evaluate.neighbours import Neighbours, nearest, without_copies
from gencv.models.detectors import Detector
from gencv.pipelines.pixels import ReadPixels

NUM_SPARE = 5
"""Neighbours asked for beyond those that are wanted, as some may be copies of the picture."""


def seen_by(detector: Detector, manifest_dir: str, manifest: Manifest, rows: Sequence[int]) -> dict[int, np.ndarray]:
    """Return uint8 [S, S, 3] by row, as the network sees it; without those that cannot be read (any more)."""
    reader = ReadPixels(
        manifest_dir, detector.prepare.for_pictures(manifest.preprocessing), manifest.preprocessing is not None
    )
    pixels = {}
    for row, data in zip(rows, bytes_of(manifest, rows), strict=True):
        if isinstance(data, bytes):
            try:
                pixels[row] = reader.read(data, "", "").views[0]
            except BadImage:  # judged before, so another process has just changed it
                continue
    return pixels


def near_by_class(
    manifest: Manifest, features: np.ndarray, rows: Sequence[int], training: Manifest, vectors: np.ndarray, count: int
) -> dict[int, Neighbours]:
    """Return by label what lies nearest to some rows, row by row with them: at most `count` rows of `training`.

    features, vectors: float32 [N, D] of the manifest and of the training. No picture is its own neighbour, by its id or
    by its bytes.
    """
    digests = digests_of(manifest, rows)
    ids, taught_ids = manifest["id"], training["id"]
    truth = training.table["label"].to_numpy()
    found = {}
    for label in (0, 1):
        mine = np.flatnonzero(truth == label)
        near = nearest(
            features[rows],
            vectors[mine],
            [ids[row] for row in rows],
            [taught_ids[row] for row in mine],
            count + NUM_SPARE,
        )
        near = Neighbours(np.where(near.rows < 0, -1, mine[near.rows] if len(mine) else -1), near.cosines)
        known = sorted({int(row) for row in near.rows.ravel() if row >= 0})
        of_row = dict(zip(known, digests_of(training, known), strict=True))
        found[label] = without_copies(near, digests, of_row.__getitem__, count)
    return found


def digests_of(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """Return the digest of the bytes of some pictures as they lie here, "" for one that cannot be read."""
    return [picture_id(data) if isinstance(data, bytes) else "" for data in bytes_of(manifest, rows)]


def bytes_of(manifest: Manifest, rows: Sequence[int]) -> list[bytes | BadImage | None]:
    """Return the bytes of some pictures; see `read_images`."""
    return read_images(manifest.table.take(pa.array(rows, pa.int64())), manifest.images_dir)
