"""Look into a detector: maps of its features, where it looks, what its verdicts lie near, spectra of its pictures.

    python jobs/visualise.py --bundle /data/runs/bundle --manifest /data/runs/manifest \\
      --training /data/runs/embeddings --out /data/runs/visualised
    python jobs/visualise.py --embeddings /data/runs/embeddings --out /data/runs/map

Several bundles, --bundle A B, are shown side by side on the same pictures. Embeddings alone give maps only. Writes
report.html and visualise.json, which has the coordinates, radial profiles, examples, and neighbours as numbers.
docs/visualise.md says how to read each picture, and what it does not prove.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gencv.core import storage
from gencv.core.embeddings import SPACE, Embeddings
from gencv.core.errors import BadInput, NotSupported, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.core.seeds import draw_each
from gencv.core.spectra import Spectra
from gencv.evaluate.examples import examples, hardest
from gencv.evaluate.projection import Projection, project, require_projection
from gencv.evaluate.thresholds import threshold_of
from gencv.models import bundle, fitted
from gencv.models.detectors import LABELS, Detector, ProbeDetector, task_of
from gencv.models.explain import MEANINGS, explain
from gencv.pipelines.few import near_by_class, seen_by
from gencv.pipelines.predict import open_rows, predict
from gencv.pipelines.spectra import mean_spectra, require_side, usual_side
from gencv.plots.visualise import COLOURS, Looked, Network, Why, to_json, visualise_report
from gencv.runs.launch import launch
from gencv.runs.run import Run

USED_WITH_BUNDLE = ("training", "pictures", "spectrum_px", "threshold", "batch_size")
"""Flags that mean nothing with embeddings alone."""
NUM_EXAMPLES = 3
NUM_WHY = 12
NUM_NEIGHBOURS = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    out: str
    """Folder of this run: an absolute path or a URI."""
    bundle: tuple[str, ...] = ()
    """Folders written by probe or finetune; needs --manifest."""
    manifest: str = ""
    """Folder written by manifest (or by the preprocess that the detectors were fitted with)."""
    embeddings: str = ""
    """Folder written by embed, in place of --bundle and --manifest: a map of its vectors, and nothing else."""
    training: str = ""
    """What the detectors were fitted on, for the nearest training pictures: a folder written by embed in a probe's own
    space, or a manifest, whose train rows are judged."""
    split: str = "test"
    """Which rows to look at: test, val, or train."""
    pictures: int = 1000
    """At most so many of each generator are judged and transformed, drawn by seed."""
    per_class: int = 50
    """At most so many of each generator on a map, drawn by seed."""
    colour: tuple[str, ...] = tuple(COLOURS)
    """What to colour maps by: class, family, generator."""
    projection: str = "tsne"
    """tsne, or umap (its package is not installed with gencv)."""
    spectrum_px: int = 0
    """Side of the square that is cut from the middle of each picture for its spectrum; default: 224, or less where
    pictures are smaller."""
    threshold: str = "eer"
    """Which of the bundles' thresholds decides."""
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
        if bool(self.embeddings) == bool(self.bundle) or bool(self.bundle) != bool(self.manifest):
            raise BadInput("Give --bundle with --manifest, or --embeddings alone.")
        for name in USED_WITH_BUNDLE:
            if self.embeddings and getattr(self, name) != getattr(Config, name):
                raise BadInput(f"--{name.replace('_', '-')} does nothing with --embeddings; leave it out.")
        if self.split not in list(Split):
            raise UnknownName("split", self.split, list(Split))
        for name in self.colour:
            if name not in COLOURS:
                raise UnknownName("colour", name, COLOURS)
        if self.pictures < 1 or self.per_class < 1:
            raise BadInput("--pictures and --per-class must be at least 1.")
        require_projection(self.projection)
        if self.spectrum_px:
            require_side(self.spectrum_px)


@dataclass(frozen=True)
class Subject:
    """A detector, where its bundle and its results lie, and what it says of the chosen pictures."""

    folder: str
    detector: Detector
    threshold: float
    out: str
    manifest: Manifest
    predictions: Predictions
    features: np.ndarray
    """float32 [N, D], row by row with the manifest; NaN without an answer."""


def main(config: Config, run: Run) -> None:
    if config.embeddings:
        show_embeddings(config, run)
    else:
        show_detectors(config, run)


