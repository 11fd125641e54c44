"""Recipes to pictures over a cluster: a row a recipe, each painted once, whatever is killed.

A part is a few batches of recipes that can share them. Its pictures are written under the numbers of their cells before
the part is noted as done, so a part that was killed is painted again, to the same bytes, and no picture comes twice.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Picture, Recipe
from gencv.core.errors import BadImage, BadInput, GencvError, OutOfMemory
from gencv.core.manifest import Manifest, PictureReader, read_checked
from gencv.core.record import picture_id
from gencv.diffusion.painter import DiffusionPainter, groups, load_painter
from gencv.diffusion.replay import How, parameters_of, read_start, to_file
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.provenance.parameters import SourceType

CELLS, PAINTED, PICTURES = "cells.parquet", "painted", "pictures"
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
PART_PX = 8 * 512 * 512
PART_PICTURES = (8, 64)
"""Least and most pictures of a part; between them so many that they have PART_PX together."""


@dataclass(frozen=True)
class Start:
    """A file to start from: its id, where it lies, or its row in the manifest, and the group that it belongs to."""

    id: str
    uri: str = ""
    place: int | None = None
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Painting:
    """How all pictures of a run are painted and written."""

    painter: str
    how: How
    loras: tuple[tuple[str, float], ...] = ()
    manifest: str = ""
    """Folder of the manifest that `Start.place` counts in."""
    mask: str = ""
    """Where the mask lies; "" for none."""
    mask_id: str = ""
    pictures_per_batch: int = 8

    def load(self, device: str) -> DiffusionPainter:
        """Return the painter, which stays loaded for the next call."""
        return _loaded(self.painter, device, self.how.speed, self.loras, self.pictures_per_batch)


@lru_cache(maxsize=1)
def _loaded(
    name: str, device: str, speed: str, loras: tuple[tuple[str, float], ...], batch_size: int
) -> DiffusionPainter:
    merged = [(Path(place), weight) for place, weight in loras]
    return load_painter(name, device=device, speed=speed, loras=merged, batch_size=batch_size)


Asked = tuple[Recipe | GencvError, Start | None]
"""What a cell asks for, or why that is no recipe, and what it starts from."""


def plan(painter: DiffusionPainter, asked: Sequence[Asked]) -> tuple[pa.Table, pa.Table]:
    """Check every cell; returns those to paint, rows of CELLS_SCHEMA, and those that cannot be, of PICTURES_SCHEMA.

    Cells that can share a batch stand together.
    """
    good: list[tuple[int, Recipe, Start | None]] = []
    bad = []
    for cell, (recipe, start) in enumerate(asked):
        try:
            if isinstance(recipe, GencvError):
                raise recipe
            good.append((cell, complete(painter, recipe, start), start))
        except GencvError as error:
            told = recipe.to_dict() if isinstance(recipe, Recipe) else {}
            bad.append({**told, "cell": cell, **told_of(error)})
    order = [row for rows in groups([recipe for _, recipe, _ in good], range(len(good))) for row in rows]
    rows = [
        {"cell": cell, "recipe": json.dumps(recipe.to_dict()), **of_start(start)}
        for cell, recipe, start in (good[row] for row in order)
    ]
    return pa.Table.from_pylist(rows, CELLS_SCHEMA), pa.Table.from_pylist(bad, PICTURES_SCHEMA)


def complete(painter: DiffusionPainter, recipe: Recipe, start: Start | None) -> Recipe:
    """Fill in a recipe. The picture to start from is cut to the recipe's size, so only whether there is one counts."""
    size = recipe.height or painter.size_px, recipe.width or painter.size_px
    blank = np.broadcast_to(np.uint8(0), (*size, 3)) if start and min(size) > 0 else None
    return painter.complete([recipe], init=blank)[0]


def of_start(start: Start | None) -> dict[str, Any]:
    return {"parent": start.id, "uri": start.uri, "place": start.place, "group": start.group} if start else {}


def starts_of(manifest: Manifest) -> Iterator[Start]:
    """Give what each row of a manifest is to start from; rows with an error are left out."""
    columns = (manifest[name] for name in ("id", "error", "group"))
    for place, (row_id, error, group) in enumerate(zip(*columns, strict=True)):
        if error is None:
            yield Start(row_id, place=place, group=group or row_id)


@dataclass(frozen=True)
class ReadStarts:
    """Part number -> its cells, with the pixels that they start from, the mask, and the file."""

    out: str
    painting: Painting

    def __call__(self, part: int) -> pa.Table:
        cells = tables.read_table(storage.join(self.out, CELLS), row_group=part)
        mask = read_checked(self.painting.mask, self.painting.mask_id) if self.painting.mask else None
        if isinstance(mask, BadImage):
            raise BadInput(f"The mask {self.painting.mask} is {mask.code} now; put it back to go on.")
        read = lru_cache(maxsize=2)(self.read)
        starts, masks, files, errors = [], [], [], []
        for row in cells.to_pylist():
            try:
                data = read(row["parent"], row["uri"], row["place"]) if row["parent"] else None
                start, where = read_start(data, mask, Recipe.from_dict(json.loads(row["recipe"])))
                error = None
            except BadImage as bad:
                data, start, where, error = None, None, None, bad.code
            starts.append(None if start is None else start.tobytes())
            masks.append(None if where is None else where.tobytes())
            files.append(data)
            errors.append(error)
        for name, values in (("start", starts), ("mask", masks), ("file", files)):  # a picture a part, not one a cell
            cells = cells.append_column(name, pa.array(values, pa.binary()).dictionary_encode())
        return cells.append_column("error", pa.array(errors, pa.string()))

    def read(self, row_id: str, uri: str, place: int | None) -> bytes:
        """Read a file to start from. Raises BadImage for one that is gone or changed."""
        if place is not None:
            return PictureReader(self.painting.manifest).read(place)
        data = read_checked(uri, row_id)
        if isinstance(data, BadImage):
            raise data
        return data


