"""Recipes to pictures over a cluster: a row a recipe, each painted once, whatever is killed.

A part is a few batches of recipes that can share them. Its pictures are written under the numbers of their cells before
the part is noted as done, so a part that was killed is painted again, to the same bytes, and no picture comes twice.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Picture, Recipe
from gencv.core.errors import BadImage, BadInput, GencvError, NotSupported
from gencv.core.manifest import PictureReader, read_checked
from gencv.core.record import picture_id
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.replay import How, parameters_of, read_start, to_file
from gencv.images.decode import decode
from gencv.pipelines.cells import PICTURES_SCHEMA, told_of
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.provenance import credentials, identity, watermark

CELLS, PAINTED, PICTURES = "cells.parquet", "painted", "pictures"
PART_PX = 8 * 512 * 512
PART_PICTURES = (8, 64)
"""Least and most pictures of a part; between them so many that they have PART_PX together."""
UNMARKED = "The mask is too small for a watermark that can be read."


@dataclass(frozen=True, kw_only=True)
class Painting:
    """How all pictures of a run are painted and written."""

    painter: str
    how: How
    loras: tuple[tuple[Path, float], ...] = ()
    manifest: str = ""
    """Folder of the manifest that `Start.place` counts in."""
    mask: str = ""
    """Where the mask of the id `how.mask` lies; "" for none."""
    pictures_per_batch: int = 8
    weights: str = ""
    """Digest of the painter's that the run was begun with; a worker that has others paints nothing. "" for any."""

    def load(self, device: str) -> DiffusionPainter:
        """Return the painter, which stays loaded for the next call."""
        return _loaded(self.painter, device, self.how.speed, self.loras, self.pictures_per_batch)


@lru_cache(maxsize=1)
def _loaded(
    name: str, device: str, speed: str, loras: tuple[tuple[Path, float], ...], batch_size: int
) -> DiffusionPainter:
    return load_painter(name, device=device, speed=speed, loras=loras, batch_size=batch_size)


@dataclass(frozen=True)
class ReadStarts:
    """Part number -> its cells, with the pixels that they start from, the mask, and the file."""

    out: str
    painting: Painting

    def __call__(self, part: int) -> pa.Table:
        cells = tables.read_table(storage.join(self.out, CELLS), row_group=part)
        mask = read_checked(self.painting.mask, self.painting.how.mask) if self.painting.mask else None
        if isinstance(mask, BadImage):
            raise BadInput(f"The mask {self.painting.mask} is {mask.code} now; put it back to go on.")

        @lru_cache(maxsize=2)  # cells beside each other begin with the same picture
        def began(row_id: str, uri: str, place: int | None, width: int, height: int) -> dict[str, Any]:
            try:
                data = self.read(row_id, uri, place)
                start, where = read_start(data, mask, (width, height))
            except BadImage as error:
                return {"error": error.code, "detail": f"The picture to start from cannot be read: {error}."}
            except BadInput as error:
                return told_of(error)
            return {"start": start.tobytes(), "mask": None if where is None else where.tobytes(), "file": data}

        found = [
            began(row["parent"], row["uri"], row["place"], recipe.width, recipe.height) if row["parent"] else {}
            for row, recipe in zip(cells.to_pylist(), recipes_in(cells), strict=True)
        ]
        for name in ("start", "mask", "file"):
            cells = cells.append_column(name, shared_column([one.get(name) for one in found]))
        for name in ("error", "detail"):
            cells = cells.append_column(name, pa.array([one.get(name) for one in found], pa.string()))
        return cells

    def read(self, row_id: str, uri: str, place: int | None) -> bytes:
        """Read a file to start from. Raises BadImage for one that is gone or changed."""
        if place is not None:
            return _reader(self.painting.manifest).read(place)
        data = read_checked(uri, row_id)
        if isinstance(data, BadImage):
            raise data
        return data


@lru_cache(maxsize=1)
def _reader(manifest: str) -> PictureReader:
    return PictureReader(manifest)


def recipes_in(cells: pa.Table) -> list[Recipe]:
    return [Recipe.from_dict(json.loads(text)) for text in cells["recipe"].to_pylist()]


def shared_column(values: list[bytes | None]) -> pa.DictionaryArray:
    """Return values as a column that holds what comes again once, and held it no more often on the way."""
    places: dict[bytes, int] = {}
    indices = [None if value is None else places.setdefault(value, len(places)) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(places), pa.large_binary()))


