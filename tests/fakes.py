"""Things that tests make: pictures, manifests, and an encoder that a person can predict."""

import asyncio
import json
import sqlite3
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.calibrator import Calibrator
from gencv.core.contracts import CONTENT_FILTERED, DONE, Picture, Recipe
from gencv.core.embeddings import SPACE, VECTORS, Space, vector_column, vector_schema
from gencv.core.errors import BadInput
from gencv.core.manifest import SCHEMA, Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split, picture_id
from gencv.images.decode import decode
from gencv.images.degrade import encode_png
from gencv.images.transform import Transform
from gencv.mockup.fidelity import Fidelity
from gencv.mockup.making import Made
from gencv.services.orders import Accepted, Event, MockupOrder, Order, Painted, Stepped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gencv.evaluate.evaluation import Terms
    from gencv.models.probes import Labelled


def rows(count: int, **columns: Any) -> pa.Table:
    """Make `count` manifest rows; a column is one value for all rows, or a list."""
    base: dict[str, Any] = {
        "id": [f"{index:032x}" for index in range(count)],
        "uri": [f"/pictures/{index}.jpg" for index in range(count)],
        "label": [index % 2 for index in range(count)],
        "generator": ["sd" if index % 2 else "camera" for index in range(count)],
        "family": ["diffusion" if index % 2 else "real" for index in range(count)],
        "source": "test",
        "group": [f"g{index}" for index in range(count)],
        "split": "train",
        "caption": [[]] * count,
    }
    base.update(columns)
    full = {name: value if isinstance(value, list) else [value] * count for name, value in base.items()}
    return pa.Table.from_pylist([{name: value[i] for name, value in full.items()} for i in range(count)], SCHEMA)


def manifest(count: int, **columns: Any) -> Manifest:
    return Manifest(rows(count, **columns))


def picture(seed: int, width: int = 96, height: int = 72) -> np.ndarray:
    """Make a smooth picture with some texture, uint8 RGB [H, W, 3], another one for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 32
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-3, 3, (3, 3))]
    return np.clip(np.stack(waves, -1) * 80 + 128 + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int, *, first: int = 0, size: tuple[int, int] = (96, 72)) -> list[Path]:
    """Write `count` JPEG pictures."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.jpg" for index in range(first, first + count)]
    for index, path in enumerate(paths, first):
        Image.fromarray(picture(index, *size)).save(path, quality=90)
    return paths


def manifest_of(paths: list[Path], **columns: Any) -> Manifest:
    """Make a manifest of files that stay where they are."""
    ids = [picture_id(path.read_bytes()) for path in paths]
    return manifest(len(paths), id=ids, uri=[str(path) for path in paths], **columns)


def write_embeddings(of: Manifest, vectors: np.ndarray, folder: Path, *, weights: str = "w") -> None:
    """Write vectors [N, D] of a manifest as `embed` does."""
    of.save(str(folder))
    columns = {"id": of["id"], "vector": vector_column(vectors)}
    schema = vector_schema(vectors.shape[1])
    table = pa.table({name: columns.get(name, [None] * len(of)) for name in schema.names}, schema)
    for part in range(of.num_parts):
        rows = table.slice(part * tables.ROWS_PER_PART, tables.ROWS_PER_PART)
        tables.write_table(rows, tables.part_path(str(folder / VECTORS), part))
    space = Space(encoder="fake", weights=weights, dim=vectors.shape[1], transform={})
    storage.write_bytes(str(folder / SPACE), json.dumps(space.to_dict()).encode())


def terms(*, threshold: float = 0.5, name: str = "eer", **facts: Any) -> "Terms":
    """Make the terms of an evaluation at some threshold."""
    from gencv.evaluate.evaluation import Terms
    from gencv.evaluate.thresholds import Threshold

    known: dict[str, Any] = {
        "title": "t",
        "task": "generated",
        "labels": ("real", "generated"),
        "split": Split.TEST,
        "threshold": Threshold(name, threshold, 0.1, 0.1, 50, 50),
        "calibrator": Calibrator(prior=0.5),
        "band": None,
        "fitted_on": "m",
    }
    return Terms(**{**known, **facts})


