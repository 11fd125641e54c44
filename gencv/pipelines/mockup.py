"""Products times templates and scenes over a cluster: a row a mockup, a part a product.

A product is read, and cut out where that is asked for, once for all its mockups. A mockup that cannot be made is a row
with an error and a sentence, and the others go on. What is no fault of the product, as a storage that fails or an
identity that is of no use, ends the run instead: such a row would never be tried again. Prints are made by `prepare`,
on CPUs; scenes by `infer`, in an actor that holds the painter.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Painter
from gencv.core.errors import BadInput, GencvError
from gencv.core.manifest import read_checked
from gencv.mockup.making import Art, attempt, cutout_of, photo_of, print_on, put_into
from gencv.mockup.scenes import Scene
from gencv.mockup.templates import template_of
from gencv.pipelines.made import PICTURES_SCHEMA, SCENE, TEMPLATE, told_of, write
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.provenance import identity

if TYPE_CHECKING:  # brings torch and diffusers, which prints never need
    from gencv.diffusion.painter import DiffusionPainter

PRODUCTS, MADE = "products.parquet", "made"
PREPARED_SCHEMA = pa.schema(
    [*PICTURES_SCHEMA, ("layer", pa.binary()), ("layer_px", pa.list_(pa.int32())), ("file", pa.binary())]
)
"""Rows of scenes wait for a painter; one of them brings the product's layer and its file."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What is made of every product, and how."""

    templates: tuple[str, ...] = ()
    """Names, or absolute folders."""
    fit: str = "cover"
    art: str = "photo"
    scenes: tuple[Scene, ...] = ()
    """What follows is theirs."""
    painter: str = "starter"
    seed: int = 0
    device: str = "cpu"
    speed: str = "exact"
    threads: int = 1
    """That the painter computes with on CPUs."""
    weights: str = ""
    """Digest of the painter's that the run was begun with; a worker that has others paints nothing. "" for any."""

    def load(self) -> "DiffusionPainter":
        """Return the painter, which stays loaded for the next call."""
        return _loaded(self.painter, self.device, self.speed)


@lru_cache(maxsize=1)
def _loaded(name: str, device: str, speed: str) -> "DiffusionPainter":
    from gencv.diffusion.painter import load_painter

    return load_painter(name, device=device, speed=speed)


@dataclass(frozen=True)
class MakeMockups:
    """Part number -> rows of the product of that number: PICTURES_SCHEMA, or PREPARED_SCHEMA where scenes wait."""

    out: str
    catalogue: Catalogue

    def __call__(self, part: int) -> pa.Table:
        scenes, is_cut = self.catalogue.scenes, self.catalogue.art == "cutout"
        templates = [template_of(name) for name in self.catalogue.templates]
        identity.load()  # here, where it fails the part: a stamp that fails is a row
        (product,) = tables.read_table(storage.join(self.out, PRODUCTS)).slice(part, 1).to_pylist()
        photo = attempt(photo_of, read_checked(product["uri"], product["id"]))
        cutout = attempt(cutout_of, photo) if scenes or is_cut else photo
        rows = []
        for template in templates:
            print_it = partial(print_on, template, fit=self.catalogue.fit, art=self.catalogue.art)
            made = attempt(print_it, cutout if is_cut else photo)
            rows.append(write(self.out, named(product["product"], template.name, TEMPLATE), made))
        found = told_of(cutout) if isinstance(cutout, GencvError) else {"cut": cutout.cut}
        for scene in scenes:
            rows.append(named(product["product"], scene.name, SCENE) | {"prompt": scene.prompt} | found)
        if scenes and isinstance(cutout, Art):
            rows[-1] |= {"layer": cutout.image.tobytes(), "layer_px": cutout.image.shape, "file": cutout.file}
        return pa.Table.from_pylist(rows, PREPARED_SCHEMA if scenes else PICTURES_SCHEMA)


@dataclass(frozen=True)
class PaintScenes:
    """Rows of PREPARED_SCHEMA -> rows of PICTURES_SCHEMA, the waiting scenes made."""

    out: str
    catalogue: Catalogue
    painter: Painter
    weights: str = ""
    """Digest of the painter's."""

    def __call__(self, part: pa.Table) -> pa.Table:
        scenes = {scene.name: scene for scene in self.catalogue.scenes}
        computed = {name: getattr(self.catalogue, name) for name in ("device", "speed", "threads")}
        put = partial(put_into, painter=self.painter, seed=self.catalogue.seed, weights=self.weights, computed=computed)
        rows = part.to_pylist()
        layer = next((layer_in(row) for row in rows if row["layer"] is not None), None)
        for place, row in enumerate(rows):
            if layer and row["kind"] == SCENE:
                made = attempt(partial(put, scenes[row["template"]]), layer)
                rows[place] = write(self.out, row, made)
        return pa.Table.from_pylist(rows, PICTURES_SCHEMA)


def named(product: str, name: str, kind: str) -> dict[str, Any]:
    return {"product": product, "template": name, "kind": kind}


def layer_in(row: dict[str, Any]) -> Art:
    """Return the layer that a row of PREPARED_SCHEMA brings."""
    return Art(np.frombuffer(row["layer"], np.uint8).reshape(row["layer_px"]), row["file"], row["cut"])


@dataclass(frozen=True)
class BuildPainter:
    """Load the painter in an actor."""

    out: str
    catalogue: Catalogue

    def __call__(self, device: str, threads: int) -> InferPart:
        import torch

        # As planned, whoever takes the part: sums over cores round in another order.
        torch.set_num_threads(self.catalogue.threads)
        painter = self.catalogue.load()
        weights = painter.weights()
        if self.catalogue.weights not in ("", weights):
            raise BadInput(f"{painter.name} has other weights on a worker than the run began with; put the same there.")
        return PaintScenes(self.out, self.catalogue, painter, weights)


def bytes_of(painter: "DiffusionPainter") -> int:
    """Return the memory that painting takes: the weights, and, of a scene of usual size, as much again."""
    from gencv.diffusion.painter import PARTS_WITH_WEIGHTS

    networks = [network for name in PARTS_WITH_WEIGHTS if (network := getattr(painter.pipeline, name, None))]
    return 2 * sum(int(tensor.nbytes) for network in networks for tensor in network.state_dict().values())


def make_mockups(
    catalogue: Catalogue,
    products: pa.Table,
    out: str,
    *,
    address: str | None = None,
    workers: int = 0,
    bytes_each: int = 0,
) -> pa.Table:
    """Make what is missing of a catalogue of products, rows of PRODUCTS_SCHEMA, in `out`.

    bytes_each: memory that a painter takes. Returns rows of PICTURES_SCHEMA, ordered by product, then templates, then
    scenes.
    """
    tables.write_table(products, storage.join(out, PRODUCTS))
    folder = storage.join(out, MADE)
    work = PartWork(
        name="mockup",
        out_dir=folder,
        num_parts=products.num_rows,
        prepare=MakeMockups(out, catalogue),
        build=BuildPainter(out, catalogue) if catalogue.scenes else None,
        device=catalogue.device,
        bytes_each=bytes_each,
    )
    map_parts(work, address=address, workers=workers)
    return tables.read_parts(folder)