@dataclass(frozen=True)
class Paint:
    """Load the painter in an actor; its parts become rows of PICTURES_SCHEMA, and files."""

    out: str
    painting: Painting

    def __call__(self, device: str, threads: int) -> InferPart:
        import torch

        # As planned, whoever takes the part: sums over cores round in another order.
        torch.set_num_threads(self.painting.how.threads)
        painter = self.painting.load(device)
        how = replace(self.painting.how, device=device)
        weights = painter.weights()

        def infer(part: pa.Table) -> pa.Table:
            with ThreadPoolExecutor(2) as pool:  # stamps and writes while the next batch is painted
                jobs = [
                    row if picture is None else pool.submit(self.finish, row, picture, file, how, weights)
                    for row, picture, file in painted(painter, part)
                ]
                rows = [job if isinstance(job, dict) else job.result() for job in jobs]
            return pa.Table.from_pylist(rows, PICTURES_SCHEMA)

        return infer

    def finish(
        self, row: dict[str, Any], picture: Picture, file: bytes | None, how: How, weights: str
    ) -> dict[str, Any]:
        """Stamp and write a picture; returns its row."""
        place, size = picture.batch
        facts = {"finish_reason": picture.finish_reason, "notes": " ".join(picture.notes), "weights": weights}
        row = row | picture.recipe.to_dict() | facts | {"row": place, "batch": size}
        if picture.image is None:
            return row
        stated = parameters_of(picture, how, weights=weights, init_id=row["parent"] or "")
        kind = SourceType.PART_GENERATED if how.mask else SourceType.GENERATED
        data = to_file(picture.image, stated, how, ingredient=file, source_type=kind)
        path = f"{PICTURES}/{row['cell']:06d}.{how.format}"
        storage.write_bytes(storage.join(self.out, path), data)
        return row | {"path": path, "id": picture_id(data)}


Painted = tuple[dict[str, Any], Picture | None, bytes | None]
"""A cell's row, its picture, and the file that it began with; no picture where the row has an error."""


def painted(painter: DiffusionPainter, part: pa.Table) -> Iterator[Painted]:
    """Paint the cells of a part, as ReadStarts gives them."""
    rows = part.select(["cell", "recipe", "parent", "group", "error"]).to_pylist()
    starts, masks, files = (shared(part[name]) for name in ("start", "mask", "file"))
    recipes = [Recipe.from_dict(json.loads(row.pop("recipe"))) for row in rows]
    good = [number for number, row in enumerate(rows) if row["error"] is None]
    for number in sorted(set(range(len(rows))) - set(good)):
        told = {"detail": "The picture to start from cannot be read."}
        yield rows[number] | recipes[number].to_dict() | told, None, None
    inits = [np.frombuffer(starts[number] or b"", np.uint8).reshape(*size(recipes[number]), -1) for number in good]
    first = masks[good[0]] if good else None
    mask = np.frombuffer(first, np.bool_).reshape(size(recipes[good[0]])) if first else None
    made = paint(painter, [recipes[number] for number in good], inits if good and starts[good[0]] else None, mask)
    for number, picture in zip(good, made, strict=True):
        if isinstance(picture, Picture):
            yield rows[number], picture, files[number]
        else:
            yield rows[number] | recipes[number].to_dict() | told_of(picture), None, None


def paint(
    painter: DiffusionPainter, recipes: list[Recipe], inits: list[np.ndarray] | None, mask: np.ndarray | None
) -> list[Picture | OutOfMemory]:
    """Paint recipes; where one of them does not fit into memory, each by itself, so that it fails alone."""
    try:
        return list(painter.paint(recipes, init=inits, mask=mask))
    except OutOfMemory as error:
        if len(recipes) == 1:
            return [error]
    alone = [([recipe], [inits[number]] if inits else None) for number, recipe in enumerate(recipes)]
    return [picture for recipe, init in alone for picture in paint(painter, recipe, init, mask)]


def size(recipe: Recipe) -> tuple[int, int]:
    return recipe.height, recipe.width


def shared(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a dictionary column; rows that share one share its bytes."""
    found: list[Any] = []
    for chunk in column.chunks:
        values = chunk.dictionary.to_pylist()
        found += [None if place is None else values[place] for place in chunk.indices.to_pylist()]
    return found


def told_of(error: GencvError) -> dict[str, str]:
    return {"error": type(error).__name__, "detail": str(error)}


def generate(
    painting: Painting, cells: pa.Table, out: str, *, address: str | None = None, workers: int = 0
) -> tuple[pa.Table, dict[str, Any]]:
    """Paint what is missing of `plan`'s cells in `out`; returns rows of PICTURES_SCHEMA, and map_parts' facts."""
    per_part = pictures_per_part(cells)
    tables.write_table(cells, storage.join(out, CELLS), rows_per_group=per_part)
    folder = storage.join(out, PAINTED)
    work = PartWork(
        name="generate",
        out_dir=folder,
        num_parts=-(-cells.num_rows // per_part),
        prepare=ReadStarts(out, painting),
        build=Paint(out, painting),
    )
    done = map_parts(work, address=address, workers=workers)
    return (tables.read_parts(folder) if cells.num_rows else PICTURES_SCHEMA.empty_table()), done


def pictures_per_part(cells: pa.Table) -> int:
    """Return how many cells make a part: fewer where pictures are large."""
    if not cells.num_rows:
        return 1
    largest = max(int(np.prod(size(Recipe.from_dict(json.loads(text))))) for text in set(cells["recipe"].to_pylist()))
    return int(np.clip(PART_PX // largest, *PART_PICTURES))
