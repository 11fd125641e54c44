"""Score a manifest with a detector bundle."""

from collections.abc import Callable
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
from gencv.models.detectors import Detector
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
        num_kinds = len(detector.kinds)

        def judge(pixels: np.ndarray) -> np.ndarray:
            judged = detector.judge(pixels)
            return np.concatenate([judged.scores[:, None], judged.kinds, judged.features], axis=1)

        def infer(part: pa.Table) -> pa.Table:
            dim = 1 + num_kinds + detector.num_features
            told = in_batches(judge, part, dim, self.batch_size or BATCH_SIZE[device])
            scores, kinds, features = np.split(told, [1, 1 + num_kinds], axis=1)
            bad = np.isnan(scores[:, 0])
            columns = {
                "id": part["id"],
                "score": pa.array(scores[:, 0], mask=bad),
                "features": vector_column(features),
                "error": part["error"],
            }
            if num_kinds:
                names = np.array(detector.kinds, dtype=object)[np.nan_to_num(kinds).argmax(1)]
                columns["kind"] = pa.array(names, pa.string(), mask=bad)
                columns["kind_score"] = pa.array(kinds.max(1), pa.float32(), mask=bad)
            return pa.table(columns)

        return infer


def predict(
    bundle_dir: str,
    detector: Detector,
    manifest_dir: str,
    manifest: Manifest,
    out: str,
    *,
    batch_size: int = 0,
    address: str | None = None,
    workers: int = 0,
    verdicts: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
) -> tuple[Predictions, np.ndarray, dict[str, Any]]:
    """Score every row of a manifest into `out`; returns predictions, features float32 [N, D], and map_parts' facts.

    Raw pictures go through the detector's whole preprocessing; preprocessed ones through what is left of it. verdicts:
    scores [N] to verdicts and their reasons, as `evaluate.verdicts.words` gives them; None leaves both columns empty.
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
    predictions = Predictions.of(manifest.table, scored)
    if verdicts is not None:
        predictions = predictions.judged(*verdicts(predictions.scores))
    tables.write_table(predictions.table, storage.join(out, "predictions.parquet"))
    return predictions, matrix(scored["features"], detector.num_features), done
