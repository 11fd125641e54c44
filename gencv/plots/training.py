"""The report pages of fine-tuning: one training, and several side by side."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol, TypedDict

import numpy as np

from gencv.core.manifest import Manifest
from gencv.evaluate.decision import Decision
from gencv.evaluate.evaluation import HEADLINE, Evaluation
from gencv.evaluate.metrics import Metric
from gencv.plots.epochs import draw_accuracies, draw_learning_rate, draw_losses
from gencv.plots.evaluation import add_judgement
from gencv.plots.heatmaps import draw_matrix, worst_first
from gencv.plots.look import to_png
from gencv.plots.pages import add_decision, add_headline, add_samples
from gencv.runs.report import Report


class Costs(Protocol):
    """What a training cost, as `models.efficiency.Efficiency` has it; this room knows no torch."""

    @property
    def device(self) -> str: ...
    @property
    def images_per_s(self) -> float: ...
    @property
    def seconds_per_epoch(self) -> float: ...
    @property
    def waited_fraction(self) -> float: ...
    @property
    def parameters(self) -> int: ...
    @property
    def trainable(self) -> int: ...
    @property
    def flops_per_image(self) -> float: ...
    @property
    def peak_memory_mib(self) -> float: ...
    @property
    def achieved_share(self) -> float: ...


class TrainingRow(TypedDict):
    """One training in a comparison."""

    name: str
    network: str
    trained_on: str
    auroc: str
    """With its interval: "0.957 [0.952, 0.963]"."""
    accuracy: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    eer: float | None
    images_per_s: float
    parameters: int
    gflops: float
    """A forward pass of one picture."""
    seconds: float
    """The whole training."""


def finetune_report(
    evaluation: Evaluation,
    *,
    recipe: dict[str, Any],
    history: list[dict[str, Any]],
    efficiency: Costs,
    decision: Decision,
    manifest: Manifest,
    counts: dict[str, Any],
) -> Report:
    """Show how a training went, what it cost, and how the detector does on the test rows.

    evaluation, manifest: the test rows, row by row. counts: `Manifest.counts` of the rows that were trained on.
    """
    labels, metrics, predictions = evaluation.terms.labels, evaluation.metrics, evaluation.predictions
    subtitle = f"{recipe['network']}, {_trained_on(counts)}, {len(history)} {_plural(len(history))}"
    report = Report(evaluation.terms.title, subtitle)
    for name in HEADLINE:
        add_headline(report, name, metrics[name])
    if evaluation.kinds:
        add_headline(report, "Kind named rightly", evaluation.kinds.accuracy)
    else:
        report.headline("No answer", len(predictions.bad()), f"of {len(predictions):,} test pictures")
    _add_epochs(report, history)
    _add_costs(report, efficiency, history, metrics["accuracy"])
    _add_sources(report, counts, labels)
    add_decision(report, decision, labels)
    add_judgement(report, evaluation, manifest)
    add_samples(report, manifest)
    report.section("Recipe", "Every hyper-parameter. What is not named in a source is our default.")
    report.table(["name", "value"], [[name, _plain(value)] for name, value in recipe.items()])
    return report


def comparison_report(
    title: str, rows: Sequence[TrainingRow], matrix: Mapping[str, Mapping[str, float]] | None = None
) -> Report:
    """Show several trainings side by side.

    matrix: training -> generator -> AUROC on that generator's test pictures against all genuine ones.
    """
    report = Report(title, f"{len(rows)} trainings side by side")
    best = max(rows, key=lambda row: _leading(row["auroc"]), default=None)
    if best is not None:
        quickest = max(rows, key=lambda row: row["images_per_s"])
        thriftiest = max(rows, key=_accuracy_per_gflop)
        report.headline("Best AUROC", f"{_leading(best['auroc']):.3f}", best["name"])
        report.headline("Most images a second", f"{quickest['images_per_s']:,.0f}", quickest["name"])
        report.headline("Most accuracy a GFLOP", f"{_accuracy_per_gflop(thriftiest):.3g}", thriftiest["name"])
    report.section(
        "How well they tell pictures apart",
        "At the threshold that each froze on its own validation pictures, best AUROC first.",
    )
    ordered = sorted(rows, key=lambda row: -_leading(row["auroc"]))
    report.table(
        ["name", "trained on", "AUROC", "accuracy", "F1", "precision", "recall", "equal error rate"],
        [
            [r["name"], r["trained_on"], r["auroc"], r["accuracy"], r["f1"], r["precision"], r["recall"], r["eer"]]
            for r in ordered
        ],
        note="Whether one is better than another is for `compare` to say, on their bundles.",
    )
    if matrix:
        _add_matrix(report, matrix, seen_in(rows))
    report.section("What they cost", "Images a second are those of training; GFLOPs are of one picture's forward pass.")
    report.table(
        [
            "name",
            "network",
            "images/s",
            "minutes",
            "million parameters",
            "GFLOPs",
            "accuracy per GFLOP",
            "accuracy per minute",
        ],
        [
            [
                r["name"],
                r["network"],
                f"{r['images_per_s']:,.1f}",
                f"{r['seconds'] / 60:,.1f}",
                f"{r['parameters'] / 1e6:,.2f}",
                f"{r['gflops']:.3g}",
                f"{_accuracy_per_gflop(r):.3g}",
                f"{(r['accuracy'] or 0.0) / (r['seconds'] / 60):.3g}",
            ]
            for r in ordered
        ],
    )
    return report


def _add_epochs(report: Report, history: Sequence[dict[str, Any]]) -> None:
    report.section(
        "How it learnt",
        "Training figures are means over an epoch while the network changed, with the recipe's augmentation and class "
        "weights; validation follows each epoch and has neither. So the two need not meet.",
    )
    report.figures(
        {
            "loss": to_png(draw_losses(history)),
            "accuracy": to_png(draw_accuracies(history)),
            "learning rate": to_png(draw_learning_rate(history)),
        }
    )
    has_kinds = any("val_kind_accuracy" in epoch for epoch in history)
    highest = max(epoch["learning_rate"] for epoch in history)
    power = int(np.floor(np.log10(highest))) if highest > 0 else 0
    columns = ["epoch", "loss", "accuracy", "val. loss", "val. accuracy", "val. AUROC"]
    rows = []
    for epoch in history:
        row = [
            epoch["epoch"],
            f"{epoch['train_loss']:.4f}",
            epoch["train_accuracy"],
            f"{epoch['val_loss']:.4f}" if np.isfinite(epoch["val_loss"]) else None,
            epoch["val_accuracy"],
            epoch["val_auroc"],
            *([epoch.get("val_kind_accuracy")] if has_kinds else []),
            f"{epoch['learning_rate'] / 10.0**power:.2f}",
        ]
        rows.append(row)
    rate = f"learning rate, 1e{power}" if power else "learning rate"
    columns += [*(["val. kinds"] if has_kinds else []), rate]
    report.table(columns, rows, note="A validation AUROC needs both classes; a dash says that one was missing.")


def _add_costs(report: Report, costs: Costs, history: Sequence[dict[str, Any]], accuracy: Metric) -> None:
    gflops = costs.flops_per_image / 1e9
    seconds = sum(epoch["seconds"] + epoch["val_seconds"] for epoch in history)
    minutes = seconds / 60
    workers = history[-1]["workers"]
    which = "Medians over the epochs but the first, which warms up." if len(history) > 1 else "Of the only epoch."
    report.section("What it cost", f"On {workers} × {costs.device}. {which}")
    rows: list[list[str | None]] = [
        [
            "Images per second",
            f"{costs.images_per_s:,.1f}",
            "training pictures, over the time of training, waiting included",
        ],
        ["Seconds an epoch", f"{costs.seconds_per_epoch:,.1f}", "with its validation"],
        [
            "Waiting for data",
            f"{costs.waited_fraction:.1%}",
            "of the time of training; near 0 the device sets the pace",
        ],
        ["Training in all", f"{minutes:,.1f} min", f"{len(history)} {_plural(len(history))}, with validation"],
        ["Parameters", f"{costs.parameters:,}", f"{costs.trainable:,} of them trained"],
        ["GFLOPs an image", f"{gflops:.3g}", "forward; multiply and add counted apart"],
        ["Peak memory", f"{costs.peak_memory_mib:,.0f} MiB", "of one worker"],
        ["Achieved share of the peak", f"{costs.achieved_share:.1%}", "three forwards a picture, over a measured peak"],
        [
            "Accuracy per GFLOP",
            None if accuracy.value is None else f"{accuracy.value / gflops:.3g}",
            "test accuracy over a forward pass of one image",
        ],
        [
            "Accuracy per minute of training",
            None if accuracy.value is None else f"{accuracy.value / minutes:.3g}",
            "test accuracy over the time of the training in all",
        ],
    ]
    report.table(
        ["what", "figure", "meaning"],
        rows,
        note="The peak is what this device reached in one large matrix product, not a data sheet's figure. Backward "
        "counts as two forwards (Kaplan et al. 2020, arXiv:2001.08361).",
    )
    report.table(
        ["epoch", "pictures", "unreadable", "pictures/s", "seconds of training", "of them waiting", "of validation"],
        [
            [
                epoch["epoch"],
                epoch["pictures"],
                epoch["bad"],
                f"{epoch['pictures'] / epoch['seconds']:,.1f}",
                f"{epoch['seconds']:,.1f}",
                f"{epoch['waited_s']:,.1f}",
                f"{epoch['val_seconds']:,.1f}",
            ]
            for epoch in history
        ],
        note="Unreadable pictures count for nothing.",
    )


def _add_sources(report: Report, counts: dict[str, Any], labels: tuple[str, str]) -> None:
    splits = ", ".join(f"{count:,} {name}" for name, count in counts["split"].items())
    bad = sum(counts["bad"].values())
    unread = f" {bad:,} could not be read." if bad else ""
    report.section(
        "What it was trained on",
        f"{counts['rows']:,} pictures ({splits}).{unread} Pictures that were made, by this project as well, are listed "
        "here like all others, under the generator that made them.",
    )
    total = max(1, counts["rows"] - bad)
    classes = {"0": labels[0], "1": labels[1], "None": "not labelled"}
    for name in ("generator", "source", "family", "label"):
        ranked = sorted(counts[name].items(), key=lambda pair: (-pair[1], pair[0]))
        rows = [[classes[key] if name == "label" else key, count, f"{count / total:.1%}"] for key, count in ranked]
        report.table([name, "pictures", "share"], rows, f"By {name}")


def seen_in(rows: Sequence[TrainingRow]) -> set[tuple[str, str]]:
    """Return the (training, generator) where trainings of one generator each show that it was trained on it."""
    alone = {row["trained_on"] for row in rows} - {"all"}
    return {(r["name"], name) for r in rows for name in alone if r["trained_on"] in ("all", name)}


def _add_matrix(report: Report, matrix: Mapping[str, Mapping[str, float]], seen: Set[tuple[str, str]]) -> None:
    generators = worst_first(matrix)
    found = {
        name: {training: row[name] for training, row in matrix.items() if np.isfinite(row.get(name, np.nan))}
        for name in generators
    }
    text = "AUROC of each training on the test pictures of each generator, against all genuine ones; worst first."
    known = [name for name in generators if found[name]]
    if known:
        worst, values = known[0], found[known[0]]
        best = max(values, key=lambda training: values[training])
        lowest = min(((v, t, g) for g in known for t, v in found[g].items()), key=lambda cell: cell[0])
        text += (
            f"\n\nThe hardest generator is {worst}: mean AUROC {np.mean(list(values.values())):.3f}, at best "
            f"{values[best]:.3f} by {best}. The lowest figure of all is {lowest[0]:.3f}, of {lowest[1]} on {lowest[2]}."
        )
    report.section("What carries over to which generator", text)
    report.figures(
        {"AUROC of each training on each generator": to_png(draw_matrix(matrix, seen=seen))},
        "The stronger the colour, the worse; at chance (0.5) or below it is full. A box marks the worst generator of "
        f"each training{', but for those in brackets, which it was trained on' if seen else ''}.",
    )


def _trained_on(counts: dict[str, Any]) -> str:
    made = len([name for name in counts["family"] if name != "real"])
    return f"trained on {counts['rows']:,} pictures of {made} {'family' if made == 1 else 'families'} and genuine ones"


def _plural(count: int) -> str:
    return "epoch" if count == 1 else "epochs"


def _leading(text: str) -> float:
    """Return the figure before the interval, 0 for a dash."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return 0.0


def _accuracy_per_gflop(row: TrainingRow) -> float:
    return (row["accuracy"] or 0.0) / row["gflops"]


def _plain(value: Any) -> str:
    """Return a hyper-parameter as people write it: 5e-05, not 0.000."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
