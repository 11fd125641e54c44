"""The catalogue of mockups: every product on every template and in every scene, and how faithful the pictures are."""

from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.images.decode import decode
from gencv.plots.sheets import Tile, draw_tiles
from gencv.runs.report import Report

MAX_PRODUCTS = 12
"""Products that the page shows; pictures.parquet has them all."""
MAX_COLUMNS = 6
PRODUCTS_PER_SHEET = 3
LOW_DPI = 100
MAX_NOTES = 5


def mockup_report(table: pa.Table) -> Report:
    """Show the rows of pipelines.mockup.PICTURES_SCHEMA; pictures are read from their uri."""
    rows = table.to_pylist()
    products = list(dict.fromkeys(row["product"] for row in rows))
    kinds = {row["template"]: row["kind"] for row in rows}
    templates = list(kinds)
    prints, scenes = ([name for name in templates if kinds[name] == kind] for kind in ("template", "scene"))
    made = [row for row in rows if not row["error"]]
    printed, painted = ([row for row in made if row["kind"] == kind] for kind in ("template", "scene"))
    parts = [f"on {len(prints)} templates: {', '.join(prints)}"] * bool(prints)
    parts += [f"in {len(scenes)} scenes: {', '.join(scenes)}"] * bool(scenes)
    things = "product" if len(products) == 1 else "products"
    report = Report("Mockups", f"{len(products):,} {things} {'; '.join(parts)}")
    report.headline("Mockups", len(made), f"of {len(rows):,}")
    if prints:
        report.headline("Colour shift", middle(printed, "colour_shift"), "median CIEDE2000 of a print to its artwork")
        report.headline("Edges kept", middle(printed, "sharpness"), "median share")
    if scenes:
        differences = [row["interior_difference"] for row in painted]
        report.headline("Inner difference", max(differences, default=None), "levels of 255 inside of products, at most")
        report.headline("Halo", middle(painted, "halo"), "median CIEDE2000 at a product's edge")
    report.headline("Failed", len(rows) - len(made), "rows with an error")
    shown = products[:MAX_PRODUCTS]
    few = "" if len(shown) == len(products) else f" The first {len(shown)} of {len(products):,} products."
    report.section("Catalogue", f"A row is a product, a column a template or a scene.{few}")
    by_cell = {(row["product"], row["template"]): row for row in rows}
    for start in range(0, len(shown), PRODUCTS_PER_SHEET):
        some = shown[start : start + PRODUCTS_PER_SHEET]
        for first in range(0, len(templates), MAX_COLUMNS):
            columns = templates[first : first + MAX_COLUMNS]
            tiles = [tile_of(by_cell[product, template]) for product in some for template in columns]
            sheet = draw_tiles(tiles, len(columns), 900, fewest_columns=min(4, len(columns)) if len(shown) > 1 else 2)
            report.figures({f"{', '.join(some)} on {', '.join(columns)}": sheet})
    if prints:
        add_prints(report, printed, prints)
    if scenes:
        add_scenes(report, painted, scenes)
    unread = sum(not row["watermarked"] for row in made)
    if unread:
        report.note(f"The watermark of {unread} of {len(made)} mockups cannot be read; their files say what they are.")
    return report


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
        "background that knows nothing of it. Growth is what looks like the product beyond its outline, 1 - IoU.",
    )
    rows: list[list[Any]] = []
    for scene in scenes:
        mine = [row for row in made if row["template"] == scene]
        worst = (max((row[name] for row in mine), default=None) for name in ("interior_difference", "growth", "tries"))
        inner, growth, tries = worst
        rows.append([scene, len(mine), inner, middle(mine, "colour_shift"), middle(mine, "halo"), growth, tries])
    names = ["scene", "mockups", "most inner difference", "colour shift", "halo", "most growth", "most tries"]
    report.table(names, rows, "Medians, and the worst")
    notes = dict.fromkeys(row["notes"] for row in made if row["notes"])
    for note in list(notes)[:MAX_NOTES]:
        report.note(note)


def middle(rows: list[dict[str, Any]], name: str) -> float | None:
    """Return the median of a column, None where no row has it."""
    values = [row[name] for row in rows if row[name] is not None]
    return float(np.median(values)) if values else None


def tile_of(row: dict[str, Any]) -> Tile:
    """Return a mockup with its names, or an empty place that says why."""
    if row["error"]:
        return Tile(np.full((256, 256, 3), 245, np.uint8), f"{row['product']}\n{row['template']}: {row['error']}")
    return Tile(decode(storage.read_bytes(row["uri"])), f"{row['product']}\n{row['template']}")
