"""The catalogue of mockups: every product on every template and in every scene, and how faithful the pictures are."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.errors import BadImage
from gencv.images.decode import decode
from gencv.plots.sheets import Tile, draw_tiles
from gencv.runs.report import Report

MAX_PRODUCTS = 12
"""Products that the page shows; pictures.parquet has them all."""
COLUMNS, SHEET_PX = 3, 450
"""A product's sheet is half of the page, so that on a telephone, where it is the whole, things can be made out."""
LOW_DPI = 100
MAX_NOTES = 5


def mockup_report(table: pa.Table, folder: str, *, notes: Sequence[str] = ()) -> Report:
    """Show the rows of pipelines.made.PICTURES_SCHEMA, whose paths start from `folder`.

    notes: of the painter, its licence among them.
    """
    rows = table.to_pylist()
    products = list(dict.fromkeys(row["product"] for row in rows))
    kinds = {row["template"]: row["kind"] for row in rows}
    prints, scenes = ([name for name in kinds if kinds[name] == kind] for kind in ("template", "scene"))
    made = [row for row in rows if not row["error"]]
    parts = [f"on {counted(prints, 'template')}: {', '.join(prints)}"] * bool(prints)
    parts += [f"in {counted(scenes, 'scene')}: {', '.join(scenes)}"] * bool(scenes)
    report = Report("Mockups", f"{counted(products, 'product')} {'; '.join(parts)}")
    report.headline("Mockups", len(made), f"of {len(rows):,}")
    figures = figures_of(table)
    if prints:
        report.headline("Colour shift", figures["median_colour_shift"], "median CIEDE2000 of a print to its artwork")
        report.headline("Edges kept", figures["median_sharpness"], "median share of a print's edges")
    if scenes:
        difference = figures["most_interior_difference"]
        where = "inside of products" if difference is not None else "not measured: no product has an inside"
        report.headline("Inner difference", difference, f"levels of 255 at most, {where}")
        report.headline("Halo", figures["median_halo"], "median CIEDE2000 at a product's edge")
    report.headline("Failed", len(rows) - len(made), "rows with an error")
    for note in notes:
        report.note(note)
    add_catalogue(report, rows, products, folder)
    if prints:
        add_prints(report, [row for row in made if row["kind"] == "template"], prints)
    if scenes:
        add_scenes(report, [row for row in made if row["kind"] == "scene"], scenes)
    unread = sum(not row["watermarked"] for row in made)
    if unread:
        report.note(f"The watermark of {unread} of {len(made)} mockups cannot be read; their files say what they are.")
    return report


def figures_of(table: pa.Table) -> dict[str, float | None]:
    """Return the figures of all prints and of all scenes; None where nothing was measured."""
    rows = table.to_pylist()
    printed, painted = ([row for row in rows if row["kind"] == kind] for kind in ("template", "scene"))
    return {
        "median_colour_shift": middle(printed, "colour_shift"),
        "median_sharpness": middle(printed, "sharpness"),
        "most_interior_difference": most(painted, "interior_difference"),
        "median_halo": middle(painted, "halo"),
        "most_growth": most(painted, "growth"),
    }


def add_catalogue(report: Report, rows: list[dict[str, Any]], products: list[str], folder: str) -> None:
    """Add the section with the pictures, a sheet a product."""
    shown = products[:MAX_PRODUCTS]
    few = "" if len(shown) == len(products) else f" The first {len(shown)} of {len(products):,} products."
    report.section("Catalogue", f"A sheet is a product; under each picture stands its template, or its scene.{few}")
    sheets = {}
    for product in shown:
        mine = [row for row in rows if row["product"] == product]
        tiles = [tile_of(row, folder) for row in mine]
        name = f"{product}: {', '.join(row['template'] for row in mine)}"
        sheets[name] = draw_tiles(tiles, COLUMNS, SHEET_PX, product, fewest_columns=2)
    report.figures(sheets)


def add_prints(report: Report, made: list[dict[str, Any]], templates: list[str]) -> None:
    """Add a section with the figures of each template, and a note where prints would be coarse."""
    report.section(
        "Fidelity of prints",
        "A print as the picture shows it, against the same print flat, in even white light. Colour shift is the mean "
        "CIEDE2000: light, shade, and gloss move it, and 2 to 9 is what they do on the drawn templates. Edges are "
        "the slopes of lightness that are left. DPI says how fine the artwork would be on the thing itself.",
    )
    names = ("colour_shift", "coverage", "sharpness", "dpi")
    rows: list[list[Any]] = []
    for template in templates:
        mine = [row for row in made if row["template"] == template]
        shift, coverage, sharpness, dpi = (middle(mine, name) for name in names)
        rows.append([template, len(mine), shift, coverage, sharpness, None if dpi is None else round(dpi)])
    report.table(["template", "mockups", "colour shift", "coverage", "edges kept", "DPI"], rows, "Medians")
    coarse = [row for row in made if row["dpi"] is not None and row["dpi"] < LOW_DPI]
    if coarse:
        report.note(
            f"{len(coarse)} of {len(made)} prints would have less than {LOW_DPI} DPI: they look right here, and coarse "
            "in the hand. Give larger pictures to print them."
        )


def add_scenes(report: Report, made: list[dict[str, Any]], scenes: list[str]) -> None:
    """Add a section with the figures of each scene, and what was not as asked."""
    report.section(
        "Fidelity of scenes",
        "A scene against the product's own px at their place. Inner difference is the largest, in levels of 255, away "
        "from the edge: 0 unless the scene relights. Halo is the mean CIEDE2000 at the edge against the product over a "
        "background that knows nothing of it. Growth is what looks like the product beyond its outline, 1 - IoU. A "
        "dash is what was not measured: a product may have no inside, or nothing around it.",
    )
    rows: list[list[Any]] = []
    for scene in scenes:
        mine = [row for row in made if row["template"] == scene]
        inner, growth, tries = (most(mine, name) for name in ("interior_difference", "growth", "tries"))
        rows.append([scene, len(mine), inner, middle(mine, "colour_shift"), middle(mine, "halo"), growth, tries])
    names = ["scene", "mockups", "most inner difference", "colour shift", "halo", "most growth", "most tries"]
    report.table(names, rows, "Medians, and the worst")
    notes = Counter(note for row in made for note in (row["notes"] or "").splitlines())
    for note, count in notes.most_common(MAX_NOTES):
        report.note(f"{count} of {len(made)}: {note}")


def counted(names: list[str], what: str) -> str:
    return f"{len(names):,} {what}" + "s" * (len(names) != 1)


def middle(rows: list[dict[str, Any]], name: str) -> float | None:
    """Return the median of a column, None where no row has it."""
    values = measured(rows, name)
    return float(np.median(values)) if values else None


def most(rows: list[dict[str, Any]], name: str) -> Any:
    """Return the largest value of a column, None where no row has it."""
    return max(measured(rows, name), default=None)


def measured(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def tile_of(row: dict[str, Any], folder: str) -> Tile:
    """Return a mockup with its template's name, or an empty place that says why: its file may be gone by now."""
    why = row["error"]
    if not why:
        try:
            return Tile(decode(storage.read_bytes(storage.join(folder, row["path"]))), row["template"])
        except (OSError, BadImage) as error:
            why = error.code if isinstance(error, BadImage) else "gone"
    return Tile(np.full((256, 256, 3), 245, np.uint8), f"{row['template']}\n{why}")
