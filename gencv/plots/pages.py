"""The report page of each job: what a person wants to see first, out of the nouns that the job made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadImage, BadInput
from gencv.core.manifest import Manifest, read_images
from gencv.core.predictions import Predictions
from gencv.core.seeds import uniform_for
from gencv.evaluate import uncertainty
from gencv.evaluate.decision import Decision
from gencv.evaluate.metrics import TITLES, Metric
from gencv.evaluate.projection import project
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.validation import warning
from gencv.images.decode import decode
from gencv.plots.curves import draw_histogram, draw_roc
from gencv.plots.look import to_png
from gencv.plots.maps import draw_map
from gencv.plots.sheets import draw_before_after, draw_sheet
from gencv.runs.report import Report

NUM_SAMPLES = 18
NUM_PAIRS = 6
COUNTED = {
    "num_positive": "Positive pictures",
    "num_groups_positive": "Groups of positive pictures",
    "num_genuine": "Genuine pictures",
    "num_groups_genuine": "Groups of genuine pictures",
    "num_unanswered": "Pictures without an answer",
}
"""What people read for the counts of `summarise`."""
PRIMARY = ("auroc", "balanced_accuracy", "eer", "accuracy", "precision", "recall", "f1", "average_precision")


def manifest_report(manifest: Manifest, excluded: pa.Table) -> Report:
    """Show what was gathered: counts by split and generator, a sample of each class, what was left out."""
    counts = manifest.counts()
    report = Report("Manifest", f"{len(manifest):,} pictures, digest {manifest.digest()}")
    report.headline("Pictures", len(manifest), f"{counts['rows'] - sum(counts['bad'].values()):,} readable")
    report.headline("Unreadable", sum(counts["bad"].values()), "rows with an error")
    report.headline("Left out", excluded.num_rows, "duplicates and balancing")
    report.headline("Groups", len({group for group in manifest["group"] if group}), "never cut by a split")
    report.section("What there is", "Pictures by split, and by who made them. 1 is spoof or generated, 0 live or real.")
    add_counts(report, manifest)
    add_samples(report, manifest)
    if excluded.num_rows:
        report.section("Left out", "Every one of them, with the reason, stands in excluded.parquet.")
        shown = excluded.slice(0, 50).to_pylist()
        report.table(["picture", "reason"], [[row["uri"], row["reason"]] for row in shown])
    return report


def preprocess_report(before: Manifest, after: Manifest) -> Report:
    """Show what preprocessing did to some pictures of every split."""
    assert after.preprocessing is not None
    report = Report("Preprocessed pictures", f"{len(after):,} pictures, digest {after.digest()}")
    report.headline("Pictures", len(after), f"{after.preprocessing['size_px']} px square")
    report.headline("Unreadable", len(after.bad()), "rows with an error")
    report.section("Its effect", "Some pictures as they came, and as they are stored.")
    rows = sample_rows(after, NUM_PAIRS)
    pairs = []
    for first, second, row in zip(pictures_of(before, rows), pictures_of(after, rows), rows, strict=True):
        if first is not None and second is not None:
            pairs.append((first, second, f"{after['generator'][row]}, {after['split'][row]}"))
    if pairs:
        report.figures(
            {"before and after": draw_before_after(pairs)},
            "Blur is drawn by the picture's id, in the splits that are augmented.",
        )
    report.section("What there is")
    add_counts(report, after)
    return report


def embed_report(embeddings: Embeddings) -> Report:
    """Show the features on a plane."""
    space, manifest = embeddings.space, embeddings.manifest
    report = Report("Embeddings", f"{space.encoder}, {space.dim}-d, space {space.digest()}")
    report.headline("Pictures", len(manifest), f"{int(embeddings.good.sum()):,} with a vector")
    report.headline("Dimensions", space.dim, space.encoder)
    add_map(report, embeddings.vectors, manifest)
    return report


def probe_report(
    decision: Decision, metrics: dict[str, Metric], val: Predictions, labels: tuple[str, str], title: str
) -> Report:
    """Show how a probe does on the validation rows that set its calibration and thresholds."""
    report = Report(
        title, "On validation: these rows chose the calibration and the thresholds, so expect a little less."
    )
    for name in PRIMARY[:3]:
        add_headline(report, name, metrics[name])
    add_decision(report, decision, labels)
    threshold = decision.thresholds["eer"].value
    report.section("Scores")
    report.figures(
        {
            "ROC": to_png(draw_roc(val, threshold=threshold, auroc=metrics["auroc"], names=labels)),
            "score histogram": to_png(draw_histogram(val, threshold=threshold, names=labels)),
        }
    )
    add_metrics(report, metrics)
    return report


def add_headline(report: Report, name: str, metric: Metric) -> None:
    """Put a metric on top of the page, with its interval."""
    interval = (
        f"95 % interval {metric.low:.3f} to {metric.high:.3f}"
        if metric.low is not None and metric.high is not None
        else metric.reason
    )
    report.headline(TITLES.get(name, name), metric.value, interval)


def add_metrics(report: Report, metrics: dict[str, Metric], caption: str = "Positive is the attack") -> None:
    """Add metrics as a table, those that people ask for first."""
    ordered = [*(name for name in PRIMARY if name in metrics), *(name for name in metrics if name not in PRIMARY)]
    titles = TITLES | uncertainty.TITLES
    rows = [
        [titles.get(name, name), metrics[name].value, metrics[name].low, metrics[name].high, metrics[name].reason]
        for name in ordered
        if name not in COUNTED
    ]
    rows += [
        [title, int(metrics[name].value or 0), None, None, ""] for name, title in COUNTED.items() if name in metrics
    ]
    report.table(["metric", "value", "from", "to", "remark"], rows, caption)


def add_decision(report: Report, decision: Decision, labels: tuple[str, str]) -> None:
    """Add a section with everything that validation set: thresholds, calibration, and the uncertain band."""
    calibrator = decision.calibrator
    remark = f" ({calibrator.reason})" if calibrator.reason else ""
    report.section("Thresholds", f"A picture with a score at or above the threshold is called {labels[1]}.")
    if few := warning(calibrator.num_genuine, calibrator.num_positive):
        report.note(f"What stands here was set on few pictures, and may be far off: {few}.")
    add_thresholds(report, decision.thresholds)
    report.note(f"Calibration: {calibrator.describe()}{remark}. {decision.band.describe(labels)}")


def add_thresholds(report: Report, thresholds: dict[str, Threshold]) -> None:
    """Add the thresholds that validation set, and what they cost there."""
    report.table(
        ["name", "threshold", "false positives", "false negatives", "genuine", "positive", "remark"],
        [
            [t.name, t.value, t.expected_fpr, t.expected_fnr, t.num_genuine, t.num_positive, t.reason]
            for t in thresholds.values()
        ],
    )


def add_counts(report: Report, manifest: Manifest) -> None:
    """Add the number of pictures by what made them and by split."""
    rows: dict[tuple[str, str, str], dict[str, int]] = {}
    columns = (manifest[name] for name in ("label", "family", "generator", "split", "error"))
    for label, family, generator, split, error in zip(*columns, strict=True):
        counts = rows.setdefault(
            (str(label), family, generator), dict.fromkeys(("train", "val", "test", "unreadable"), 0)
        )
        counts["unreadable" if error else split] += 1
    table = [[*key, *counts.values(), sum(counts.values())] for key, counts in sorted(rows.items())]
    report.table(["label", "family", "generator", "train", "val", "test", "unreadable", "all"], table)


def add_samples(report: Report, manifest: Manifest) -> None:
    """Add a section with some pictures of every generator."""
    labels, generators = manifest["label"], manifest["generator"]
    rows = sorted(sample_rows(manifest, NUM_SAMPLES), key=lambda row: (labels[row] or 0, generators[row]))
    tiles = [
        (image, f"{generators[row]}")
        for row, image in zip(rows, pictures_of(manifest, rows), strict=True)
        if image is not None
    ]
    if tiles:
        report.section("A sample", "Drawn at random, in equal parts from every generator.")
        report.figures({"sample": draw_sheet(tiles)})


def add_map(report: Report, vectors: np.ndarray, manifest: Manifest, seed: int = 0) -> None:
    """Add a section with the features float32 [N, D] of a manifest's rows on a plane, if there are enough of them."""
    try:
        projection = project(vectors, seed)
    except BadInput:  # fewer than three pictures
        return
    generators = manifest["generator"]
    names = [f"{generators[row]}" for row in projection.rows]
    genuine = sorted({g for g, label in zip(generators, manifest["label"], strict=True) if label == 0})
    report.section(
        "The features on a plane",
        "t-SNE: near points are alike to the encoder; distances between far clusters mean nothing.",
    )
    report.figures(
        {"t-SNE": to_png(draw_map(projection.points, names, genuine=genuine))}, f"{len(projection.rows):,} pictures."
    )


def sample_rows(manifest: Manifest, count: int) -> list[int]:
    """Draw readable rows in turn from every generator, the same ones every time."""
    by_generator: dict[str, list[int]] = {}
    ids, generators, errors = (manifest[name] for name in ("id", "generator", "error"))
    for row in sorted(range(len(manifest)), key=lambda row: uniform_for(0, ids[row], "sample")):
        if errors[row] is None:
            by_generator.setdefault(generators[row], []).append(row)
    queues = [by_generator[name] for name in sorted(by_generator)]
    drawn: list[int] = []
    while len(drawn) < count and any(queues):
        drawn += [queue.pop(0) for queue in queues if queue]
    return drawn[:count]


def pictures_of(manifest: Manifest, rows: Sequence[int], *, min_side_px: int | None = 256) -> list[np.ndarray | None]:
    """Return decoded pictures of some rows, None for one that cannot be had (any more). min_side_px: as `decode`'s."""
    table: Any = manifest.table.take(pa.array(rows, pa.int64()))
    images: list[np.ndarray | None] = []
    for data in read_images(table, manifest.images_dir):
        try:
            images.append(decode(data, min_side_px=min_side_px) if isinstance(data, bytes) else None)
        except BadImage:
            images.append(None)
    return images