def show_embeddings(config: Config, run: Run) -> None:
    """Draw some vectors of the chosen split."""
    embeddings = Embeddings.load(config.embeddings)
    rows = np.flatnonzero([split == config.split for split in embeddings.manifest["split"]])
    if not len(rows):
        raise BadInput(f"{config.embeddings} has no {config.split} rows; choose another --split.")
    run.begin(embeddings=embeddings.digest())
    manifest = Manifest(embeddings.manifest.table.take(pa.array(rows)))
    positive = {f for f, label in zip(manifest["family"], manifest["label"], strict=True) if label == 1}
    network = Network(
        name=embeddings.space.encoder,
        labels=LABELS[task_of(positive)],
        projection=lay_out(embeddings.vectors[rows], manifest, config),
    )
    errors = [embeddings.errors[row] for row in rows]
    bad = [(uri, error) for uri, error in zip(manifest["uri"], errors, strict=True) if error]
    finish(config, run, manifest, [network], None, bad)


def show_detectors(config: Config, run: Run) -> None:
    """Judge the chosen pictures with every detector, and draw what is inside."""
    chosen = choose(config)
    detectors = [bundle.load(folder) for folder in config.bundle]
    thresholds = [threshold_of(detector.thresholds, config.threshold) for detector in detectors]
    training = open_training(config, detectors)
    for folder, detector in zip(config.bundle, detectors, strict=True):
        detector.prepare.for_pictures(chosen.preprocessing)
        fitted.require_task(bundle.describe(folder), chosen)
    run.begin(
        manifest=chosen.digest(),
        bundle=" ".join(map(bundle.digest, config.bundle)),
        **({"training": training.digest()} if training is not None else {}),
    )
    chosen.save(run.dir)
    subjects, networks = [], []
    names = names_of([detector.name for detector in detectors], config.bundle)
    for place, (folder, detector, threshold) in enumerate(zip(config.bundle, detectors, thresholds, strict=True)):
        assert threshold.value is not None
        out = run.path("judged", str(place))
        predictions, features = judge(config, folder, detector, run.dir, chosen, out)
        subject = Subject(folder, detector, threshold.value, out, chosen, predictions, features)
        subjects.append(subject)
        networks.append(
            Network(
                name=names[place],
                labels=detector.labels,
                projection=lay_out(features, chosen, config),
                scores=predictions.scores,
                threshold=threshold.value,
                looked=look(subject, run.dir),
                why=None if training is None else ask_why(subject, training, config),
            )
        )
    side_px = config.spectrum_px or usual_side(chosen)
    spectra, _ = mean_spectra(run.dir, chosen, run.dir, side_px=side_px, address=config.address, workers=config.workers)
    bad = dict(pair for subject in subjects for pair in subject.predictions.bad())
    finish(config, run, chosen, networks, spectra, list(bad.items()))


def choose(config: Config) -> Manifest:
    """Draw the pictures to look at. Raises BadInput if the split has none."""
    chosen = open_rows(config.manifest, Split(config.split))
    rows = draw_each(chosen["generator"], chosen["id"], config.pictures, config.seed, "visualise")
    return chosen.where(np.isin(np.arange(len(chosen)), rows))


def open_training(config: Config, detectors: Sequence[Detector]) -> Embeddings | Manifest | None:
    """Open what the detectors were fitted on. Raises BadInput without train rows, or for vectors of another space."""
    if not config.training:
        return None
    manifest = Manifest.load(config.training)
    if Split.TRAIN.value not in manifest["split"]:
        raise BadInput(
            f"{config.training} has no train rows, and so no neighbours; give what the detector was fitted on."
        )
    if not storage.exists(storage.join(config.training, SPACE)):
        for detector in detectors:
            detector.prepare.for_pictures(manifest.preprocessing)
        return manifest
    embeddings = Embeddings.load(config.training)
    for detector in detectors:
        if not isinstance(detector, ProbeDetector) or detector.space != embeddings.space:
            raise BadInput(
                f"The vectors of {config.training} are not in the space of {detector.name}; give the embeddings that "
                "it was fitted on, or the manifest of its training pictures, which are then judged."
            )
    return embeddings


def judge(
    config: Config, folder: str, detector: Detector, manifest_dir: str, manifest: Manifest, out: str
) -> tuple[Predictions, np.ndarray]:
    """Return the predictions and features, float32 [N, D], of every row of a manifest."""
    predictions, features, _ = predict(
        folder,
        detector,
        manifest_dir,
        manifest,
        out,
        batch_size=config.batch_size,
        address=config.address,
        workers=config.workers,
    )
    return predictions, features


