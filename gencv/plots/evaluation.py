"""The page of an evaluation: the headline, then the worst, then everything else."""

from collections.abc import Sequence

import numpy as np

from gencv.core.errors import BadImage
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.evaluate.evaluation import FITTED_ON, HEADLINE, Evaluation
from gencv.evaluate.generators import GeneratorRow
from gencv.evaluate.robustness import TITLES
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.verdicts import REASONS
from gencv.images.preprocess import Preprocessing
from gencv.plots.bars import draw_generators
from gencv.plots.curves import draw_confusion, draw_histogram, draw_reliability, draw_roc
from gencv.plots.kinds import add_kinds
from gencv.plots.look import to_png
from gencv.plots.pages import add_counts, add_headline, add_map, add_metrics, add_samples, pictures_of, sample_rows
from gencv.plots.robustness import add_robustness, words_of
from gencv.plots.sheets import draw_before_after, draw_errors
from gencv.runs.report import Report

NUM_PAIRS = 6


def evaluation_report(evaluation: Evaluation, manifest: Manifest, features: np.ndarray | None) -> Report:
    """Show how a detector did on some pictures.

    manifest, features: row by row with the evaluation's predictions; features float32 [N, D], None for no map.
    """
    terms = evaluation.terms
    genuine, positive = (int((evaluation.predictions.answered().labels == label).sum()) for label in (0, 1))
    report = Report(
        terms.title,
        f"{genuine + positive:,} judged pictures: {genuine:,} {terms.labels[0]}, {positive:,} {terms.labels[1]}",
    )
    for name in HEADLINE:
        add_headline(report, name, evaluation.metrics[name])
    add_worst(report, evaluation)
    unanswered = int(np.isnan(evaluation.predictions.scores).sum())
    report.headline("No answer", unanswered, f"of {len(evaluation.predictions):,} pictures")
    add_judgement(report, evaluation, manifest)
    if features is not None:
        add_map(report, features, manifest, terms.seed)
    add_samples(report, manifest)
    if terms.preprocessing is not None and manifest.preprocessing is None:
        add_effect(report, manifest, Preprocessing.from_dict(terms.preprocessing))
    report.section("What was judged")
    add_counts(report, manifest)
    return report


def add_worst(report: Report, evaluation: Evaluation) -> None:
    """Put what fails most on top of the page: a generator, a source of genuine pictures, a degradation."""
    generator, source, cell = evaluation.worst_generator(), evaluation.worst_source(), evaluation.worst_cell()
    if generator:
        report.headline("Worst generator, recall", generator.rate.value, f"{generator.name}: {generator.rate.text()}")
    if source:
        title = "Worst source, false positives"
        report.headline(title, source.rate.value, f"{source.name}: {source.rate.text()}")
    if cell:
        told = [name for name in ("balanced_accuracy", "recall", "bpcer") if cell.figures[name].value is not None]
        name = told[0] if told else "balanced_accuracy"  # with one class there is only its rate
        metric = cell.figures[name]
        report.headline(f"Worst degradation, {TITLES[name]}", metric.value, f"{words_of(cell.cell)}: {metric.text()}")