def write_evaluation(folder: Path, of: Manifest, scores: np.ndarray, **facts: Any) -> None:
    """Write scores [N] of a manifest as `evaluate` leaves them. facts: what `terms` takes."""
    of.save(str(folder))
    answers = pa.table({"score": pa.array(scores, mask=np.isnan(scores)), "error": of.table["error"]})
    tables.write_table(Predictions.of(of.table, answers).table, str(folder / "predictions.parquet"))
    terms(**facts).save(str(folder))
    (folder / "metrics.json").write_text("{}")


def blobs(count: int, seed: int, *, gap: float = 0.5) -> "Labelled":
    """Two noisy directions on the unit sphere, 32-d."""
    from gencv.models.probes import Labelled

    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int8)
    vectors = rng.normal(size=(count, 32)).astype(np.float32)
    vectors[:, 0] += (labels * 2 - 1) * gap * 4
    return Labelled(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels)


def texts_of(figure: "Figure") -> str:
    """Return all that is written in a figure, a text a line."""
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def index_rows(count: int, *, dim: int = 8, seed: int = 0, **columns: Any) -> pa.Table:
    """Make `count` rows of an index as `layout.row_schema` has them, with unit vectors; columns as in `rows`."""
    from gencv.index.layout import row_schema

    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = rows(count, **{"width": 96, "height": 72, **columns})
    extra = {
        "digest": [f"{seed}-{index}" for index in range(count)],
        "vector": vector_column(vectors),
        "thumbnail": [b"jpeg"] * count,
    }
    schema = row_schema(index_space(dim))
    return pa.table(
        {name: extra.get(name, made[name] if name in made.column_names else None) for name in schema.names}, schema
    )


def index_space(dim: int = 8, *, weights: str = "w") -> Space:
    return Space(encoder="fake", weights=weights, dim=dim, transform={})