def lay_out(features: np.ndarray, manifest: Manifest, config: Config) -> Projection | None:
    """Lay some pictures of every generator out on a plane, as rows of the manifest; None for fewer than three."""
    good = np.flatnonzero(~np.isnan(features).any(axis=1))
    names, ids = ([column[row] for row in good] for column in (manifest["generator"], manifest["id"]))
    drawn = good[draw_each(names, ids, config.per_class, config.seed, "map")]
    if len(drawn) < 3:
        return None
    found = project(features[drawn], config.seed, method=config.projection)
    return Projection(found.points, drawn[found.rows])


def names_of(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Return what detectors are called, with as much of their folders' ends as tells those of one name apart."""
    parts = [folder.rstrip("/").split("/") for folder in folders]
    found = []
    for name, mine in zip(names, parts, strict=True):
        alike = [other for other_name, other in zip(names, parts, strict=True) if other_name == name]
        ends = (k for k in range(1, len(mine)) if [other[-k:] for other in alike].count(mine[-k:]) == 1)
        found.append(name if len(alike) == 1 else f"{name} ({'/'.join(mine[-next(ends, len(mine)) :])})")
    return found


def labels_of(manifest: Manifest) -> np.ndarray:
    """int [N], -1 where there is no label."""
    return np.array([-1 if label is None else label for label in manifest["label"]])


def look(subject: Subject, manifest_dir: str) -> Looked:
    """Explain the telling pictures of either class, on this machine: they are few."""
    detector, manifest = subject.detector, subject.manifest
    rows = examples(labels_of(manifest), subject.predictions.scores, subject.threshold, NUM_EXAMPLES)
    wanted = sorted({row for some in rows.values() for row in some})
    pixels = seen_by(detector, manifest_dir, manifest, wanted)
    if not pixels:
        return Looked(method="", meaning="No labelled picture has an answer, so there is nothing to look at.")
    try:
        found = explain(detector, np.stack(list(pixels.values())))
    except NotSupported as error:
        return Looked(method="", meaning=str(error))
    return Looked(
        method=found.method,
        meaning=MEANINGS[found.method],
        rows=rows,
        pixels=pixels,
        heat=dict(zip(pixels, found.heat, strict=True)),
        tokens={
            row: {name: maps[place] for name, maps in found.tokens.items()}
            for place, row in enumerate(pixels)
            if found.tokens
        },
    )


def ask_why(subject: Subject, training: Embeddings | Manifest, config: Config) -> Why:
    """Find the nearest training pictures of either class for the pictures that are hardest to judge."""
    manifest, features = subject.manifest, subject.features
    if isinstance(training, Embeddings):
        of_train = pc.equal(training.manifest.table["split"], Split.TRAIN.value)
        taught, vectors = training.manifest.where(of_train), training.vectors[of_train.to_numpy()]
    else:
        taught = training.where(split=Split.TRAIN)
        place = storage.join(subject.out, "training")
        taught.save(place)
        _, vectors = judge(config, subject.folder, subject.detector, place, taught, place)
    rows = hardest(labels_of(manifest), subject.predictions.scores, subject.threshold, NUM_WHY)
    found = near_by_class(manifest, features, rows, taught, vectors, NUM_NEIGHBOURS)
    return Why(training=taught, rows=rows, found=found)


def finish(
    config: Config,
    run: Run,
    manifest: Manifest,
    networks: Sequence[Network],
    spectra: Spectra | None,
    bad: Sequence[tuple[str, str]],
) -> None:
    """Write visualise.json and the page."""
    facts = {
        "manifest": manifest.digest(),
        "networks": [to_json(network, manifest) for network in networks],
        "spectra": None if spectra is None else spectra.to_dict(),
    }
    storage.write_bytes(run.path("visualise.json"), json.dumps(facts, indent=1).encode())
    limit = f", at most {config.pictures:,} of a generator" if config.bundle else ""
    what = f"{len(manifest):,} pictures of the {config.split} split{limit}"
    run.finish(
        visualise_report(manifest, networks, spectra, what=what, colour=config.colour, method=config.projection),
        counts=manifest.counts(),
        figures={"methods": {n.name: n.looked.method for n in networks if n.looked is not None}},
        bad=bad,
        total=len(manifest),
    )
    print(f"Report: {run.path('report.html')}")


if __name__ == "__main__":
    launch(main)
