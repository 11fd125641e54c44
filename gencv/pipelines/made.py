"""A mockup as a row: written into a run's folder; or why there is none."""

from typing import Any

import pyarrow as pa

from gencv.core import storage
from gencv.core.contracts import CONTENT_FILTERED
from gencv.core.errors import BadImage, ContentFiltered, GencvError
from gencv.mockup.making import Made

PICTURES = "pictures"
TEMPLATE, SCENE = "template", "scene"
"""Kinds of mockups."""
PICTURES_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("product", "template", "kind", "error", "detail", "path", "cut")),
        *((name, pa.int32()) for name in ("width", "height")),
        *((name, pa.float64()) for name in ("colour_shift", "coverage", "sharpness", "dpi", "halo", "growth")),
        ("interior_difference", pa.int32()),
        ("watermarked", pa.bool_()),
        *((name, pa.string()) for name in ("prompt", "finish_reason", "notes")),
        ("seed", pa.int64()),
        ("tries", pa.int32()),
    ]
)
"""`template` is the name of a template or of a scene, as `kind` says; the last five are of scenes. `path` starts from
the run's folder, `notes` has a sentence a line, and a figure that was not measured is None."""


def write(out: str, row: dict[str, Any], made: Made | GencvError) -> dict[str, Any]:
    """Write a mockup into a run's folder, and return its row; where there is none, its row with why.

    row: what is known of it: product, template, kind. Raises BadInput where the folder cannot be written.
    """
    if isinstance(made, GencvError):
        return row | told_of(made)
    path = f"{PICTURES}/{row['product']}--{row['template']}.png"  # a product's name has no "--"
    storage.write_bytes(storage.join(out, path), made.file)
    return row | made.fidelity.to_dict() | made.facts | {"path": path}


def told_of(error: GencvError) -> dict[str, str]:
    """Return the columns that say why a mockup could not be made."""
    code = error.code if isinstance(error, BadImage) else type(error).__name__
    filtered = {"finish_reason": CONTENT_FILTERED} if isinstance(error, ContentFiltered) else {}
    # A sentence repeats what it was given, perhaps half a character, which no column holds.
    return {"error": code, "detail": str(error).encode("utf-8", "backslashreplace").decode(), **filtered}
