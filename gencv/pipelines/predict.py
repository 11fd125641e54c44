"""Score a manifest with a detector bundle."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gencv.core import storage, tables
from gencv.core.embeddings import matrix, vector_column
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.models import bundle
from gencv.models.detectors import ProbeDetector
from gencv.pipelines.embed import BATCH_SIZE, in_batches
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.pipelines.pixels import ReadPixels

SCORES = "scores"


@dataclass(frozen=True)
class BuildDetector:
    """Load a bundle in an actor. batch_size: pictures in one forward pass, 0 for BATCH_SIZE of the device."""

    bundle_dir: str
    batch_size: int

    def __call__(self, device: str, threads: int) -> InferPart:
        torch.set_num_threads(threads or torch.get_num_threads())
        detector = bundle.load(self.bundle_dir, device=device)

        def infer(part: pa.Table) -> pa.Table:
            features = in_batches(detector.features, part, detector.space.dim, self.batch_size or BATCH_SIZE[device])
            good = ~np.isnan(features).any(axis=1)
            scores = np.full(len(good), np.nan, np.float32)
            if good.any():
                scores[good] = detector.scores(features[good])
            score = pa.array(scores, mask=~good)
            return pa.table(
                {"id": part["id"], "score": score, "features": vector_column(features), "error": part["error"]}
            )

        return infer


def predict(
    bundle_dir: str,
    detector: ProbeDetector,
    manifest_dir: str,
    manifest: Manifest,
    out: str,
    *,
    batch_size: int = 0,
    address: str | None = None,
    workers: int = 0,
) -> tuple[Predictions, np.ndarray, dict[str, Any]]:
    """Score every row of a manifest into `out`; returns predictions, features float32 [N, D], and map_parts' facts.

    Raw pictures go through the detector's whole preprocessing; preprocessed ones through what is left of it.
    """
    scores_dir = storage.join(out, SCORES)
    prepare = detector.prepare.for_pictures(manifest.preprocessing)
    done = map_parts(
        PartWork(
            name="predict",
            out_dir=scores_dir,
            num_parts=manifest.num_parts,
            prepare=ReadPixels(manifest_dir, prepare, manifest.preprocessing is not None),
            build=BuildDetector(bundle_dir, batch_size),
        ),
        address=address,
        workers=workers,
    )
    scored = tables.read_parts(scores_dir)
    assert scored["id"].to_pylist() == manifest["id"]
    predictions = Predictions.of(manifest.table, scored["score"], scored["error"])
    tables.write_table(predictions.table, storage.join(out, "predictions.parquet"))
    return predictions, matrix(scored["features"], detector.space.dim), done
