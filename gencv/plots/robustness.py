"""How a detector holds up, in pictures: every protocol at every tier, and sweeps over a degradation's strengths."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gencv.core.manifest import Manifest
from gencv.core.seeds import uniform_for
from gencv.evaluate.protocols import CLEAN, NATIVE, PROTOCOLS, TIERS, Cell, Version, make_versions
from gencv.evaluate.robustness import TITLES, TPR_AT, CellRow, Robustness
from gencv.images.degrade import DEGRADATIONS
from gencv.plots.heatmaps import draw_grids
from gencv.plots.look import GREY, INK, LINE, POSITIVE, new_figure, style, to_png
from gencv.plots.pages import pictures_of
from gencv.plots.sheets import draw_sheet
from gencv.runs.report import Report

SHOWN = ("balanced_accuracy", "auroc", "recall", "bpcer", TPR_AT, "flips")
"""Figures of the table; the changes have their sentence."""
PROTOCOL_WORDS = {
    "native": "as they came",
    "fakes_aligned": "positives saved anew",
    "all_recompressed": "all saved anew",
}
"""What people read for each of PROTOCOLS."""


def words_of(cell: Cell) -> str:
    """Name a cell for people: "all saved anew, web", or "jpeg 75 quality"."""
    if cell.strength is None:
        return f"{PROTOCOL_WORDS[cell.protocol]}, {cell.degradation}"
    unit = DEGRADATIONS[cell.degradation].unit.replace("_", " ")
    return f"{cell.degradation}, {unit} {cell.strength:g}"


def add_robustness(report: Report, held: Robustness, labels: tuple[str, str], manifest: Manifest, seed: int) -> None:
    """Add a section with what every cell did to the figures; none where there is neither a cell nor a reason."""
    if not held.rows and not held.reason:
        return
    if not held.rows:
        report.section("How it holds up", f"Nothing was degraded: {held.reason}.")
        return
    report.section(
        "How it holds up",
        f"The same {held.num_genuine:,} {labels[0]} and {held.num_positive:,} {labels[1]} pictures, drawn by seed with "
        "one of every group before a second of any, at the same frozen threshold. Rows say which files were saved anew "
        f"as JPEG 96 before all else: none, {labels[1]} ones, or all. Columns say what happened next: nothing (clean), "
        "768 px and JPEG 60 (web), 512 px and JPEG 40 (hard), or a chain of 2 to 5 steps (chained), a resize, WebP, "
        "JPEG, blur, crop, and screenshot among them.",
    )
    report.figures({"protocols and tiers": to_png(draw_tiers(held))})
    if told := verdict_on_compression(held):
        report.note(told)
    add_examples(report, manifest, seed)
    shown = [name for name in SHOWN if any(row.figures[name].value is not None for row in held.rows)]
    unanswered = any(row.num_unanswered for row in held.rows)
    report.table(
        ["pictures", *(TITLES[name] for name in shown), *(["no answer"] if unanswered else [])],
        [
            [
                words_of(row.cell),
                *(row.figures[name].text() for name in shown),
                *([row.num_unanswered] if unanswered else []),
            ]
            for row in held.rows
        ],
        "Every degradation, worst first",
        _remarks(held),
    )
    sweeps = sweeps_of(held)
    if sweeps:
        report.figures(
            {"sweeps": to_png(draw_sweeps(held))},
            "AUROC of native pictures under one degradation, mild to severe from left to right, with its 95 % "
            "interval. The dashed line is that of the pictures as they came.",
        )


def add_examples(report: Report, manifest: Manifest, seed: int) -> None:
    """Show one picture of each class at every tier, as it was judged there."""
    ids, labels, errors = (manifest[name] for name in ("id", "label", "error"))
    tiles = []
    for label in (0, 1):
        rows = [row for row, error in enumerate(errors) if error is None and labels[row] == label]
        row = min(rows, key=lambda row: uniform_for(0, ids[row], "sample"), default=None)
        if row is None or (image := pictures_of(manifest, [row], min_side_px=None)[0]) is None:
            continue
        versions = [Version(False, tier) for tier in TIERS]
        for version, made in make_versions(image, ids[row], versions, seed):
            if isinstance(made, np.ndarray):
                tiles.append((made, f"{version.degradation}, {made.shape[1]} x {made.shape[0]} px"))
    if tiles:
        report.figures({"tiers": draw_sheet(tiles, columns=len(TIERS))}, "One picture of each class at every tier.")


def verdict_on_compression(held: Robustness) -> str:
    """Say what the change from native to all recompressed means for this detector; "" where it was not measured."""
    row = held.row(Cell("all_recompressed", CLEAN))
    if row is None:
        return ""
    change = row.figures["auroc_change"]
    meaning = (
        "A fall from native to all saved anew would mean that the detector reads how a file was compressed and not "
        "what made the picture: a JPEG detector."
    )
    if change.value is None or change.low is None or change.high is None:
        return meaning
    value, low, high = (round(number, 3) + 0.0 for number in (change.value, change.low, change.high))  # no -0.000
    measured = f"Here the AUROC changes by {value:+.3f} [{low:+.3f}, {high:+.3f}]"
    if change.high < 0:
        return f"{meaning} {measured}: it falls, so some of what it knows is the file's compression."
    return f"{meaning} {measured}: no fall can be told."


def draw_tiers(held: Robustness) -> Figure:
    """Draw balanced accuracy and AUROC of every protocol (down) at every tier (across)."""
    grids: dict[str, dict[str, dict[str, float | None]]] = {}
    for title, name in {"Balanced accuracy": "balanced_accuracy", "AUROC": "auroc"}.items():
        grids[title] = {}
        for protocol in PROTOCOLS:
            rows = {tier: held.row(Cell(protocol, tier)) for tier in TIERS}
            values = {tier: row.figures[name].value if row else None for tier, row in rows.items()}
            grids[title][PROTOCOL_WORDS[protocol]] = values
    return draw_grids(grids)


def sweeps_of(held: Robustness) -> dict[str, list[CellRow]]:
    """Return the cells of each sweep, mild to severe."""
    found = {}
    for name, way in DEGRADATIONS.items():
        rows = [held.row(Cell("native", name, strength)) for strength in way.strengths]
        if all(rows):
            found[name] = [row for row in rows if row is not None]
    return found


def draw_sweeps(held: Robustness) -> Figure:
    """Draw the AUROC of every sweep with its interval, one small plot a degradation, all of one scale."""
    sweeps, native = sweeps_of(held), held.row(NATIVE)
    columns = 4
    lines = -(-len(sweeps) // columns)
    figure = new_figure(height_px=60 + 215 * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    base = native.figures["auroc"].value if native else None
    for axes, (name, rows) in zip(grid, sweeps.items(), strict=False):
        places = np.arange(len(rows))
        style(axes, title=name, x=DEGRADATIONS[name].unit.replace("_", " "), grid="y")
        axes.axhline(0.5, color=LINE, linewidth=0.9)
        if base is not None:
            axes.axhline(base, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.fill_between(places, _bounds(rows, "low"), _bounds(rows, "high"), color=POSITIVE, alpha=0.18, linewidth=0)
        axes.plot(places, _bounds(rows, "value"), "-o", color=POSITIVE, linewidth=1.6, markersize=4.5)
        axes.set_xticks(places, [f"{row.cell.strength:g}" for row in rows])
        axes.set_xlim(-0.3, len(rows) - 0.7)
        axes.set_ylim(min(0.45, *(low for low in _bounds(rows, "low") if np.isfinite(low)), 0.45) - 0.02, 1.02)
    for axes in grid[len(sweeps) :]:
        axes.set_axis_off()
    grid[0].set_ylabel("AUROC", fontsize=10.5, color=GREY)
    return figure


def _bounds(rows: Sequence[CellRow], side: str) -> np.ndarray:
    """float64 [strengths]: value, low, or high of the AUROC, NaN where there is none."""
    values = [getattr(row.figures["auroc"], side) for row in rows]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _remarks(held: Robustness) -> str:
    """Gather what the cells' figures remark, each once, and what turned verdicts are."""
    reasons = dict.fromkeys(
        f"{TITLES[name]}: {metric.reason}"
        for row in held.rows
        for name, metric in row.figures.items()
        if metric.value is None and metric.reason and row.cell != NATIVE
    )
    told = "Verdicts turned: the share of pictures, judged as they came, that fall on the other side of the threshold."
    return " ".join([told, *(f"{reason[0].upper()}{reason[1:]}." for reason in reasons)])
