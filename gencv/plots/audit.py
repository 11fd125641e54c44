"""The page of an audit: the verdict, what is worst, and the pictures that a person should look at."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from gencv.core.findings import Finding, verdict, worst_first
from gencv.core.manifest import Manifest
from gencv.datasets.composition import Cell
from gencv.datasets.leaks import Leak
from gencv.evaluate.doubts import Doubts
from gencv.evaluate.shortcuts import FAIL_AT, WARN_AT, Shortcut
from gencv.plots.look import FAINT, GENUINE, GREY, INK, LINE, POSITIVE, new_figure, style, to_png
from gencv.plots.pages import pictures_of
from gencv.plots.sheets import draw_errors, draw_sheet
from gencv.runs.report import Report

NUM_DOUBTS = 24
NUM_PAIRS = 9
NUM_EXAMPLES = 5
TITLES = {
    "container": "What the files are",
    "content": "What the pictures look like on average",
}


@dataclass(frozen=True, kw_only=True)
class Audited:
    """All that an audit found; rows are those of `manifest`. `doubts` is None without embeddings."""

    manifest: Manifest
    digest: str
    findings: Sequence[Finding]
    shortcuts: Sequence[Shortcut]
    bytes_per_pixel: float | None
    """AUROC of the bytes a pixel, which is container and content in one."""
    leaks: Sequence[Leak]
    cells: Sequence[Cell]
    doubts: Doubts | None


def audit_report(audited: Audited) -> Report:
    """Show the verdict, then all findings, the worst first, then what they rest on."""
    report = Report(f"Audit of {len(audited.manifest):,} pictures", verdict(audited.findings))
    for shortcut in audited.shortcuts:
        interval = shortcut.auroc.reason
        if shortcut.auroc.low is not None and shortcut.auroc.high is not None:
            interval = f"95 % interval {shortcut.auroc.low:.3f} to {shortcut.auroc.high:.3f}"
        report.headline(f"AUROC by {shortcut.probe}", shortcut.auroc.value, interval)
    report.headline("Leaks", sum(leak.count for leak in audited.leaks), "pairs or groups in two splits")
    doubts = audited.doubts
    detail = "needs --embeddings" if doubts is None else "labels that a probe denies"
    report.headline("Doubts", None if doubts is None else len(doubts.rows), detail)
    report.section("What was found", "The worst first. A fail forbids training, a warning wants a person to look.")
    add_findings(report, audited.findings)
    for shortcut in audited.shortcuts:
        add_shortcut(report, shortcut)
        if shortcut.probe == "container" and audited.bytes_per_pixel is not None:
            report.note(
                f"The bytes a pixel alone have an AUROC of {audited.bytes_per_pixel:.3f}. No probe takes them: half of "
                "what they tell is format and quality, which the facts above say better, and half what is shown."
            )
    add_leaks(report, audited.manifest, audited.leaks)
    add_cells(report, audited.cells)
    if doubts is not None:
        add_doubts(report, audited.manifest, doubts)
    return report


def add_findings(report: Report, findings: Sequence[Finding]) -> None:
    """Add all findings as a table, and how many examples of each audit.json has."""
    rows = [[f.level.value, f.part, f.sentence, len(f.examples) or None] for f in worst_first(findings)]
    if not rows:
        report.note("Nothing was found.")
        return
    report.table(["level", "part", "finding", "examples"], rows, "Examples stand in audit.json.")


def add_shortcut(report: Report, shortcut: Shortcut) -> None:
    """Add a section for one probe: its facts and its generators."""
    counts = shortcut.counts
    report.section(
        TITLES[shortcut.probe],
        f"A probe of {shortcut.probe} facts, out of fold by group, on {counts.num_genuine:,} genuine and "
        f"{counts.num_positive:,} positive pictures. 0.5 is none the wiser.",
    )
    if shortcut.auroc.value is None:
        report.note(f"No verdict: {shortcut.auroc.reason}.")
        return
    bars = [("all facts together", shortcut.auroc.value, True)]
    bars += [(fact.fact.replace("_", " "), fact.auroc.value or 0.5, False) for fact in shortcut.facts]
    report.figures({f"AUROC by {shortcut.probe} facts": to_png(draw_facts(bars))})
    report.table(
        ["fact", "AUROC alone", "genuine", "positive"],
        [[fact.fact.replace("_", " "), fact.auroc.value, fact.genuine, fact.positive] for fact in shortcut.facts],
        "Each fact alone, and what is usual: the most frequent word, or the median.",
    )
    report.table(
        ["generator", "pictures", "AUROC", "remark"],
        [[row.generator, row.num_pictures, row.auroc.text(), row.auroc.reason] for row in shortcut.generators],
        "Each generator against all genuine pictures, the one that is told best first.",
    )


def draw_facts(bars: Sequence[tuple[str, float, bool]]) -> Figure:
    """Draw the AUROC of facts as bars from 0.5, with the levels of warning and failure; (name, AUROC, is the sum)."""
    figure = new_figure(height_px=90 + 27 * len(bars))
    axes = style(figure.add_subplot(), x="AUROC", grid="x")
    for place, (_, value, is_sum) in enumerate(bars):
        axes.barh(place, 0.5, 0.62, left=0.5, color=FAINT)
        axes.barh(place, max(value, 0.5) - 0.5, 0.62, left=0.5, color=POSITIVE if is_sum else GENUINE)
        axes.annotate(
            f"{value:.3f}", (1, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9.5, color=INK
        )
    for level, name in ((WARN_AT, "warn"), (FAIL_AT, "fail")):
        axes.axvline(level, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(name, (level, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=GREY)
    axes.set(xlim=(0.5, 1), ylim=(len(bars) - 0.5, -0.5), yticks=range(len(bars)))
    axes.set_yticklabels([name for name, _, _ in bars])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    return figure


def add_leaks(report: Report, manifest: Manifest, leaks: Sequence[Leak]) -> None:
    """Add what lies in two splits, with pairs of pictures beside each other."""
    report.section("What stands in two splits")
    report.table(["kind", "found"], [[leak.kind.replace("_", " "), leak.count] for leak in leaks])
    for leak in leaks:
        pairs = leak.pairs[:NUM_PAIRS]
        rows = [row for one, other, _ in pairs for row in (one, other)]
        images = pictures_of(manifest, rows)
        tiles = []
        for number, (row, image) in enumerate(zip(rows, images, strict=True)):
            near = pairs[number // 2][2]
            said = "" if near is None else f", {near:.3f}" if leak.kind == "neighbours" else f", {near:.0f} bits"
            if image is not None:
                tiles.append((image, f"{number // 2 + 1}: {manifest['split'][row]}{said}\n{manifest['uri'][row]}"))
        if tiles:
            report.figures(
                {leak.kind: draw_sheet(tiles)}, f"Pairs of {leak.kind.replace('_', ' ')}, the nearest first."
            )


def add_cells(report: Report, cells: Sequence[Cell]) -> None:
    """Add what the data are made of, split by split."""
    report.section("What there is", "Readable pictures; sizes are shorter sides in px.")
    report.table(
        ["split", "label", "generator", "source", "pictures", "smallest", "median", "largest"],
        [
            [
                cell.split,
                "none" if cell.label is None else str(cell.label),
                cell.generator,
                cell.source,
                cell.num_pictures,
                cell.smallest_px,
                cell.median_px,
                cell.largest_px,
            ]
            for cell in cells
        ],
    )


def add_doubts(report: Report, manifest: Manifest, doubts: Doubts) -> None:
    """Add the pictures whose label is most doubtful."""
    report.section(
        "Doubtful labels",
        "Pictures whose own label a probe on the embeddings finds least likely, though it was fitted on all other "
        f"groups. Its AUROC is {doubts.auroc.text()}. A doubt may be a wrong label, or just a hard picture.",
    )
    rows = [int(row) for row in doubts.rows[:NUM_DOUBTS]]
    if not rows:
        report.note(
            "No label is in doubt." if doubts.auroc.value is not None else f"No verdict: {doubts.auroc.reason}."
        )
        return
    labels, generators, uris = (manifest[name] for name in ("label", "generator", "uri"))
    images = pictures_of(manifest, rows)
    tiles = [
        (image, labels[row], float(own), str(generators[row]))
        for row, own, image in zip(rows, doubts.own, images, strict=False)
        if image is not None
    ]
    if tiles:
        report.figures({"doubtful labels": draw_errors(tiles)}, "Under each: its label, P(that label), its generator.")
    report.table(
        ["picture", "label", "P(own label)"],
        [[uris[row], str(labels[row]), float(own)] for row, own in zip(rows, doubts.own, strict=False)],
        f"The worst {len(rows)} of {len(doubts.rows):,}; all stand in audit.json.",
    )
