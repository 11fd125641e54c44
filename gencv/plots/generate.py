"""The page of painted pictures: a contact sheet whose axes are what was varied, and what was not painted."""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.errors import BadImage
from gencv.images.decode import decode
from gencv.plots.sheets import Tile, draw_grid, draw_sheet
from gencv.runs.report import Report

MAX_SHEETS = 24
MAX_COLUMNS, MAX_ROWS = 8, 24
MAX_PICTURES = 96
"""Pictures on a page without axes; pictures.parquet has them all."""
OTHERS = ("negative_prompt", "width", "height", "parent")
"""Columns that may change beside the axes of a sweep."""
WORDS = {
    "guidance_scale": "guidance scale",
    "num_inference_steps": "steps",
    "negative_prompt": "negative prompt",
}


def generate_report(
    table: pa.Table, axes: dict[str, list[Any]], folder: str, *, init: bytes | None = None, notes: Sequence[str] = ()
) -> Report:
    """Show rows of pipelines.cells.PICTURES_SCHEMA, whose paths start from `folder`.

    axes: along which the recipes differ, and their values, as `sweep.varied` has them. init: the file of the picture
    that all of them began with.
    """
    rows = table.to_pylist()
    made = [row for row in rows if row["path"]]
    report = Report("Painted pictures", ", ".join(sorted({row["model"] for row in rows if row["model"]})))
    report.headline("Pictures", len(made), f"of {len(rows):,}")
    report.headline("Prompts", len({row["prompt"] for row in made}))
    report.headline("Not painted", sum(row["finish_reason"] == "content_filtered" for row in rows), "content filtered")
    report.headline("Failed", sum(row["error"] is not None for row in rows), "rows with an error")
    for note in notes:
        report.note(note)
    if init is not None:
        report.section("Began with", "Each picture starts from this one, cut to its size.")
        report.figures({"the picture to start from": draw_sheet([(decode(init), "")], columns=4)})
    report.section("Contact sheet", describe(rows, axes))
    for title, sheet in sheets(rows, axes, folder):
        report.figures({title: sheet}, title)
    add_refused(report, rows)
    return report


def sheets(rows: list[dict[str, Any]], axes: dict[str, list[Any]], folder: str) -> list[tuple[str, bytes]]:
    """Return the contact sheets and their titles: rows and columns are the last two axes, sheets the ones before.

    Without two axes, or where a cell has not one picture, they are pictures with captions.
    """
    axes = of_parents(rows, axes)
    at: dict[tuple[Any, ...], dict[str, Any]] = {tuple(row[name] for name in axes): row for row in rows}
    lengths = [len(values) for values in axes.values()]
    if (
        len(axes) < 2
        or not len(at) == len(rows) == prod(lengths)
        or lengths[-1] > MAX_COLUMNS
        or lengths[-2] > MAX_ROWS
    ):
        shown = [row for row in rows if row["path"]][:MAX_PICTURES]
        few = "" if len(shown) == len(rows) else f"{len(shown)} of {len(rows)} pictures"
        return [
            (few or "All pictures", draw_sheet([(tile_of(row, folder).image, caption(row, axes)) for row in shown]))
        ]
    *outer, first, second = axes
    found = []
    for fixed in list(product(*(axes[name] for name in outer)))[:MAX_SHEETS]:
        cells = [[at.get((*fixed, one, other)) for other in axes[second]] for one in axes[first]]
        if not any(row and row["path"] for line in cells for row in line):  # of a prompt that is not painted
            continue
        grid = [[tile_of(row, folder) for row in line] for line in cells]
        labels = [label(value, first) for value in axes[first]], [label(value, second) for value in axes[second]]
        title = ", ".join(f"{word(name)} {label(value, name)}" for name, value in zip(outer, fixed, strict=True))
        found.append(
            (title or f"{word(first)} by {word(second)}", draw_grid(grid, (word(first), word(second)), labels))
        )
    return found


def contact_sheet(rows: list[dict[str, Any]], axes: dict[str, list[Any]], folder: str) -> bytes:
    """Return all pictures of a sweep on one sheet: columns are the last axis, rows all that the others say.

    rows: recipes by their fields, in the sweep's order, each with a `path` from `folder`, None where there is none.
    """
    *outer, last = axes or {"seed": [row["seed"] for row in rows]}
    columns = len(axes.get(last, rows))
    if columns > MAX_COLUMNS:
        return draw_sheet([(tile_of(row, folder).image, caption(row, axes)) for row in rows])
    lines = [rows[at : at + columns] for at in range(0, len(rows), columns)]
    said = [", ".join(f"{word(name)} {label(line[0][name], name)}" for name in outer) for line in lines]
    tops = [label(row[last], last) for row in lines[0]]
    cells = [[tile_of(row, folder) for row in line] for line in lines]
    return draw_grid(cells, (" and ".join(map(word, outer)), word(last)), (said, tops))


def of_parents(rows: list[dict[str, Any]], axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the axes, with the parent in place of what follows from it, as seeds and captions of a manifest do."""
    of_each: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        of_each.setdefault(row["parent"], []).append(row)
    if len(of_each) < 2:
        return axes
    own = {name for name in axes if any(len({row[name] for row in some}) > 1 for some in of_each.values())}
    return {"parent": list(of_each)} | {name: values for name, values in axes.items() if name in own}


def tile_of(row: dict[str, Any] | None, folder: str) -> Tile:
    """Return a row's picture, or a grey place: its file may be gone by now."""
    try:
        if row is not None and row["path"]:
            return Tile(decode(storage.read_bytes(storage.join(folder, row["path"]))))
    except (OSError, BadImage):
        pass
    return Tile(np.full((256, 256, 3), 240, np.uint8))


def caption(row: dict[str, Any], axes: dict[str, list[Any]]) -> str:
    """Return what tells a picture from the others, else its prompt."""
    told = [f"{word(name)} {label(row[name], name)}" for name in axes if name != "prompt"]
    return "\n".join([row["prompt"], *told] if "prompt" in axes or not told else told)


def describe(rows: list[dict[str, Any]], axes: dict[str, list[Any]]) -> str:
    """Say what changes from picture to picture, along the axes and beside them."""
    told = [f"{word(name)} over {len(values)} values" for name, values in axes.items()]
    told += [word(name) for name in OTHERS if len({row[name] for row in rows if row["path"]}) > 1]
    return f"What changes: {'; '.join(told)}. All else is the same." if told else "All pictures have one recipe."


def word(name: str) -> str:
    return WORDS.get(name, name)


def label(value: Any, name: str) -> str:
    if name == "parent" and value:
        return str(value[:8])
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def add_refused(report: Report, rows: list[dict[str, Any]]) -> None:
    """List what was not painted, and what was not read of prompts."""
    refused = [row for row in rows if row["finish_reason"] == "content_filtered"]
    if refused:
        report.section("Not painted", "The prompt, or what came of it, is of a kind that is not shown.")
        report.table(["cell", "prompt", "why"], [[row["cell"], row["prompt"], row["notes"]] for row in refused[:100]])
    noted = sorted({row["notes"] for row in rows if row["notes"] and row not in refused})
    for note in noted[:20]:
        report.note(note)
