"""Fit a small judge on embeddings and save it as a detector bundle.

    python jobs/probe.py --embeddings /data/runs/embeddings --probe linear --out /data/runs/bundle

Fits on the training rows (nearest neighbour, linear, or R4's MLP). What makes verdicts of scores is set on the
validation rows and nothing else: the calibration (--calibration), the thresholds (`eer`, `fpr1`, `fpr0.1`, `balanced`),
and the band of scores that are called uncertain (--error-rate). The test rows are not looked at.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from gencv.core.audits import audit_of
from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate.decision import DecisionSettings, settle
from gencv.evaluate.metrics import summarise
from gencv.evaluate.scoping import bank_of, set_scope
from gencv.evaluate.validation import Validation
from gencv.images.preprocess import Preprocessing
from gencv.models import bundle, fitted
from gencv.models.detectors import ProbeDetector, task_of
from gencv.models.encoders import load_encoder
from gencv.models.probes import PROBES, Labelled, fit_probe
from gencv.plots.pages import probe_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    embeddings: str
    """Folder written by embed."""
    out: str
    """Folder of this run and of the bundle: an absolute path or a URI."""
    audit: str = ""
    """Folder written by audit of the manifest that was embedded, to be named by the bundle; else it says so."""
    probe: str = "linear"
    """nearest, linear, or mlp."""
    deciding: DecisionSettings = field(default_factory=DecisionSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.probe not in PROBES:
            raise UnknownName("probe", self.probe, PROBES)


def main(config: Config, run: Run) -> None:
    embeddings = Embeddings.load(config.embeddings)
    train, val = (labelled(embeddings, split) for split in (Split.TRAIN, Split.VAL))
    probe = fit_probe(config.probe, train, val, seed=config.seed)
    encoder = load_encoder(embeddings.space.encoder)
    preprocessing = embeddings.space.preprocessing
    families = {
        f for f, label in zip(embeddings.manifest["family"], embeddings.manifest["label"], strict=True) if label == 1
    }
    draft = ProbeDetector(
        encoder=encoder,
        probe=probe,
        task=task_of(families),
        preprocessing=Preprocessing.from_dict(preprocessing) if preprocessing else None,
    )
    if draft.space != embeddings.space:
        raise BadInput(
            f"{config.embeddings} was made by other weights of {encoder.space.encoder} than are here; embed again."
        )
    audit = audit_of(config.audit, embeddings.manifest)
    run.begin(embeddings=embeddings.digest())
    drafted = Validation(predictions(draft, embeddings, Split.VAL).table)
    decision = settle(drafted, config.deciding)
    fitted_on = np.array(embeddings.manifest["id"])[rows_of(embeddings, Split.TRAIN)]
    scope = set_scope(drafted, val.vectors, draft.prepare.side_px, train.vectors[bank_of(fitted_on)])
    detector = replace(draft, **decision.fields(), scope=scope)
    judged = predictions(detector, embeddings, Split.VAL)
    threshold = decision.thresholds["eer"].value
    metrics = summarise(judged, threshold, prior=decision.calibrator.prior, seed=config.seed)
    bundle.save(
        detector,
        run.dir,
        training={"manifest": embeddings.manifest.digest(), "audit": audit, "counts": embeddings.manifest.counts()},
        metrics={name: metric.text() for name, metric in metrics.items()},
    )
    fitted.record(embeddings.manifest, run.dir)
    run.finish(
        probe_report(decision, metrics, judged, detector.labels, f"Probe: {config.probe} on {encoder.space.encoder}"),
        counts={"train": len(train.labels), "val": len(val.labels)},
        figures={"val_auroc": metrics["auroc"].value, "bundle": bundle.digest(run.dir)},
        bad=embeddings.bad(),
        total=len(embeddings.manifest),
    )


def rows_of(embeddings: Embeddings, split: Split) -> np.ndarray:
    """int [N]: the labelled rows of a split that have a vector, by id, so that the manifest's order does not matter."""
    manifest = embeddings.manifest.table
    in_split = np.array(manifest["split"].to_pylist(), dtype=object) == split.value
    rows = np.flatnonzero(in_split & manifest["label"].is_valid().to_numpy() & embeddings.good)
    ids = embeddings.manifest["id"]
    return np.array(sorted(rows, key=lambda row: ids[row]), np.int64)


def labelled(embeddings: Embeddings, split: Split) -> Labelled:
    rows = rows_of(embeddings, split)
    return Labelled(embeddings.vectors[rows], embeddings.manifest.table["label"].take(pa.array(rows)).to_numpy())


def predictions(detector: ProbeDetector, embeddings: Embeddings, split: Split) -> Predictions:
    """Score the embeddings of a split: what predicting its pictures would give."""
    rows = rows_of(embeddings, split)
    table = embeddings.manifest.table.take(pa.array(rows))
    said = embeddings.condition.take(pa.array(rows)).append_column("error", table["error"])
    return Predictions.of(table, said.append_column("score", pa.array(detector.scores(embeddings.vectors[rows]))))


if __name__ == "__main__":
    launch(main)