class WordEncoder:
    """An encoder that knows red, green, and blue: the mean colour of pixels, and the colour words of a text.

    Every other word points into a direction of its own, away from all pictures.
    """

    colours = ("red", "green", "blue")

    def __init__(self, dim: int = 16, weights: str = "w") -> None:
        self.space = Space(encoder="words", weights=weights, dim=dim, transform={})
        self.num_texts = 0

    def transform(self, image: np.ndarray) -> np.ndarray:
        return image

    def images(self, pixels: np.ndarray) -> np.ndarray:
        vectors = np.zeros((len(pixels), self.space.dim), np.float32)
        vectors[:, :3] = pixels.mean(axis=(1, 2))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def texts(self, texts: list[str]) -> np.ndarray:
        self.num_texts += len(texts)
        vectors = np.zeros((len(texts), self.space.dim), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().rstrip(".").split():
                known = word in self.colours
                place = self.colours.index(word) if known else 3 + zlib.crc32(word.encode()) % (self.space.dim - 3)
                vectors[row, place] += 1.0
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


COLOURS = {"red": (220, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220)}


class ColourEncoder:
    """A picture is its mean colour, a text the colours it names; everything else is one more direction."""

    space = Space(encoder="fake", weights="w", dim=4, transform={})
    transform = Transform(
        size_px=32, resize_px=32, resize="squash", interpolation="bicubic", mean=(0,) * 3, std=(1,) * 3
    )

    def images(self, pixels: np.ndarray) -> np.ndarray:
        means = pixels.reshape(len(pixels), -1, 3).mean(axis=1)
        return unit(np.concatenate([means, np.full((len(pixels), 1), 10)], axis=1))

    def texts(self, texts: list[str]) -> np.ndarray:
        return unit(np.array([[*(name in text for name in COLOURS), 0.1] for text in texts], float))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def colour_png(name: str, number: int = 0) -> bytes:
    """Make a picture of a colour of COLOURS, another one for every number."""
    pixels = np.array(COLOURS[name]) + np.random.default_rng(number).normal(0, 3, (48, 64, 3))
    return encode_png(np.clip(pixels, 0, 255).astype(np.uint8))


def colour_index(folder: Path | str, names: Sequence[str], *, preprocessing: dict[str, Any] | None = None) -> list[str]:
    """Write an index of pictures `colour_png(name, row)`; returns their ids."""
    from gencv.images.thumbnail import thumbnail
    from gencv.index.layout import row_schema
    from gencv.index.table import update

    files = [colour_png(name, row) for row, name in enumerate(names)]
    images = [decode(data) for data in files]
    space = replace(ColourEncoder.space, preprocessing=preprocessing)
    vectors = ColourEncoder().images(np.stack([ColourEncoder.transform(image) for image in images]))
    said = {"generator": list(names), "caption": [[f"a {name} wall"] for name in names], "width": 64, "height": 48}
    ids = [picture_id(data) for data in files]
    columns = index_rows(len(names), dim=space.dim, id=ids, **said).drop_columns(["vector", "thumbnail"])
    extra = {"vector": vector_column(vectors), "thumbnail": [thumbnail(image) for image in images]}
    schema = row_schema(space)
    table = pa.table({name: extra[name] if name in extra else columns[name] for name in schema.names}, schema)
    update(str(folder), space, [table], set(ids))
    return ids


class GreenReranker:
    """A reranker to which the greener picture fits better, whatever is asked: P(match) is its mean green by 255."""

    def __init__(self, name: str = "green") -> None:
        self.name, self.num_seen = name, 0

    def scores(self, text: str, images: Sequence[np.ndarray]) -> np.ndarray:
        self.num_seen += len(images)
        return np.array([image[..., 1].mean() / 255 for image in images], np.float32)


class FakePainter:
    """A painter that gives back what it starts from, but for three things that a person can predict.

    tint: added to what it paints anew. grows: seeds at which it continues the product by `grown_px`, in the product's
    mean colour. A prompt with the word "forbidden" is filtered.
    """

    name = "fake"

    def __init__(self, size_px: int = 96, *, tint: int = 0, grows: Sequence[int] = (), grown_px: int = 9) -> None:
        self.size_px, self.factor = size_px, 8
        self.tint, self.grows, self.grown_px = tint, grows, grown_px
        self.asked: list[Recipe] = []

    def paint(
        self, recipes: Sequence[Recipe], *, init: Any = None, mask: np.ndarray | None = None, **more: Any
    ) -> Iterator[Picture]:
        assert isinstance(init, np.ndarray) and mask is not None and mask.shape == init.shape[:2]
        for recipe in recipes:
            assert init.shape == (recipe.height, recipe.width, 3)
            self.asked.append(recipe)
            if "forbidden" in recipe.prompt:
                yield Picture(None, recipe, CONTENT_FILTERED, ("Not painted: it is forbidden.",))
                continue
            image = init.copy()
            image[mask] = np.clip(init[mask].astype(int) + self.tint, 0, 255)
            if recipe.seed in self.grows:
                side = 2 * self.grown_px + 1
                image[cv2.dilate((~mask).astype(np.uint8), np.ones((side, side), np.uint8)) > 0] = init[~mask].mean(0)
                image[~mask] = init[~mask]
            yield Picture(image, recipe)


def disc_layer(side: int = 80, radius: float = 34) -> np.ndarray:
    """Make a product: a textured reddish disc with a soft edge, uint8 RGBA [S, S, 4]."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    colour = picture(3, side, side) // 4 + np.array([150, 20, 20], np.uint8)
    return np.dstack([colour, (255 * alpha).round().astype(np.uint8)]).astype(np.uint8)


class MemoryIndex:
    """A table of pictures in memory, exact, with the methods of `Index`; SQLite evaluates filters.

    losses: share of the hits that a search through the index loses, others for each k, as an approximate one does.
    """

    def __init__(self, vectors: np.ndarray, space: Space, *, losses: float = 0.0, **columns: list[Any]) -> None:
        self.vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
        self.space, self.version, self.losses, self.num_rows = space, 3, losses, len(vectors)
        self.identity = "00000000000000aa"
        self.ids = columns.pop("id", [f"p{row:05d}" for row in range(len(vectors))])
        self.captions: list[list[str]] = columns.pop("caption", [[] for _ in self.ids])
        self.pictures = {name: columns.pop(name, [None] * len(vectors)) for name in ("uri", "thumbnail")}
        table = pa.table({"id": self.ids, **columns})
        self.columns = dict(zip(table.schema.names, table.schema.types, strict=True))
        self.table = sqlite3.connect(":memory:")
        self.table.execute(f"CREATE TABLE pictures ({', '.join(self.columns)})")
        marks = ", ".join("?" * len(self.columns))
        self.table.executemany(f"INSERT INTO pictures VALUES ({marks})", zip(*table.to_pydict().values(), strict=True))

    def nearest(self, vector: np.ndarray, k: int, *, where: str = "", exact: bool = False) -> pa.Table:
        cosines = self.vectors @ np.asarray(vector, np.float32)
        rows = self._rows_where(where)
        if self.losses and not exact:
            rows = rows[np.random.default_rng(k).random(len(rows)) >= self.losses]
        return self._best({self.ids[row]: float(cosines[row]) for row in rows}, k)

    def match(self, text: str, k: int, *, where: str = "") -> pa.Table:
        words = set(text.lower().split())
        counts = {
            row: len(words & set(" ".join(self.captions[row]).lower().split())) for row in self._rows_where(where)
        }
        return self._best({self.ids[row]: float(count) for row, count in counts.items() if count}, k)

    def rows(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        if missing := set(ids) - set(self.ids):
            raise BadInput(f"The index has no picture {min(missing)!r}.")
        held = {"id": self.ids, "vector": vector_column(self.vectors), "caption": self.captions, **self.pictures}
        return pa.table(held).take([self.ids.index(one) for one in ids]).select(columns or ["id", "caption"])

    def _rows_where(self, where: str) -> np.ndarray:
        condition = f" WHERE {where}" if where else ""
        found = self.table.execute(f"SELECT rowid - 1 FROM pictures{condition} ORDER BY rowid").fetchall()
        return np.array([row for (row,) in found], int)

    def _best(self, scores: dict[str, float], k: int) -> pa.Table:
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
        kinds = pa.schema([("id", pa.string()), ("score", pa.float32())])
        return pa.table({"id": [name for name, _ in best], "score": [score for _, score in best]}, kinds)


class FakePainters:
    """Painters that give a small PNG for each recipe, as many as `may` lets them.

    refuses: what `check` raises. fails: raised one by one in place of the next pictures. hides: seeds of pictures that
    are not shown.
    """

    def __init__(self, may: int = 1_000, *, refuses: Exception | None = None, hides: Sequence[int] = ()) -> None:
        self.may = asyncio.Semaphore(may)
        self.refuses, self.hides = refuses, hides
        self.fails: list[Exception] = []
        self.checked: list[Any] = []
        self.orders: list[Any] = []
        self.seeds: list[int] = []
        self.at_work = 0

    async def check(self, model: str, order: Any) -> None:
        self.checked.append(order)
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses

    async def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        self.orders.append(order)
        self.at_work += 1
        try:
            yield Accepted(0, None, 64, 64, 1)
            for place, recipe in enumerate(order.recipes):
                yield Stepped(2 * place + 1, 2 * len(order.recipes))
                await self.may.acquire()
                if self.fails:
                    raise self.fails.pop(0)
                self.seeds.append(recipe.seed)
                hidden = recipe.seed in self.hides
                reason, notes = (CONTENT_FILTERED, ("Not shown.",)) if hidden else (DONE, ())
                yield Painted(place, recipe, recipe.digest(), reason, None if hidden else png(recipe.seed), notes)
        finally:
            self.at_work -= 1

    async def mockup(self, model: str, order: MockupOrder) -> Made:
        self.orders.append(order)
        self.at_work += 1
        try:
            await self.may.acquire()
        finally:
            self.at_work -= 1
        return Made(
            png(order.seed), Fidelity(halo=0.5), {"width": 16, "height": 16, "watermarked": False, "cut": "key"}
        )

    async def verify(self, data: bytes) -> dict[str, Any]:
        return {}

    async def ready(self) -> dict[str, Any]:
        return {}


def png(seed: int) -> bytes:
    return encode_png(picture(seed, 16, 16))
