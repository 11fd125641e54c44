"""Products times templates and scenes over a cluster: a row a mockup, a part a product.

A product is read, and cut out where that is asked for, once for all its mockups. A mockup that cannot be made is a row
with an error and a sentence, and the others go on. What is no fault of the product, as a storage that fails or an
identity that is of no use, ends the run instead: such a row would never be tried again. Prints are made by `prepare`,
on CPUs; scenes by `infer`, in an actor that holds the painter.
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import DONE, Painter
from gencv.core.errors import BadInput, GencvError
from gencv.core.manifest import read_checked
from gencv.images.decode import decode_layer
from gencv.mockup.cutout import cut_out
from gencv.mockup.render import render
from gencv.mockup.scene import make_scene
from gencv.mockup.scenes import Scene
from gencv.mockup.template import Template
from gencv.mockup.templates import template_of
from gencv.pipelines.made import PICTURES_SCHEMA, SCENE, TEMPLATE, Made, attempt, stamped, told_of, versions, write
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.provenance import identity
from gencv.provenance.parameters import Parameters, SourceType

if TYPE_CHECKING:  # brings torch and diffusers, which prints never need
    from gencv.diffusion.painter import DiffusionPainter

PRODUCTS, MADE = "products.parquet", "made"
PREPARED_SCHEMA = pa.schema(
    [*PICTURES_SCHEMA, ("layer", pa.binary()), ("layer_px", pa.list_(pa.int32())), ("file", pa.binary())]
)
"""Rows of scenes wait for a painter; one of them brings the product's layer and its file."""
ARTS = ("photo", "cutout")
"""What of a product is printed: its photograph, or itself without the background."""


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
class Art:
    """A product, uint8 RGB [H, W, 3] or RGBA, its file, and how it was cut out ("" if it was not)."""

    image: np.ndarray
    file: bytes
    cut: str = ""


def photo_of(file: bytes) -> Art:
    return Art(decode_layer(file), file)


def cutout_of(photo: Art) -> Art:
    found = cut_out(photo.image)
    return Art(found.layer(), photo.file, found.method)


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
            made = attempt(partial(self.print_on, template), cutout if is_cut else photo)
            rows.append(write(self.out, named(product["product"], template.name, TEMPLATE), made))
        found = told_of(cutout) if isinstance(cutout, GencvError) else {"cut": cutout.cut}
        for scene in scenes:
            rows.append(named(product["product"], scene.name, SCENE) | {"prompt": scene.prompt} | found)
        if scenes and isinstance(cutout, Art):
            rows[-1] |= {"layer": cutout.image.tobytes(), "layer_px": cutout.image.shape, "file": cutout.file}
        return pa.Table.from_pylist(rows, PREPARED_SCHEMA if scenes else PICTURES_SCHEMA)

    def print_on(self, template: Template, art: Art) -> Made:
        picture, fidelity = render(template, art.image, fit=self.catalogue.fit)
        parameters = Parameters(
            versions=versions("gencv"),
            extras={
                "template": template.name,
                "template_digest": template.digest(),
                "fit": self.catalogue.fit,
                "art": self.catalogue.art,
            },
        )
        made = stamped(picture, parameters, SourceType.COMPOSITE, fidelity, product=art.file)
        return replace(made, facts=made.facts | {"cut": art.cut})


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
        rows = part.to_pylist()
        layer = next((layer_in(row) for row in rows if row["layer"] is not None), None)
        for place, row in enumerate(rows):
            if layer and row["kind"] == SCENE:
                made = attempt(partial(self.put_into, scenes[row["template"]]), layer)
                rows[place] = write(self.out, row, made)
        return pa.Table.from_pylist(rows, PICTURES_SCHEMA)

    def put_into(self, scene: Scene, layer: Art) -> Made:
        picture, fidelity, facts = make_scene(layer.image, scene, self.painter, seed=self.catalogue.seed)
        recipe = facts.recipe
        parameters = Parameters(
            **recipe.to_dict() | {"model": self.painter.name},
            model_digest=self.weights,
            versions=versions("gencv", "diffusers", "torch"),
            extras={
                "scene": scene.to_dict(),
                "painted_px": [recipe.width, recipe.height],
                "tries": facts.tries,
                "device": self.catalogue.device,
                "speed": self.catalogue.speed,
                "threads": self.catalogue.threads,
            },
        )
        made = stamped(picture, parameters, SourceType.PART_GENERATED, fidelity, product=layer.file, keep=facts.keep)
        told = {"finish_reason": DONE, "notes": "\n".join(facts.notes), "seed": recipe.seed, "tries": facts.tries}
        return replace(made, facts=made.facts | told)


def named(product: str, name: str, kind: str) -> dict[str, Any]:
    return {"product": product, "template": name, "kind": kind}


def layer_in(row: dict[str, Any]) -> Art:
    """Return the layer that a row of PREPARED_SCHEMA brings."""
    return Art(np.frombuffer(row["layer"], np.uint8).reshape(row["layer_px"]), row["file"])


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
