"""The section of a report on the kinds of positives that a detector tells apart."""

from typing import Any

from gencv.evaluate.kinds import KindsResult
from gencv.plots.heatmaps import draw_kinds
from gencv.plots.look import to_png
from gencv.runs.report import Report


def add_kinds(report: Report, told: KindsResult, labels: tuple[str, str]) -> None:
    """Show what the positives of each kind were taken for."""
    column = told.column
    learnt = [k for k, truth in enumerate(told.truths) if truth in told.kinds]
    others = [truth for truth in told.truths if truth not in told.kinds]
    report.section(
        "Which kind it is",
        f"The second head names the {column} of a picture, were it {labels[1]}. Counted are the {labels[1]} pictures "
        f"that were called so: {int(told.counts[learnt].sum()):,} of a {column} that it learnt, of which it names "
        f"{told.accuracy.text()} rightly.",
    )
    if others:
        report.note(
            f"Not among what the detector learnt: {', '.join(others)}. Such pictures cannot be named rightly, and are "
            "left out of that share."
        )
    report.figures({"kinds": to_png(draw_kinds(told.counts, told.truths, told.kinds))})
    rows: list[list[Any]] = []
    for k, (truth, total) in enumerate(zip(told.truths, told.totals, strict=True)):
        found = int(told.counts[k].sum())
        right = int(told.counts[k, told.kinds.index(truth)]) if truth in told.kinds else None
        wrong = {kind: int(n) for kind, n in zip(told.kinds, told.counts[k], strict=True) if kind != truth and n}
        most = max(wrong, key=lambda kind: wrong[kind]) if wrong else ""
        rows.append(
            [
                truth,
                total,
                found,
                right,
                right / found if right is not None and found else None,
                f"{most} ({wrong[most]:,})" if most else None,
            ]
        )
    rows.sort(key=lambda row: (row[4] is None, row[4] or 0.0, row[0]))
    report.table(
        [column, "pictures", f"called {labels[1]}", "named rightly", "recall of the kind", "most often taken for"], rows
    )
