"""What a run is asked to paint: cells, each a recipe and what it starts from, checked before any work."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core.contracts import Recipe
from gencv.core.errors import BadImage, BadInput, GencvError
from gencv.core.manifest import Manifest
from gencv.diffusion.checks import MAX_SIDE_PX
from gencv.diffusion.painter import DiffusionPainter, groups
from gencv.diffusion.sweep import MAX_CELLS, recipe_of, sweep

CELLS_SCHEMA = pa.schema(
    [
        ("cell", pa.int32()),
        ("recipe", pa.string()),
        *((name, pa.string()) for name in ("parent", "uri", "group")),
        ("place", pa.int32()),
    ]
)
RECIPE_COLUMNS = [
    *((name, pa.string()) for name in ("prompt", "negative_prompt")),
    *((name, pa.int64()) for name in ("seed", "num_inference_steps")),
    *((name, pa.float64()) for name in ("guidance_scale", "strength")),
    ("scheduler", pa.string()),
    *((name, pa.int32()) for name in ("width", "height")),
    ("model", pa.string()),
]
PICTURES_SCHEMA = pa.schema(
    [
        ("cell", pa.int32()),
        *((name, pa.string()) for name in ("path", "id", "error", "detail", "finish_reason", "notes")),
        *RECIPE_COLUMNS,
        *((name, pa.string()) for name in ("weights", "parent", "group")),
        *((name, pa.int32()) for name in ("row", "batch")),
    ]
)
SOURCE_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.int8()),
        *((name, pa.string()) for name in ("generator", "family", "group", "caption", "parent", "recipe")),
    ]
)


@dataclass(frozen=True)
class Start:
    """A file to start from: its id, where it lies, or its row in the manifest, and the group that it belongs to."""

    id: str
    uri: str = ""
    place: int | None = None
    group: str = ""


Asked = tuple[Recipe | GencvError, Start | None]
"""What a cell asks for, or why that is no recipe, and what it starts from."""
Axes = Mapping[str, Sequence[Any]]
"""What `sweep` takes."""


def of_entries(entries: Iterable[Any], base: Recipe, axes: Axes, start: Start | None = None) -> Iterator[Asked]:
    """Give the recipes of a file's entries, each swept over the axes that it leaves open."""
    for entry in entries:
        try:
            recipe = recipe_of(entry, base)
        except GencvError as error:
            yield error, start
            continue
        left = {name: values for name, values in axes.items() if name not in entry}
        yield from ((one, start) for one in sweep(recipe, left | {"seed": seeds_from(recipe.seed, axes)}))


def of_manifest(manifest: Manifest, base: Recipe, axes: Axes) -> Iterator[Asked]:
    """Give every recipe of the sweep for every picture; its caption is the prompt where the sweep has none.

    A picture's seeds are its own. A row with an error is a cell with that error.
    """
    columns = (manifest[name] for name in ("id", "error", "group", "caption"))
    for place, (row_id, error, group, captions) in enumerate(zip(*columns, strict=True)):
        start = Start(row_id, place=place, group=group or row_id)
        if error is not None:
            yield BadImage(error), start
            continue
        own = replace(base, prompt=(captions or [""])[0])
        seeds = seeds_from(base.seed + int(row_id[:7], 16), axes)
        yield from ((one, start) for one in sweep(own, {**axes, "seed": seeds}))


def seeds_from(first: int, axes: Axes) -> list[int]:
    """Return the seeds of the axes, moved so that they begin with `first`."""
    given = axes.get("seed") or (first,)
    return [first + seed - given[0] for seed in given]


def gathered(asked: Iterable[Asked]) -> list[Asked]:
    """Return all cells of a run. Raises BadInput for more than MAX_CELLS, before the others are made."""
    found = list(islice(asked, MAX_CELLS + 1))
    if len(found) > MAX_CELLS:
        raise BadInput(f"More than {MAX_CELLS:,} pictures are asked for; so many are accepted in one run.")
    return found


def plan(painter: DiffusionPainter, asked: Sequence[Asked], *, has_mask: bool = False) -> tuple[pa.Table, pa.Table]:
    """Check every cell; returns those to paint, rows of CELLS_SCHEMA, and those that cannot be, of PICTURES_SCHEMA.

    Cells that can share a batch stand together.
    """
    good: list[tuple[int, Recipe, Start | None]] = []
    bad = []
    for cell, (recipe, start) in enumerate(asked):
        try:
            if isinstance(recipe, GencvError):
                raise recipe
            good.append((cell, filled_in(painter, recipe, start, has_mask=has_mask), start))
        except GencvError as error:
            told = held(recipe) if isinstance(recipe, Recipe) else {}
            origin = {"parent": start.id, "group": start.group} if start else {}
            bad.append({**told, **origin, "cell": cell, **told_of(error)})
    order = [row for rows in groups([recipe for _, recipe, _ in good], range(len(good))) for row in rows]
    rows = [
        {"cell": cell, "recipe": json.dumps(recipe.to_dict()), **of_start(start)}
        for cell, recipe, start in (good[row] for row in order)
    ]
    return pa.Table.from_pylist(rows, CELLS_SCHEMA), pa.Table.from_pylist(bad, PICTURES_SCHEMA)


def filled_in(painter: DiffusionPainter, recipe: Recipe, start: Start | None, *, has_mask: bool = False) -> Recipe:
    """Fill in a recipe. Picture and mask are cut to the recipe's size, so only whether there are some counts."""
    sides = recipe.height or painter.size_px, recipe.width or painter.size_px
    height, width = (min(max(side, 1), MAX_SIDE_PX) for side in sides)
    blank = np.broadcast_to(np.uint8(0), (height, width, 3)) if start else None
    return painter.complete([recipe], init=blank, mask=np.broadcast_to(True, (height, width)) if has_mask else None)[0]


def of_start(start: Start | None) -> dict[str, Any]:
    return {"parent": start.id, "uri": start.uri, "place": start.place, "group": start.group} if start else {}


def held(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's fields; None for one that no column can hold, as a width of 2**40, which its error names."""
    found = {}
    for name, kind in RECIPE_COLUMNS:
        try:
            found[name] = pa.scalar(getattr(recipe, name), kind).as_py()
        except (pa.ArrowException, OverflowError, ValueError):
            found[name] = None
    return found


def told_of(error: GencvError) -> dict[str, str]:
    """Return the columns that say an error; of a picture its code."""
    kind = error.code if isinstance(error, BadImage) else type(error).__name__
    # A sentence repeats what it was given, perhaps half a character, which no column holds.
    return {"error": kind, "detail": str(error).encode("utf-8", "backslashreplace").decode()}


def recipe_in(row: dict[str, Any]) -> Recipe:
    """Return the recipe of a row of PICTURES_SCHEMA."""
    return Recipe(**{name: row[name] for name, _ in RECIPE_COLUMNS})


def source_of(table: pa.Table, painter: str) -> pa.Table:
    """Return what was painted as a table that `manifest` takes as a source; variants stay in their parent's group.

    table: rows of PICTURES_SCHEMA.
    """
    rows = [
        {
            "path": row["path"],
            "label": 1,
            "generator": painter.rpartition("/")[2],
            "family": "diffusion",
            "group": row["group"] or row["parent"] or row["id"],
            "caption": row["prompt"],
            "parent": row["parent"],
            "recipe": recipe_in(row).digest(),
        }
        for row in table.to_pylist()
        if row["path"]
    ]
    return pa.Table.from_pylist(rows, SOURCE_SCHEMA)
