"""Judge a detector on pictures that it was not fitted on, at the threshold that its bundle froze.

    python jobs/evaluate.py --bundle /data/runs/bundle --manifest /data/runs/manifest --out /data/runs/evaluation

Give the raw manifest: the detector does its own preprocessing, as it will for users. Writes predictions.parquet,
metrics.json, and report.html: metrics with bootstrap intervals by group, how often a verdict is uncertain and how often
a certain one is wrong, generators worst first, ROC, confusion matrix, t-SNE of the features, and what the preprocessing
does to the pictures.
"""

import json
from dataclasses import asdict, dataclass

from gencv.core import storage
from gencv.core.errors import BadInput, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.evaluate.generators import per_generator
from gencv.evaluate.metrics import summarise
from gencv.evaluate.thresholds import threshold_of
from gencv.evaluate.uncertainty import uncertainty
from gencv.models import bundle
from gencv.pipelines.predict import predict, said_by
from gencv.plots.pages import evaluation_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    bundle: str
    """Folder written by probe or finetune."""
    manifest: str
    """Folder written by manifest (or by the preprocess that the detector was fitted with)."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    split: str = "test"
    """Which rows to judge: test, val, or train."""
    threshold: str = "eer"
    """Which of the bundle's thresholds decides."""
    reencode: bool = True
    """Judge three re-encodings of each picture too: a verdict that they turn is uncertain."""
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
        if self.split not in list(Split):
            raise UnknownName("split", self.split, list(Split))


def main(config: Config, run: Run) -> None:
    manifest = Manifest.load(config.manifest)
    detector = bundle.load(config.bundle)
    threshold = threshold_of(detector.thresholds, config.threshold)
    chosen = manifest.where(split=Split(config.split))
    if len(chosen) == 0:
        raise BadInput(
            f"{config.manifest} has no {config.split} rows; make it with --splits that leave some, or choose --split."
        )
    detector.prepare.for_pictures(manifest.preprocessing)
    run.begin(manifest=manifest.digest(), bundle=bundle.digest(config.bundle))
    chosen.save(run.dir)
    predictions, features, done = predict(
        config.bundle,
        detector,
        run.dir,
        chosen,
        run.dir,
        batch_size=config.batch_size,
        address=config.address,
        workers=config.workers,
        reencode=config.reencode,
        threshold=threshold.value,
    )
    metrics = summarise(predictions, threshold.value, prior=detector.calibrator.prior, seed=config.seed)
    doubts = uncertainty(predictions, threshold.value, detector.band, seed=config.seed)
    generators = per_generator(predictions, threshold.value, seed=config.seed)
    figures = {
        name: {k: v for k, v in asdict(metric).items() if v not in ("", None, False)}
        for name, metric in {**metrics, **doubts}.items()
    }
    storage.write_bytes(run.path("metrics.json"), json.dumps(figures, indent=1).encode())
    run.finish(
        evaluation_report(
            title=detector.title,
            labels=detector.labels,
            threshold=threshold,
            preprocessing=detector.preprocessing,
            split=Split(config.split),
            manifest=chosen,
            predictions=predictions,
            features=features,
            metrics=metrics,
            band=detector.band,
            doubts=doubts,
            generators=generators,
            seed=config.seed,
            kinds=detector.kinds,
        ),
        counts={**chosen.counts(), "work": done},
        figures={
            **{name: metrics[name].value for name in ("auroc", "balanced_accuracy", "eer")},
            "detector": asdict(said_by(detector, threshold, config.bundle)),
        },
        bad=predictions.bad(),
        total=len(chosen),
    )
    print(
        f"AUROC {metrics['auroc'].text()}, 95 % interval by group, "
        f"on {len(predictions.answered())} pictures of the {config.split} split"
    )
    print(f"Report: {run.path('report.html')}")


if __name__ == "__main__":
    launch(main)
