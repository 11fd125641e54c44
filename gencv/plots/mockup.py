"""The catalogue of mockups: every product on every template, and how faithful the pictures are."""

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


def mockup_report(table: pa.Table) -> Report:
    """Show the rows of pipelines.mockup.PICTURES_SCHEMA; pictures are read from their uri."""
    rows = table.to_pylist()
    products = list(dict.fromkeys(row["product"] for row in rows))
    templates = list(dict.fromkeys(row["template"] for row in rows))
    made = [row for row in rows if not row["error"]]
    report = Report("Mockups", f"{len(products):,} products on {len(templates)} templates: {', '.join(templates)}")
    report.headline("Mockups", len(made), f"of {len(rows):,}")
    report.headline("Colour shift", middle(made, "colour_shift"), "median CIEDE2000 of a print to its artwork")
    report.headline("Edges kept", middle(made, "sharpness"), "median share")
    report.headline("Failed", len(rows) - len(made), "rows with an error")
    shown = products[:MAX_PRODUCTS]
    few = "" if len(shown) == len(products) else f" The first {len(shown)} of {len(products):,} products."
    report.section("Catalogue", f"A row is a product, a column a template.{few}")
    by_cell = {(row["product"], row["template"]): row for row in rows}
    for start in range(0, len(shown), PRODUCTS_PER_SHEET):
        some = shown[start : start + PRODUCTS_PER_SHEET]
        for first in range(0, len(templates), MAX_COLUMNS):
            columns = templates[first : first + MAX_COLUMNS]
            tiles = [tile_of(by_cell[product, template]) for product in some for template in columns]
            sheet = draw_tiles(tiles, len(columns), 900, fewest_columns=min(4, len(columns)) if len(shown) > 1 else 2)
            report.figures({f"{', '.join(some)} on {', '.join(columns)}": sheet})
    add_fidelity(report, made, templates)
    return report


def add_fidelity(report: Report, made: list[dict[str, Any]], templates: list[str]) -> None:
    """Add a section with the figures of each template, and a note where prints would be coarse."""
    report.section(
        "Fidelity",
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


def middle(rows: list[dict[str, Any]], name: str) -> float | None:
    """Return the median of a column, None where no row has it."""
    values = [row[name] for row in rows if row[name] is not None]
    return float(np.median(values)) if values else None


def tile_of(row: dict[str, Any]) -> Tile:
    """Return a mockup with its names, or an empty place that says why."""
    if row["error"]:
        return Tile(np.full((256, 256, 3), 245, np.uint8), f"{row['product']}\n{row['template']}: {row['error']}")
    return Tile(decode(storage.read_bytes(row["uri"])), f"{row['product']}\n{row['template']}")
