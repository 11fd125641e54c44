"""Judge a detector on pictures that it was not fitted on, at the threshold that its bundle froze.

    python jobs/evaluate.py --bundle /data/runs/bundle --manifest /data/runs/manifest --out /data/runs/evaluation
    python jobs/evaluate.py --reproduce /data/runs/evaluation

Give the raw manifest: the detector does its own preprocessing, as it will for users. Writes predictions.parquet,
robustness.parquet, metrics.json, and report.html: the headline, generators and sources of genuine pictures worst first,
how the detector holds up on degraded pictures, how often a verdict is uncertain, and every metric with its bootstrap
interval by group. docs/evaluation.md says what each figure is.

--reproduce makes every figure of a finished run again, from its tables, without the detector and without Ray, and ends
with code 1 if one differs from what the run says; with --out it also writes the page and metrics.json anew.
"""

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.embeddings import matrix
from gencv.core.errors import BadInput, NotReproduced, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.predictions import SCORES
from gencv.core.record import Split
from gencv.evaluate.differences import differences
from gencv.evaluate.evaluation import METRICS, Evaluation, figures_of, recompute
from gencv.evaluate.protocols import CHOICES, cells_of
from gencv.plots.evaluation import evaluation_report
from gencv.runs.launch import launch
from gencv.runs.run import Run

# torch and Ray are imported where pictures are judged: --reproduce needs neither.


@dataclass(frozen=True, kw_only=True)
class Config:
    bundle: str = ""
    """Folder written by probe or finetune."""
    manifest: str = ""
    """Folder written by manifest (or by the preprocess that the detector was fitted with)."""
    out: str = ""
    """Folder of this run: an absolute path or a URI."""
    reproduce: str = ""
    """Folder of a finished run of this job, whose figures are made again; takes --out and --max-bad-fraction alone."""
    split: str = "test"
    """Which rows to judge: test, val, or train."""
    threshold: str = "eer"
    """Which of the bundle's thresholds decides."""
    reencode: bool = True
    """Judge three re-encodings of each picture too: a verdict that they turn is uncertain."""
    robustness: str = "tiers"
    """How pictures are degraded: none, tiers (three protocols at four tiers), or all (sweeps as well)."""
    robustness_pictures: int = 200
    """Pictures of each class that are degraded, at most."""
    seed: int = 0
    batch_size: int = 0
    """Pictures in one forward pass; default: what suits the device."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures gives no answer."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Inference processes; default: one a GPU, else one a CPU."""

    def __post_init__(self) -> None:
        if self.reproduce:
            others = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
            if unused := sorted(set(others) - {"reproduce", "out", "max_bad_fraction"}):
                flags = ", ".join("--" + name.replace("_", "-") for name in unused)
                raise BadInput(
                    f"{flags} does nothing with --reproduce, which keeps to what the run says; leave it out."
                )
        elif missing := [f"--{name}" for name in ("bundle", "manifest", "out") if not getattr(self, name)]:
            raise BadInput(
                f"{', '.join(missing)} is missing; give --bundle, --manifest, and --out, or --reproduce RUN."
            )
        if self.split not in list(Split):
            raise UnknownName("split", self.split, list(Split))
        if self.robustness not in CHOICES:
            raise UnknownName("robustness", self.robustness, CHOICES)
        if self.robustness_pictures < 1:
            raise BadInput(f"--robustness-pictures is {self.robustness_pictures}; a number from 1 is accepted.")


def main(config: Config, run: Run) -> None:
    if config.reproduce:
        reproduce(config, run)
    else:
        judge(config, run)


