"""The report page of each job: what a person wants to see first, out of the nouns that the job made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core.band import Band
from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadImage, BadInput
from gencv.core.manifest import Manifest, read_images
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.core.seeds import uniform_for
from gencv.evaluate import uncertainty
from gencv.evaluate.decision import Decision
from gencv.evaluate.generators import GeneratorRow
from gencv.evaluate.kinds import kinds_result
from gencv.evaluate.metrics import TITLES, Metric
from gencv.evaluate.projection import project
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.validation import warning
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.plots.bars import draw_generators
from gencv.plots.curves import draw_confusion, draw_histogram, draw_reliability, draw_roc
from gencv.plots.kinds import add_kinds
from gencv.plots.look import to_png
from gencv.plots.maps import draw_map
from gencv.plots.sheets import draw_before_after, draw_errors, draw_sheet
from gencv.runs.report import Report

NUM_SAMPLES = 18
NUM_PAIRS = 6
FITTED_ON = {
    Split.TEST: "Nothing was fitted on these rows.",
    Split.VAL: "These are validation rows: the threshold and the calibration may have been set on them.",
    Split.TRAIN: "These are training rows: the detector may have been fitted on them, so the figures flatter it.",
}
"""What a reader must know of the rows of a split."""
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
    rows = _draw(after, NUM_PAIRS)
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
    _map(report, embeddings.vectors, manifest)
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


def evaluation_report(
    *,
    title: str,
    labels: tuple[str, str],
    threshold: Threshold,
    preprocessing: Preprocessing | None,
    split: Split,
    manifest: Manifest,
    predictions: Predictions,
    features: np.ndarray,
    metrics: dict[str, Metric],
    band: Band | None,
    doubts: dict[str, Metric],
    generators: Sequence[GeneratorRow],
    seed: int,
    kinds: Sequence[str] = (),
) -> Report:
    """Show how a detector did on the rows of a split.

    features: float32 [N, D], row by row with `manifest` and `predictions`. doubts: what `uncertainty` found.
    kinds: what the second head tells apart.
    """
    assert threshold.value is not None
    answered = predictions.answered()
    num_positive = int(answered.labels.sum())
    num_genuine = len(answered) - num_positive
    report = Report(
        title,
        f"{len(answered):,} judged pictures: {num_genuine:,} {labels[0]}, {num_positive:,} {labels[1]}",
    )
    for name in PRIMARY[:3]:
        add_headline(report, name, metrics[name])
    report.headline("No answer", len(predictions.bad()), f"of {len(predictions):,} pictures")
    add_judgement(report, threshold, labels, split, manifest, predictions, metrics, band, doubts, generators, kinds)
    _map(report, features, manifest, seed)
    add_samples(report, manifest)
    if preprocessing is not None and manifest.preprocessing is None:
        _effect(report, manifest, preprocessing)
    report.section("What was judged")
    add_counts(report, manifest)
    return report


def add_judgement(
    report: Report,
    threshold: Threshold,
    labels: tuple[str, str],
    split: Split,
    manifest: Manifest,
    predictions: Predictions,
    metrics: dict[str, Metric],
    band: Band | None,
    doubts: dict[str, Metric],
    generators: Sequence[GeneratorRow],
    kinds: Sequence[str] = (),
) -> None:
    """Show how a detector did on the rows of a split at a frozen threshold, and where it fails.

    band, doubts: what is called uncertain, and how often. kinds: what the detector's second head tells apart.
    """
    assert threshold.value is not None
    report.section(
        "How well it tells them apart",
        f"On {len(predictions):,} pictures of the {split.value} split, {len(predictions.bad()):,} of them without an "
        "answer. Intervals are 95 %, by bootstrap over groups: pictures of one identity or photograph are drawn "
        "together.",
    )
    report.note(
        f"The threshold {threshold.value:.4f} ({threshold.name}) was frozen on validation, where it gave "
        f"{threshold.expected_fpr:.1%} false positives and {threshold.expected_fnr:.1%} false negatives. "
        f"{FITTED_ON[split]} The training pictures were not audited for shortcuts: a figure near 1 may "
        "come from a difference in content, size, or compression."
    )
    report.figures(
        {
            "ROC": to_png(draw_roc(predictions, threshold=threshold.value, auroc=metrics["auroc"], names=labels)),
            "confusion matrix": to_png(draw_confusion(predictions, threshold.value, names=labels)),
            "reliability": to_png(draw_reliability(predictions, names=labels)),
            "score histogram": to_png(draw_histogram(predictions, threshold=threshold.value, names=labels)),
        }
    )
    add_metrics(report, metrics)
    add_doubts(report, band, doubts, labels)
    report.section(
        "Where it fails", "Each generator at the frozen threshold, worst first; then each source of genuine pictures."
    )
    add_generators(report, generators, labels)
    add_mistakes(report, manifest, predictions, threshold.value, labels)
    if kinds:
        add_kinds(report, kinds_result(predictions, threshold.value, kinds), labels)


def add_headline(report: Report, name: str, metric: Metric) -> None:
    """Put a metric on top of the page, with its interval."""
    interval = (
        f"95 % interval {metric.low:.3f} to {metric.high:.3f}"
        if metric.low is not None and metric.high is not None
        else metric.reason
    )
    report.headline(TITLES.get(name, name), metric.value, interval)


def add_metrics(report: Report, metrics: dict[str, Metric]) -> None:
    """Add every metric of `summarise`, those that people ask for first."""
    ordered = [*(name for name in PRIMARY if name in metrics), *(name for name in metrics if name not in PRIMARY)]
    titles = TITLES | uncertainty.TITLES
    rows = [
        [titles.get(name, name), metrics[name].value, metrics[name].low, metrics[name].high, metrics[name].reason]
        for name in ordered
    ]
    report.table(["metric", "value", "from", "to", "remark"], rows, "All figures; positive is the attack.")


def add_decision(report: Report, decision: Decision, labels: tuple[str, str]) -> None:
    """Add a section with everything that validation set: thresholds, calibration, and the uncertain band."""
    calibrator = decision.calibrator
    remark = f" ({calibrator.reason})" if calibrator.reason else ""
    report.section("Thresholds", f"A picture with a score at or above the threshold is called {labels[1]}.")
    if few := warning(calibrator.num_genuine, calibrator.num_positive):
        report.note(f"What stands here was set on few pictures, and may be far off: {few}.")
    add_thresholds(report, decision.thresholds)
    report.note(f"Calibration: {calibrator.describe()}{remark}. {decision.band.describe(labels)}")


def add_doubts(report: Report, band: Band | None, doubts: dict[str, Metric], labels: tuple[str, str]) -> None:
    """Add a section with how often a verdict is uncertain, and how often a certain one is wrong."""
    promise = band.describe(labels) if band else "No error rate is promised, and no verdict is uncertain."
    report.section("How sure it is", promise)
    add_metrics(report, doubts)


def add_thresholds(report: Report, thresholds: dict[str, Threshold]) -> None:
    """Add the thresholds that validation set, and what they cost there."""
    report.table(
        ["name", "threshold", "false positives", "false negatives", "genuine", "positive", "remark"],
        [
            [t.name, t.value, t.expected_fpr, t.expected_fnr, t.num_genuine, t.num_positive, t.reason]
            for t in thresholds.values()
        ],
    )


def add_generators(report: Report, generators: Sequence[GeneratorRow], labels: tuple[str, str]) -> None:
    """Add what `per_generator` found, in its order, as bars and as a table."""
    report.figures({"generators": to_png(draw_generators(generators, names=labels))})
    report.table(
        ["generator", "family", "pictures", "groups", "judged wrongly", "recall or false positives", "AUROC", "remark"],
        [
            [
                r.generator,
                r.family,
                r.num_rows,
                r.num_groups,
                r.error,
                r.rate.text(),
                r.auroc.text(),
                r.rate.reason or r.auroc.reason,
            ]
            for r in generators
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
    rows = sorted(
        _draw(manifest, NUM_SAMPLES), key=lambda row: (manifest["label"][row] or 0, manifest["generator"][row])
    )
    tiles = [
        (image, f"{manifest['generator'][row]}")
        for row, image in zip(rows, pictures_of(manifest, rows), strict=True)
        if image is not None
    ]
    if tiles:
        report.section("A sample", "Drawn at random, in equal parts from every generator.")
        report.figures({"sample": draw_sheet(tiles)})


def _effect(report: Report, manifest: Manifest, preprocessing: Preprocessing) -> None:
    rows = _draw(manifest, NUM_PAIRS)
    pairs = [
        (image, preprocessing.apply(image), manifest["generator"][row])
        for row, image in zip(rows, pictures_of(manifest, rows), strict=True)
        if image is not None
    ]
    report.section("What the detector sees", f"The preprocessing is part of the detector: {preprocessing.describe()}.")
    report.figures({"before and after": draw_before_after(pairs)})


def add_mistakes(
    report: Report, manifest: Manifest, predictions: Predictions, threshold: float, labels: tuple[str, str]
) -> None:
    """Add a section with the wrongly judged pictures that are furthest from the threshold, if there are any."""
    known = predictions.table["label"].is_valid().to_numpy() & ~np.isnan(predictions.scores)
    truth = np.array([label or 0 for label in predictions.table["label"].to_pylist()])
    off = np.where(truth == 1, threshold - predictions.scores, predictions.scores - threshold)
    wrong = np.flatnonzero(known & ((predictions.scores >= threshold) != (truth == 1)))
    rows = [int(row) for row in wrong[np.argsort(-off[wrong], kind="stable")][:12]]
    if not rows:
        return
    images = pictures_of(manifest, rows)
    tiles = [
        (image, int(truth[row]), float(predictions.scores[row]), str(manifest["generator"][row]))
        for row, image in zip(rows, images, strict=True)
        if image is not None
    ]
    if tiles:
        report.section(
            "Its worst mistakes", f"{len(wrong):,} pictures were judged wrongly; these are furthest from the threshold."
        )
        report.figures({"mistakes": draw_errors(tiles, names=labels)})


def _map(report: Report, vectors: np.ndarray, manifest: Manifest, seed: int = 0) -> None:
    try:
        projection = project(vectors, seed)
    except BadInput:  # fewer than three pictures
        return
    names = [f"{manifest['generator'][row]}" for row in projection.rows]
    genuine = sorted({g for g, label in zip(manifest["generator"], manifest["label"], strict=True) if label == 0})
    report.section(
        "The features on a plane",
        "t-SNE: near points are alike to the encoder; distances between far clusters mean nothing.",
    )
    report.figures(
        {"t-SNE": to_png(draw_map(projection.points, names, genuine=genuine))}, f"{len(projection.rows):,} pictures."
    )


def _draw(manifest: Manifest, count: int) -> list[int]:
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


def pictures_of(manifest: Manifest, rows: Sequence[int]) -> list[np.ndarray | None]:
    """Return decoded pictures of some rows, None for one that cannot be had (any more)."""
    table: Any = manifest.table.take(pa.array(rows, pa.int64()))
    images: list[np.ndarray | None] = []
    for data in read_images(table, manifest.images_dir):
        try:
            images.append(decode(data, min_side_px=256) if isinstance(data, bytes) else None)
        except BadImage:
            images.append(None)
    return images