def add_judgement(report: Report, evaluation: Evaluation, manifest: Manifest) -> None:
    """Show how a detector did at its frozen threshold, where it fails, and how it holds up."""
    terms, predictions, metrics = evaluation.terms, evaluation.predictions, evaluation.metrics
    threshold, labels = terms.threshold, terms.labels
    report.section(
        "How well it tells them apart",
        f"On {len(predictions):,} pictures of the {terms.split.value} split, {len(predictions.bad()):,} of them "
        "without an answer. Intervals are 95 %, by bootstrap over groups: pictures of one identity or photograph are "
        "drawn together.",
    )
    for warning in evaluation.warnings:
        report.note(warning)
    report.note(
        " ".join(
            filter(
                None,
                [
                    f"The threshold {terms.at:.4f} ({threshold.name}) was frozen on validation{_costs(threshold)}.",
                    FITTED_ON[terms.split],
                    terms.seen,
                    terms.audit,
                ],
            )
        )
    )
    report.figures(
        {
            "ROC": to_png(draw_roc(predictions, threshold=terms.at, auroc=metrics["auroc"], names=labels)),
            "confusion matrix": to_png(draw_confusion(predictions, terms.at, names=labels)),
            "reliability": to_png(draw_reliability(predictions, names=labels)),
            "score histogram": to_png(draw_histogram(predictions, threshold=terms.at, names=labels)),
        }
    )
    add_generators(report, evaluation.generators, labels)
    add_mistakes(report, manifest, predictions, terms.at, labels)
    add_robustness(report, evaluation.robustness, labels, manifest, terms.seed)
    add_uncertainty(report, evaluation)
    if evaluation.kinds:
        add_kinds(report, evaluation.kinds, labels)
    report.section("All figures")
    add_metrics(report, metrics)


def add_uncertainty(report: Report, evaluation: Evaluation) -> None:
    """Add a section with how often a verdict is uncertain, and why, and how often a certain one is wrong."""
    band, total = evaluation.terms.band, len(evaluation.predictions.answered())
    promise = band.describe(evaluation.terms.labels) if band else "No error rate is promised."
    report.section("How sure it is", f"{promise} {evaluation.terms.scope}")
    if evaluation.terms.no_reencoding:
        report.note(f"Whether a verdict is stable was not tried: {evaluation.terms.no_reencoding}.")
    report.table(
        ["why", "pictures", "share"],
        [[REASONS[code], count, count / total if total else None] for code, count in evaluation.reasons.items()],
        "Why a verdict is uncertain; a picture may have several reasons",
    )
    add_metrics(report, evaluation.doubts, "How often, and how often a certain verdict is wrong")


def add_generators(report: Report, generators: Sequence[GeneratorRow], labels: tuple[str, str]) -> None:
    """Add what `per_generator` found, in its order, as bars and as two tables."""
    report.section(
        "Where it fails", "Each generator at the frozen threshold, worst first; then each source of genuine pictures."
    )
    report.figures({"generators": to_png(draw_generators(generators, names=labels))})
    report.table(
        ["generator", "family", "pictures", "groups", "recall", "AUROC", "remark"],
        [
            [r.name, r.family, r.num_rows, r.num_groups, r.rate.text(), r.auroc.text(), r.rate.reason or r.auroc.reason]
            for r in generators
            if not r.is_genuine
        ],
        f"What made {labels[1]} pictures",
    )
    report.table(
        ["source", "pictures", "groups", "false positives", "remark"],
        [[r.name, r.num_rows, r.num_groups, r.rate.text(), r.rate.reason] for r in generators if r.is_genuine],
        f"Where {labels[0]} pictures come from",
    )


def add_effect(report: Report, manifest: Manifest, preprocessing: Preprocessing) -> None:
    """Add a section with some pictures before and after what the detector does to them."""
    rows = sample_rows(manifest, NUM_PAIRS)
    pairs = []
    for row, image in zip(rows, pictures_of(manifest, rows), strict=True):
        try:
            if image is not None:
                pairs.append((image, preprocessing.apply(image), manifest["generator"][row]))
        except BadImage:  # no face, where faces are cut
            continue
    if pairs:
        report.section(
            "What the detector sees", f"The preprocessing is part of the detector: {preprocessing.describe()}."
        )
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


def _costs(threshold: Threshold) -> str:
    """Say what a threshold cost on validation, as far as that is known."""
    rates = (threshold.expected_fpr, "false positives"), (threshold.expected_fnr, "false negatives")
    told = [f"{rate:.1%} {name}" for rate, name in rates if rate is not None]
    return f", where it gave {' and '.join(told)}" if told else ""