def shared_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a `shared_column`; rows that share one share its bytes."""
    found: list[Any] = []
    for chunk in column.chunks:
        values = chunk.dictionary.to_pylist()
        found += [None if place is None else values[place] for place in chunk.indices.to_pylist()]
    return found


@dataclass(frozen=True)
class PaintParts:
    """Load the painter in an actor; its parts become rows of PICTURES_SCHEMA, and files.

    It paints on the device and with the threads that were planned, whoever takes the part, since sums round otherwise
    on others. Raises NotSupported where a GPU was planned and there is none.
    """

    out: str
    painting: Painting

    def __call__(self, device: str, threads: int) -> InferPart:
        import torch

        how = self.painting.how
        if how.device == "cuda" and device != "cuda":
            raise NotSupported("These pictures are painted on a GPU, and a worker has none; go on where all have one.")
        torch.set_num_threads(how.threads)
        painter = self.painting.load(how.device)
        how = replace(how, loras=painter.loras)
        weights = painter.weights()
        if self.painting.weights not in ("", weights):
            raise BadInput(f"{painter.name} has other weights on a worker than the run began with; put the same there.")
        identity.load()  # here, where it fails the part: a stamp that fails is a row

        def infer(part: pa.Table) -> pa.Table:
            with ThreadPoolExecutor(2) as pool:  # stamps and writes while the next batch is painted
                jobs = [
                    made.row if made.picture is None else pool.submit(self.finish, made, made.picture, how, weights)
                    for made in paint_cells(painter, part)
                ]
                rows = [job if isinstance(job, dict) else job.result() for job in jobs]
            return pa.Table.from_pylist(rows, PICTURES_SCHEMA)

        return infer

    def finish(self, made: "Made", picture: Picture, how: How, weights: str) -> dict[str, Any]:
        """Stamp and write a picture; returns its row."""
        place, size = picture.batch
        facts = {"finish_reason": picture.finish_reason, "notes": " ".join(picture.notes), "weights": weights}
        row = made.row | picture.recipe.to_dict() | facts | {"row": place, "batch": size}
        if picture.image is None:
            return row
        stated = parameters_of(picture, how, weights=weights, init_id=row["parent"] or "")
        known = made.file if made.file and credentials.can_hold(made.file) else None  # a BMP is named by its id alone
        try:
            data = to_file(picture.image, stated, how, mask=made.mask, ingredient=known)
        except BadInput as error:  # too small for a watermark, or its texts too long for a JPEG
            return row | told_of(error)
        if how.watermark and made.mask is not None and watermark.detect(decode(data)).payload != stated.payload:
            row["notes"] = " ".join([*picture.notes, UNMARKED])
        path = f"{PICTURES}/{row['cell']:06d}.{how.format}"
        storage.write_bytes(storage.join(self.out, path), data)
        return row | {"path": path, "id": picture_id(data)}


class Made(NamedTuple):
    """What came of a cell."""

    row: dict[str, Any]
    picture: Picture | None = None
    """None where the row has an error."""
    file: bytes | None = None
    """What it began with."""
    mask: np.ndarray | None = None
    """bool [H, W], True where it was painted anew."""


def paint_cells(painter: DiffusionPainter, part: pa.Table) -> Iterator[Made]:
    """Paint the cells of a part, as ReadStarts gives them."""
    rows = part.select(["cell", "parent", "group", "error", "detail"]).to_pylist()
    starts, masks, files = (shared_values(part[name]) for name in ("start", "mask", "file"))
    recipes = recipes_in(part)
    of_size: dict[tuple[int, int], list[int]] = {}  # which share a mask
    for number, (row, recipe) in enumerate(zip(rows, recipes, strict=True)):
        if row["error"] is None:
            of_size.setdefault(size(recipe), []).append(number)
        else:
            yield Made(row | recipe.to_dict())
    for shape, numbers in of_size.items():
        given = [starts[number] for number in numbers]
        inits = [np.frombuffer(one, np.uint8).reshape(*shape, 3) for one in given if one is not None]
        where = masks[numbers[0]]
        mask = None if where is None else np.frombuffer(where, np.bool_).reshape(shape)
        found = paint_each(painter, [recipes[number] for number in numbers], inits or None, mask)
        for number, picture in zip(numbers, found, strict=True):
            if isinstance(picture, Picture):
                yield Made(rows[number], picture, files[number], mask)
            else:
                yield Made(rows[number] | recipes[number].to_dict() | told_of(picture))


def paint_each(
    painter: DiffusionPainter, recipes: list[Recipe], inits: list[np.ndarray] | None, mask: np.ndarray | None
) -> Iterator[Picture | GencvError]:
    """Give a picture or an error for each recipe; where a batch fails, the rest one by one, so that one fails alone."""
    done = 0
    try:
        for picture in painter.paint(recipes, init=inits, mask=mask):
            yield picture
            done += 1
    except GencvError as error:
        if len(recipes) == 1:
            yield error
            return
    for number in range(done, len(recipes)):
        alone = slice(number, number + 1)
        yield from paint_each(painter, recipes[alone], inits[alone] if inits else None, mask)


def size(recipe: Recipe) -> tuple[int, int]:
    return recipe.height, recipe.width


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
        build=PaintParts(out, painting),
        device=painting.how.device,
    )
    done = map_parts(work, address=address, workers=workers)
    return (tables.read_parts(folder) if cells.num_rows else PICTURES_SCHEMA.empty_table()), done


def pictures_per_part(cells: pa.Table) -> int:
    """Return how many cells make a part: fewer where pictures are large."""
    if not cells.num_rows:
        return 1
    largest = max(int(np.prod(size(recipe))) for recipe in recipes_in(cells))
    return int(np.clip(PART_PX // largest, *PART_PICTURES))
