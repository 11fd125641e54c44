"""Score a manifest with a detector bundle."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gencv.core import audits, storage, tables
from gencv.core.embeddings import matrix, vector_column
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.core.predictions import FILE, SCORES, Predictions
from gencv.core.record import Split
from gencv.core.scope import Scope
from gencv.evaluate.evaluation import Terms
from gencv.evaluate.thresholds import Threshold, threshold_of
from gencv.evaluate.verdicts import words
from gencv.models import bundle, fitted
from gencv.models.detectors import Detector
from gencv.pipelines.embed import BATCH_SIZE, in_batches
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.pipelines.pixels import ReadPixels


@dataclass(frozen=True)
class BuildDetector:
    """Load a bundle in an actor. batch_size: pictures in one forward pass, 0 for BATCH_SIZE of the device."""

    bundle_dir: str
    batch_size: int

    def __call__(self, device: str, threads: int) -> InferPart:
        torch.set_num_threads(threads or torch.get_num_threads())
        detector = bundle.load(self.bundle_dir, device=device)
        num_kinds = len(detector.kinds)
        dim = 1 + num_kinds + detector.num_features

        def judge(pixels: np.ndarray) -> np.ndarray:
            judged = detector.judge(pixels)
            return np.concatenate([judged.scores[:, None], judged.kinds, judged.features], axis=1)

        def infer(part: pa.Table) -> pa.Table:
            told = in_batches(judge, part, dim, self.batch_size or BATCH_SIZE[device])
            scores = told[:, :, 0]
            _, kinds, features = np.split(told[:, 0], [1, 1 + num_kinds], axis=1)
            bad = np.isnan(scores[:, 0])
            columns = {name: part[name] for name in ("id", "error", "side_px", "blur")}
            columns |= {"score": pa.array(scores[:, 0], mask=bad), "features": vector_column(features)}
            alone = np.full(len(bad), scores.shape[1] == 1)  # nothing to compare it with
            columns["score_low"] = pa.array(scores.min(1), mask=bad | alone)
            columns["score_high"] = pa.array(scores.max(1), mask=bad | alone)
            if num_kinds:
                names = np.array(detector.kinds, dtype=object)[np.nan_to_num(kinds).argmax(1)]
                columns["kind"] = pa.array(names, pa.string(), mask=bad)
                columns["kind_score"] = pa.array(kinds.max(1), pa.float32(), mask=bad)
            return pa.table(columns)

        return infer


def open_rows(folder: str, split: Split) -> Manifest:
    """Open the rows of a split. Raises BadInput if there are none."""
    chosen = Manifest.load(folder).where(split=split)
    if len(chosen) == 0:
        raise BadInput(f"{folder} has no {split} rows; make it with --splits that leave some, or choose --split.")
    return chosen


def open_bundle(folder: str, chosen: Manifest, split: Split, threshold: str, **more: Any) -> tuple[Detector, Terms]:
    """Open a bundle to judge rows, and say on which terms. threshold: its name; more: fields of `Terms`.

    Raises BadInput if it is for another task, was trained on some of the rows, or takes no pictures that were
    preprocessed so, and what `bundle.load` does.
    """
    description = bundle.describe(folder)
    decides = threshold_of(description["thresholds"], threshold)
    fitted.require_task(description, chosen)
    seen = fitted.require_unseen(folder, chosen, split)
    detector = bundle.load(folder)
    detector.prepare.for_pictures(chosen.preprocessing)
    return detector, terms_of(detector, description["training"], decides, split, seen, **more)


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
    reencode: bool = False,
    threshold: float | None = None,
) -> tuple[Predictions, np.ndarray, dict[str, Any]]:
    """Score every row of a manifest into `out`; returns predictions, features float32 [N, D], and map_parts' facts.

    Raw pictures go through the detector's whole preprocessing; preprocessed ones through what is left of it. reencode:
    judge each picture's re-encodings too, three more passes. threshold: give verdicts; None leaves them out.
    """
    scores_dir = storage.join(out, SCORES)
    prepare = detector.prepare.for_pictures(manifest.preprocessing)
    done = map_parts(
        PartWork(
            name="predict",
            out_dir=scores_dir,
            num_parts=manifest.num_parts,
            prepare=ReadPixels(manifest_dir, prepare, manifest.preprocessing is not None, reencode=reencode),
            build=BuildDetector(bundle_dir, batch_size),
        ),
        address=address,
        workers=workers,
    )
    scored = tables.read_parts(scores_dir)
    assert scored["id"].to_pylist() == manifest["id"]
    predictions, features = Predictions.of(manifest.table, scored), matrix(scored["features"], detector.num_features)
    predictions = in_scope(predictions, features, detector.scope)
    if threshold is not None:
        predictions = words(predictions, threshold, detector.band, detector.labels)
    tables.write_table(predictions.table, storage.join(out, FILE))
    return predictions, features, done


def in_scope(predictions: Predictions, features: np.ndarray, scope: Scope) -> Predictions:
    """Return the same rows with what of them is outside the scope. features: float32 [N, D], row by row."""
    outside = scope.outside(predictions.numbers("side_px"), predictions.numbers("blur"), features)
    return predictions.filled(outside=outside)


def terms_of(
    detector: Detector, training: dict[str, Any], threshold: Threshold, split: Split, seen: str, **more: Any
) -> Terms:
    """Return on which terms a detector judges. training: its bundle's facts; seen, more: fields of `Terms`."""
    return Terms(
        title=detector.title,
        task=detector.task,
        labels=detector.labels,
        split=split,
        threshold=threshold,
        calibrator=detector.calibrator,
        band=detector.band,
        scope=detector.scope.describe(),
        kinds=detector.kinds,
        preprocessing=detector.preprocessing.to_dict() if detector.preprocessing else None,
        fitted_on=training.get("manifest", ""),
        audit=audits.describe(training.get("audit")),
        seen=seen,
        **more,
    )
