"""The pages of a comparison: trainings on generators that they never saw, and detectors side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gencv.evaluate.comparison import COMPARED, DECIDING, LEVEL, Comparison, Pair
from gencv.evaluate.generators import GeneratorRow
from gencv.evaluate.intervals import FEW_GROUPS
from gencv.evaluate.matrix import Cell, Matrix
from gencv.evaluate.metrics import TITLES, Metric
from gencv.evaluate.validation import FEW
from gencv.plots.heatmaps import draw_matrix
from gencv.plots.look import GENUINE, GREY, INK, LINE, new_figure, style, to_png
from gencv.runs.report import Report

MAX_CELLS = 60
MAX_PAIRS = 15
MAX_DRAWN = 20
"""Generators in the figure; more would be too small to read."""
OTHERS = "all but it"
LEADING = ("auroc", "balanced_accuracy")
FEW_GROUPS_NOTE = f"Under {FEW_GROUPS} groups an interval is hardly one."
FIELD = ("accuracy", "f1", "precision", "recall")
"""What the tables of published work most often have."""


def matrix_report(title: str, matrix: Matrix) -> Report:
    """Show what is learnt from some generators on those that were never seen, the worst first."""
    worst, num = matrix.worst, sum(cell.is_held_out for cell in matrix.cells)
    report = Report(title, f"{len(matrix.trainings)} trainings, each judged on every {matrix.by}; {verdict(matrix)}")
    report.headline("Held out, mean AUROC", matrix.held_out.value, _interval(matrix.held_out, f"{num} cells"))
    report.headline(
        "Held out, worst AUROC",
        worst.auroc.value,
        "; ".join(filter(None, [_interval(worst.auroc, _in_words(worst)), worst.warning])),
    )
    if matrix.left_out.value is not None:
        report.headline("All but one, mean AUROC", matrix.left_out.value, _interval(matrix.left_out, "leave one out"))
    report.headline("Seen, mean AUROC", matrix.seen.value, _interval(matrix.seen, "for comparison only"))
    report.section(
        "What carries over",
        f"AUROC on the test pictures of each {matrix.by} against all genuine test pictures. A training saw the "
        f"training pictures of its own {matrix.by}, and all genuine ones; its calibration and its threshold "
        f"({matrix.threshold}) are set on validation pictures of the same. No group of related pictures is on both "
        "sides.",
    )
    few = sorted({cell.generator for cell in matrix.cells if cell.warning})
    remarks = [
        *matrix.remarks,
        *([f"{', '.join(few)}: too few test pictures, so their figures are hints."] if few else []),
    ]
    for remark in remarks:
        report.note(remark)
    num_generators = len({cell.generator for cell in matrix.cells})
    shown = "" if num_generators <= MAX_DRAWN else f" Shown are the worst {MAX_DRAWN} of {num_generators}."
    report.figures(
        {f"AUROC on each {matrix.by}": to_png(_draw(matrix))},
        f"Across: what it was trained on. Down: what it was tested on, the worst first. In brackets: {matrix.by} that "
        "the training saw. A box marks the worst of each training that it did not see. The stronger the colour, the "
        f"worse.{shown}",
    )
    held_out, seen = ([cell for cell in matrix.cells if cell.is_held_out is side] for side in (True, False))
    report.section(
        "Every pair, worst first",
        "Recall and balanced accuracy are at the threshold that the training froze. Intervals are 95 %, by bootstrap "
        f"over groups, drawn within each {matrix.by}.",
    )
    _add_cells(report, held_out[:MAX_CELLS], f"Held out: the training never saw this {matrix.by}", len(held_out))
    _add_cells(report, seen[:MAX_CELLS], "Seen in training, so no test of anything new", len(seen))
    report.section("The trainings", "What each saw, and how many genuine test pictures it calls positive.")
    report.table(
        ["trained on", "false positives", "threshold", "train +", "train genuine", "val. +", "val. genuine", "remark"],
        [
            [
                facts.name,
                facts.fpr.text(),
                facts.threshold,
                facts.num_train_positive,
                facts.num_train_genuine,
                facts.num_val_positive,
                facts.num_val_genuine,
                facts.remark,
            ]
            for facts in sorted(matrix.trainings, key=lambda facts: -(facts.fpr.value or 0.0))
        ],
        note="+ are positives: spoof or generated pictures.",
    )
    return report


def verdict(matrix: Matrix) -> str:
    """Say in one line what a matrix comes to."""
    return f"the worst is AUROC {matrix.worst.auroc.text()}, {_in_words(matrix.worst)}"


def detectors_report(title: str, comparison: Comparison, labels: tuple[str, str]) -> Report:
    """Show detectors side by side: which is better, by how much, and where each fails."""
    first, names = comparison.names[0], comparison.names
    report = Report(
        title,
        f"{len(names)} detectors on the same {comparison.num_pictures:,} pictures. {comparison.pairs[0].verdict}",
    )
    best = comparison.metrics[first]
    report.headline("Highest AUROC", best[DECIDING].value, _interval(best[DECIDING], first))
    real = [pair for pair in comparison.pairs if pair.differences[DECIDING].is_real]
    report.headline("Differences told", len(real), f"of {len(comparison.pairs)} possible, by AUROC")
    for is_genuine, name, text in ((False, "Least recall", "on"), (True, "Most false positives", "in")):
        rows = [(row, who) for who in names for row in comparison.generators[who] if row.is_genuine == is_genuine]
        if rows:
            row, who = max(rows, key=lambda pair: pair[0].error)
            report.headline(name, row.rate.value, _interval(row.rate, f"{who} {text} {row.name}"))
    _add_pairs(report, comparison)
    _add_failures(report, comparison, labels)
    report.section(
        "All figures",
        "The best AUROC at the left, at the threshold that each detector froze on its own validation pictures. "
        f"Intervals are 95 %, by bootstrap over groups; the class with fewest has {comparison.num_groups:,}.",
    )
    shown = [name for name in TITLES if any(comparison.metrics[who][name].value is not None for who in names)]
    report.table(
        ["figure", *names], [[TITLES[name], *(comparison.metrics[who][name].text() for who in names)] for name in shown]
    )
    report.table(
        ["detector", *(TITLES[name] for name in FIELD)],
        [[who, *(comparison.metrics[who][name].value for name in FIELD)] for who in names],
        "As published tables have it",
        "Three of the four move with the share of positives; compare them within this table only.",
    )
    _add_differences(report, comparison)
    return report


def draw_differences(pairs: Sequence[Pair], metric: str = DECIDING) -> Figure:
    """Draw the difference of a metric for every pair with its interval; what can be told from nothing is in colour."""
    figure = new_figure(height_px=110 + 34 * len(pairs))
    axes = style(figure.add_subplot(), title=f"Difference of {TITLES[metric]}", x="first less second", grid="x")
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, pair in enumerate(pairs):
        told = pair.differences[metric]
        if told.value is None:
            continue
        colour = GENUINE if told.is_real else GREY
        if told.low is not None and told.high is not None:
            axes.plot([told.low, told.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(told.value, place, "o" if told.is_real else "D", color=colour, markersize=6)
        axes.annotate(
            told.text(),
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=INK if told.is_real else GREY,
            annotation_clip=False,
        )
    reach = max((abs(limit) for limit in axes.get_xlim()), default=0.0) or 0.01
    axes.set(xlim=(-reach, reach), ylim=(len(pairs) - 0.5, -0.5), yticks=range(len(pairs)))
    axes.set_yticklabels([f"{pair.first} − {pair.second}" for pair in pairs])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    return figure


def _draw(matrix: Matrix) -> Figure:
    """Draw the matrix with the trainings of all but one as one column."""
    values: dict[str, dict[str, float]] = {}
    seen = set()
    drawn = list(dict.fromkeys(cell.generator for cell in matrix.cells))[:MAX_DRAWN]  # the worst cells come first
    left = {facts.name for facts in matrix.trainings} - {cell.generator for cell in matrix.cells} | {*drawn}
    for name in (facts.name for facts in matrix.trainings if facts.name in left):
        for cell in (cell for cell in matrix.cells if cell.training == name and cell.generator in drawn):
            column = OTHERS if cell.is_left_out else name
            values.setdefault(column, {})[cell.generator] = np.nan if cell.auroc.value is None else cell.auroc.value
            if not cell.is_held_out:
                seen.add((column, cell.generator))
    return draw_matrix(values, title=f"AUROC on each {matrix.by}", seen=seen)


def _add_cells(report: Report, cells: Sequence[Cell], caption: str, total: int) -> None:
    notes = [] if len(cells) == total else [f"The worst {len(cells)} of {total}; all stand in compare.json."]
    if any(cell.warning or cell.auroc.reason for cell in cells):
        notes.append(f"few: under {FEW} test pictures, or under {FEW_GROUPS} groups, so hardly a figure at all.")
    report.table(
        ["trained on", "tested on", "AUROC", "recall", "balanced accuracy", "pictures", ""],
        [
            [
                cell.training,
                cell.generator,
                cell.auroc.text(),
                cell.recall.text(),
                cell.balanced_accuracy.text(),
                cell.num_pictures,
                "few" if cell.warning or cell.auroc.reason else "",
            ]
            for cell in cells
        ],
        caption,
        " ".join(notes),
    )


def _add_pairs(report: Report, comparison: Comparison) -> None:
    num = len(comparison.pairs)
    corrected = f", corrected for {num} pairs (Holm)" if num > 1 else ""
    report.section(
        "Which is better",
        "Both detectors of a pair meet the same bootstrap replicates, drawn by group. A difference can be told where "
        f"its two-sided p-value{corrected} is under {LEVEL:g}.",
    )
    for remark in comparison.remarks:
        report.note(remark)
    pairs = _surest_first(comparison)
    report.table([f"verdict, by {TITLES[DECIDING]}"], [[pair.verdict] for pair in pairs])
    report.figures(
        {f"differences of {TITLES[DECIDING]}": to_png(draw_differences(pairs))}, "In blue: what can be told."
    )
    report.table(
        [
            "first − second",
            *(word for name in LEADING for word in (TITLES[name], "p")),
            "only first right",
            "only second right",
            "McNemar p",
        ],
        [
            [
                f"{pair.first} − {pair.second}",
                *(
                    word
                    for name in LEADING
                    for word in (pair.differences[name].text(), _p(pair.differences[name].p_holm))
                ),
                pair.mcnemar.only_first,
                pair.mcnemar.only_second,
                _p(pair.mcnemar.p_holm),
            ]
            for pair in pairs
        ],
        note="McNemar's exact test counts single pictures at the two thresholds and knows nothing of groups: where "
        "many pictures share one, it is too sure. It is here for comparison with other work; the bootstrap decides.",
    )


def _add_differences(report: Report, comparison: Comparison) -> None:
    report.section("Every difference", "First less second, with its p-value. For error rates and costs less is better.")
    if len(comparison.pairs) > MAX_PAIRS:
        report.note(f"The surest {MAX_PAIRS} of {len(comparison.pairs)} pairs; all stand in compare.json.")
    for pair in _surest_first(comparison)[:MAX_PAIRS]:
        rows = [
            [TITLES[name], told.text(), _p(told.p_holm), _better(pair, name)]
            for name, told in pair.differences.items()
            if told.value is not None
        ]
        report.table(["figure", "difference", "p", "better"], rows, f"{pair.first} less {pair.second}")


def _add_failures(report: Report, comparison: Comparison, labels: tuple[str, str]) -> None:
    """Add recall by generator and false positives by real source, a row each, a column a detector, worst first."""
    report.section(
        "Where they fail", f"By what made the {labels[1]} pictures, and by where the {labels[0]} ones are from."
    )
    first = comparison.names[0]
    of = {who: {(row.is_genuine, row.name): row for row in comparison.generators[who]} for who in comparison.names}
    keys = {key for rows in of.values() for key in rows}
    for is_genuine, column, text in (
        (False, "generator", "Recall of each generator"),
        (True, "real source", f"Share of {labels[0]} pictures called {labels[1]}, by source"),
    ):
        mine = [key for key in keys if key[0] == is_genuine]
        mine.sort(key=lambda key: (-max(of[who][key].error for who in comparison.names), key[1]))
        if not is_genuine and mine:
            auroc = {who: {key[1]: _or_nan(of[who][key].auroc) for key in mine} for who in comparison.names}
            report.figures(
                {"AUROC of each detector on each generator": to_png(draw_matrix(auroc))},
                "Against all genuine pictures. A box marks the worst generator of each detector.",
            )
        report.table(
            [column, *comparison.names, "pictures", "groups"],
            [_row_of(key[1], [of[who][key] for who in comparison.names]) for key in mine],
            f"{text}, worst first",
            FEW_GROUPS_NOTE if any(of[first][key].num_groups < FEW_GROUPS for key in mine) else "",
        )


def _row_of(name: str, rows: Sequence[GeneratorRow]) -> list[str | int]:
    return [name, *(row.rate.text() for row in rows), rows[0].num_rows, rows[0].num_groups]


def _better(pair: Pair, name: str) -> str:
    told = pair.differences[name]
    if told.value is None or not told.is_real:
        return ""
    return pair.first if told.value * COMPARED[name] > 0 else pair.second


def _in_words(cell: Cell) -> str:
    return f"trained on {cell.training}, tested on {cell.generator}"


def _interval(metric: Metric, text: str) -> str:
    if metric.low is None or metric.high is None:
        return text
    return f"{metric.low:.3f} to {metric.high:.3f}; {text}"


def _surest_first(comparison: Comparison) -> list[Pair]:
    """Return the pairs with the smallest p-value first: what a reader may rely on stands on top."""
    told = [(pair.differences[DECIDING].p_holm, pair) for pair in comparison.pairs]
    return [pair for p, pair in sorted(told, key=lambda each: 2.0 if each[0] is None else each[0])]


def _p(p: float | None) -> str:
    return "–" if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def _or_nan(metric: Metric) -> float:
    return np.nan if metric.value is None else metric.value