def judge(config: Config, run: Run) -> None:
    """Judge the pictures on the cluster, keep what figures follow from, and make them."""
    from gencv.models import bundle
    from gencv.models.card import card
    from gencv.pipelines.predict import open_bundle, open_rows, predict
    from gencv.pipelines.robustness import robustness

    split = Split(config.split)
    chosen = open_rows(config.manifest, split)
    digests = {"manifest": chosen.digest(), "bundle": bundle.digest(config.bundle)}
    detector, terms = open_bundle(
        config.bundle,
        chosen,
        split,
        config.threshold,
        no_robustness=no_robustness(config, chosen),
        no_reencoding=no_reencoding(config, chosen),
        digests=digests,
        seed=config.seed,
    )
    run.begin(**digests)
    chosen.save(run.dir)
    terms.save(run.dir)
    how: dict[str, Any] = {
        "batch_size": config.batch_size,
        "address": config.address,
        "workers": config.workers,
    }
    judged: dict[str, Any] = {"reencode": not terms.no_reencoding, "threshold": terms.at}
    predictions, features, done = predict(config.bundle, detector, run.dir, chosen, run.dir, **judged, **how)
    degraded: pa.Table | None = None
    if not terms.no_robustness:
        degraded, more = robustness(
            config.bundle,
            detector,
            chosen,
            predictions,
            cells_of(config.robustness),
            run.dir,
            per_class=config.robustness_pictures,
            seed=config.seed,
            **how,
        )
        done = {**done, "robustness": more}
    evaluation = figures_of(predictions, degraded, terms)
    storage.write_bytes(run.path("README.md"), card(bundle.describe(config.bundle), evaluation.to_dict()).encode())
    finish(run, evaluation, chosen, features, work=done)


def no_robustness(config: Config, manifest: Manifest) -> str:
    """Say why no picture is degraded, "" if some are."""
    if config.robustness == "none":
        return "--robustness none was asked for"
    if manifest.preprocessing is not None:
        return "these pictures were preprocessed before, and only a raw picture can be degraded; give the raw manifest"
    labels = zip(manifest["label"], manifest["error"], strict=True)
    return "" if any(label is not None and error is None for label, error in labels) else "no labelled picture is there"


def no_reencoding(config: Config, manifest: Manifest) -> str:
    """Say why no picture is encoded again, "" if all are."""
    if not config.reencode:
        return "--no-reencode was asked for"
    return "" if manifest.preprocessing is None else "these pictures were preprocessed before"


def reproduce(config: Config, run: Run) -> None:
    """Make every figure of a finished run again, and compare."""
    place = storage.join(config.reproduce, METRICS)
    if not storage.exists(place):
        raise BadInput(f"{config.reproduce} holds no {METRICS}; give the folder of a finished run of this job.")
    evaluation = recompute(config.reproduce)
    try:
        said = dict(json.loads(storage.read_bytes(place)))
    except (ValueError, TypeError):
        raise BadInput(f"{place} is no JSON that can be read.") from None
    count, differing = differences(said, json.loads(json.dumps(evaluation.to_dict())))
    for line in differing or [f"All {count} figures are the same."]:
        print(line)
    if config.out:
        run.begin(**evaluation.digests)
        scores_dir = storage.join(config.reproduce, SCORES)
        features = None
        if tables.parts_in(scores_dir):
            column = tables.read_parts(scores_dir, ["features"])["features"]
            features = matrix(column, column.type.list_size)
        finish(run, evaluation, Manifest.load(config.reproduce), features, work={})
    if differing:
        raise NotReproduced(f"{len(differing)} of {count} figures of {config.reproduce} do not follow from its tables.")


def finish(
    run: Run, evaluation: Evaluation, manifest: Manifest, features: np.ndarray | None, *, work: dict[str, Any]
) -> None:
    """Write metrics.json and the page, and say the headline."""
    storage.write_bytes(run.path(METRICS), json.dumps(evaluation.to_dict(), indent=1).encode())
    metrics, predictions = evaluation.metrics, evaluation.predictions
    run.finish(
        evaluation_report(evaluation, manifest, features),
        counts={**manifest.counts(), "work": work},
        figures={name: metrics[name].value for name in ("auroc", "balanced_accuracy", "eer")},
        bad=predictions.bad(),
        total=len(predictions),
    )
    auroc = metrics["auroc"]
    remark = "95 % interval by group" if auroc.low is not None else auroc.reason
    print(
        f"AUROC {auroc.text()}, {remark}, on {len(predictions.answered())} pictures of the "
        f"{evaluation.terms.split} split"
    )
    print(f"Report: {run.path('report.html')}")


if __name__ == "__main__":
    launch(main)
