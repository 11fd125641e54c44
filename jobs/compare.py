"""Say which detector is better, and whether it holds on generators that it never saw.

    python jobs/compare.py --embeddings /data/runs/embeddings --probe linear --out /data/runs/matrix
    python jobs/compare.py --evaluations /data/runs/linear-judged /data/runs/mlp-judged --out /data/runs/compared
    python jobs/compare.py --bundles /data/runs/linear /data/runs/mlp --manifest /data/runs/manifest --out /data/runs/c

With --embeddings, probes are trained on each generator alone, on all but one, and on all, and tested on every
generator. With --evaluations (what `evaluate` left) or --bundles (judged here), detectors are laid side by side on the
same pictures, and every pair is tested: paired bootstrap over groups, corrected for the number of pairs. Writes
compare.json and report.html. docs/compare.md says how to read them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.calibrator import Calibrator
from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate.comparison import compare
from gencv.evaluate.entrants import Entrant, read_entrant, same_pictures
from gencv.evaluate.matrix import BY, Fit, Score, cross
from gencv.evaluate.thresholds import THRESHOLDS
from gencv.models import bundle
from gencv.models.probes import PROBES, Labelled, fit_probe
from gencv.pipelines.predict import open_bundle, open_rows, predict
from gencv.plots.compare import detectors_report, matrix_report, verdict
from gencv.runs.launch import launch
from gencv.runs.run import Run

USED_BY = {
    "probe": ("embeddings",),
    "by": ("embeddings",),
    "threshold": ("embeddings", "bundles"),
    "split": ("bundles",),
    "names": ("evaluations", "bundles"),
}
"""Flags that mean nothing with what is compared otherwise."""


@dataclass(frozen=True, kw_only=True)
class Config:
    out: str
    """Folder of this run: an absolute path or a URI."""
    embeddings: tuple[str, ...] = ()
    """Folders written by embed, in one space: train on some of their generators, test on the others."""
    evaluations: tuple[str, ...] = ()
    """Folders written by evaluate: compare what they say of the same pictures."""
    bundles: tuple[str, ...] = ()
    """Folders written by probe or finetune: judge --manifest with each, then compare."""
    manifest: str = ""
    """With --bundles: folder written by manifest."""
    names: tuple[str, ...] = ()
    """What to call the detectors; default: the last names of their folders."""
    probe: str = "linear"
    """With --embeddings: nearest, linear, or mlp."""
    by: str = "generator"
    """With --embeddings: generator or family."""
    threshold: str = "eer"
    """Which threshold decides; an evaluation has its own."""
    split: str = "test"
    """With --bundles: which rows to judge."""
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
        given = [name for name in ("embeddings", "evaluations", "bundles") if getattr(self, name)]
        if len(given) != 1:
            said = " and ".join(f"--{name}" for name in given) or "none of them"
            raise BadInput(f"Give one of --embeddings, --evaluations, and --bundles; this command has {said}.")
        for name, mode in USED_BY.items():
            if getattr(self, name) != getattr(Config, name) and given[0] not in mode:
                raise BadInput(f"--{name} does nothing with --{given[0]}; leave it out.")
        if bool(self.bundles) != bool(self.manifest):
            raise BadInput("--bundles and --manifest belong together: the bundles judge the manifest's pictures.")
        if self.names and len(self.names) != len(self.detectors):
            raise BadInput(
                f"--names has {len(self.names)} names for {len(self.detectors)} detectors; give one for each."
            )
        for kind, name, known in (
            ("probe", self.probe, PROBES),
            ("--by", self.by, BY),
            ("threshold", self.threshold, THRESHOLDS),
            ("split", self.split, list(Split)),
        ):
            if name not in known:
                raise UnknownName(kind, name, known)

    @property
    def detectors(self) -> tuple[str, ...]:
        return self.evaluations or self.bundles


def main(config: Config, run: Run) -> None:
    if config.embeddings:
        compare_generators(config, run)
    else:
        compare_detectors(config, run)
    print(f"Report: {run.path('report.html')}")


def compare_generators(config: Config, run: Run) -> None:
    """Train on one, test on another."""
    require_once(config.embeddings)
    manifest, vectors, errors, digest = together([Embeddings.load(folder) for folder in config.embeddings])
    unanswered = pa.table({"score": pa.nulls(len(manifest), pa.float32()), "error": errors})
    known = manifest.table["label"].is_valid().to_numpy() & ~np.isnan(vectors[:, 0])
    rows = np.array(sorted(np.flatnonzero(known), key=manifest["id"].__getitem__), np.int64)
    predictions = Predictions(Predictions.of(manifest.table, unanswered).table.take(pa.array(rows)))
    fit = fit_on(vectors[rows], predictions.labels, config)
    matrix = cross(predictions, fit, by=config.by, threshold=config.threshold, seed=config.seed)
    run.begin(embeddings=digest)  # only now, as what cannot be compared must leave nothing behind
    storage.write_bytes(run.path("compare.json"), json.dumps(asdict(matrix), indent=1).encode())
    run.finish(
        matrix_report(f"Train on one, test on another: {config.probe}", matrix),
        counts=manifest.counts(),
        figures={
            "held_out_auroc": matrix.held_out.value,
            "worst_auroc": matrix.worst.auroc.value,
            "verdict": verdict(matrix),
        },
        bad=[(uri, error) for uri, error in zip(manifest["uri"], errors, strict=True) if error],
        total=len(manifest),
    )
    print(f"Held out, mean AUROC {matrix.held_out.text()}; {verdict(matrix)}")


def together(embeddings: Sequence[Embeddings]) -> tuple[Manifest, np.ndarray, list[str | None], str]:
    """Return the rows of all embeddings: manifest, vectors [N, D], errors, and a digest of everything.

    Raises BadInput if their spaces differ, a picture is there twice, or a group lies in two splits.
    """
    first = embeddings[0]
    for other in embeddings[1:]:
        if other.space != first.space:
            raise BadInput(
                f"The embeddings are of different spaces ({first.space.encoder}, {first.space.digest()}, and "
                f"{other.space.encoder}, {other.space.digest()}); embed all pictures in one way."
            )
    manifest = Manifest(pa.concat_tables([one.manifest.table for one in embeddings]))
    manifest.check()
    digest = hashlib.blake2b("".join(one.digest() for one in embeddings).encode(), digest_size=16).hexdigest()
    return (
        manifest,
        np.concatenate([one.vectors for one in embeddings]),
        [e for o in embeddings for e in o.errors],
        digest,
    )


def fit_on(vectors: np.ndarray, labels: np.ndarray, config: Config) -> Fit:
    """Return what fits a probe on rows of these vectors [N, D]."""

    def fit(train: np.ndarray, val: np.ndarray) -> Score:
        fitted, tuned = (Labelled(vectors[rows], labels[rows]) for rows in (train, val))
        probe = fit_probe(config.probe, fitted, tuned, seed=config.seed)
        return lambda rows: Calibrator()(probe.logits(vectors[rows]))

    return fit


def compare_detectors(config: Config, run: Run) -> None:
    """Lay detectors side by side."""
    require_once(config.detectors)
    if len(config.detectors) < 2:
        raise BadInput(f"{config.detectors[0]} is the only detector; a comparison needs two at least.")
    names = names_of(config)
    if config.evaluations:
        read = [read_entrant(folder, name) for folder, name in zip(config.evaluations, names, strict=True)]
        entrants, remarks = same_pictures(read)
        run.begin(evaluations=digest_of(read))
    else:
        entrants, remarks = same_pictures(judge(config, run, names))
    comparison = compare(entrants, remarks=remarks, seed=config.seed)
    told = {
        **asdict(comparison),
        "detectors": {each.name: each.terms.to_dict() for each in entrants},
    }
    storage.write_bytes(run.path("compare.json"), json.dumps(told, indent=1).encode())
    labels = entrants[0].terms.labels
    bad = dict(pair for each in entrants for pair in each.predictions.bad())
    run.finish(
        detectors_report("Detectors compared", comparison, labels),
        counts={"pictures": comparison.num_pictures, "groups": comparison.num_groups},
        figures={
            **{f"{name}_auroc": comparison.metrics[name]["auroc"].value for name in comparison.names},
            "verdicts": [pair.verdict for pair in comparison.pairs],
        },
        bad=list(bad.items()),
        total=comparison.num_pictures,
    )
    for pair in comparison.pairs:
        print(pair.verdict)


def judge(config: Config, run: Run, names: Sequence[str]) -> list[Entrant]:
    """Score the rows of the split with every bundle, each in OUT/NAME, and begin the run."""
    split = Split(config.split)
    chosen = open_rows(config.manifest, split)
    described = [bundle.describe(folder) for folder in config.bundles]
    if len({one["task"] for one in described}) > 1:
        tasks = ", ".join(f"{name}: {one['task']}" for name, one in zip(names, described, strict=True))
        raise BadInput(f"The bundles are for different tasks ({tasks}); only detectors of one task can be compared.")
    opened = [open_bundle(folder, chosen, split, config.threshold, seed=config.seed) for folder in config.bundles]
    digests = "".join(bundle.digest(folder) for folder in config.bundles)
    run.begin(manifest=chosen.digest(), bundles=hashlib.blake2b(digests.encode(), digest_size=16).hexdigest())
    chosen.save(run.dir)
    found = []
    for name, folder, (detector, terms) in zip(names, config.bundles, opened, strict=True):
        predictions, _, _ = predict(
            folder,
            detector,
            run.dir,
            chosen,
            run.path(name),
            batch_size=config.batch_size,
            address=config.address,
            workers=config.workers,
        )
        found.append(Entrant(name=name, terms=terms, predictions=predictions))
    return found


def names_of(config: Config) -> list[str]:
    """Return what to call the detectors. Raises BadInput if two have one name, or a name is none of a folder."""
    names = list(config.names) or [PurePosixPath(folder).name for folder in config.detectors]
    if clashing := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"Two detectors are called {clashing[0]}; call them apart with --names, one for each folder.")
    if odd := [name for name in names if not name.strip(".") or {"/", "\n"} & set(name)]:
        raise BadInput(f"A detector cannot be called {odd[0]!r}, as a folder is named after it; choose other --names.")
    return names


def require_once(folders: Sequence[str]) -> None:
    """Raise BadInput if a folder is named twice."""
    for folder in folders:
        if folders.count(folder) > 1:
            raise BadInput(f"{folder} is given twice; give every folder once.")


def digest_of(entrants: Sequence[Entrant]) -> str:
    """Digest what is compared."""
    facts: list[Any] = [[each.terms.to_dict(), tables.content_digest(each.predictions.table)] for each in entrants]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


if __name__ == "__main__":
    launch(main)
