"""Products times templates and scenes over a cluster: a row a mockup, a part a product.

A product is read, and cut out where that is asked for, once for all its mockups. A mockup that fails is a row with an
error and a sentence; the others go on. Prints are made by `prepare`, on CPUs; scenes by `infer`, in an actor that holds
the painter.
"""

import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import CONTENT_FILTERED, DONE, Painter
from gencv.core.errors import BadImage, BadInput, ContentFiltered, GencvError
from gencv.core.manifest import read_checked, read_image
from gencv.core.record import picture_id
from gencv.datasets.folder import SUFFIXES, pictures_below
from gencv.images.decode import decode, decode_layer
from gencv.mockup.cutout import cut_out
from gencv.mockup.fidelity import Fidelity, largest_difference
from gencv.mockup.render import render
from gencv.mockup.scene import Facts, make_scene
from gencv.mockup.scenes import Scene
from gencv.mockup.templates import template_of
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.provenance import credentials, stamp, watermark
from gencv.provenance.parameters import Parameters, SourceType

PRODUCTS = "products.parquet"
PRODUCTS_SCHEMA = pa.schema([("product", pa.string()), ("uri", pa.string()), ("id", pa.string())])
MADE = "made"
PICTURES = "pictures"
TEMPLATE, SCENE = "template", "scene"
"""Kinds of mockups."""
PICTURES_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("product", "template", "kind", "error", "detail", "uri", "cut")),
        *((name, pa.int32()) for name in ("width", "height")),
        *((name, pa.float64()) for name in ("colour_shift", "coverage", "sharpness", "dpi", "halo", "growth")),
        ("interior_difference", pa.int32()),
        ("watermarked", pa.bool_()),
        *((name, pa.string()) for name in ("prompt", "finish_reason", "notes")),
        ("seed", pa.int64()),
        ("tries", pa.int32()),
    ]
)
"""`template` is the name of a template or of a scene, as `kind` says; the last five are of scenes."""
PREPARED_SCHEMA = pa.schema(
    [*PICTURES_SCHEMA, ("layer", pa.binary()), ("layer_px", pa.list_(pa.int32())), ("file", pa.binary())]
)
"""Rows of scenes wait for a painter; the first of them brings the product's layer and its file."""
ARTS = ("photo", "cutout")
"""What of a product is printed: its photograph, or itself without the background."""
Printed = tuple[np.ndarray, str]
"""A product, uint8 RGB [H, W, 3] or RGBA, and how it was cut out ("" if it was not)."""


def products_in(places: Sequence[str]) -> pa.Table:
    """Return what pictures of products there are in files and folders, as rows of PRODUCTS_SCHEMA, by path.

    A product is called by its path below the folder that all of them share, without the suffix; a second one of a name
    gets a number. A file that cannot be read is a row too. Raises BadInput if a folder is not there or has no picture.
    """
    uris: list[str] = []
    for place in places:
        if place.lower().endswith(SUFFIXES):
            uris.append(place)
            continue
        paths = pictures_below(place)
        if not paths:
            raise BadInput(f"{place} holds no pictures of products; known suffixes: {', '.join(SUFFIXES)}.")
        uris += [storage.join(place, path) for path in paths]
    uris.sort()  # a part is a row: the same products in another order are the same work
    folders = [uri.split("/")[:-1] for uri in uris]
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False)))
    rows = []
    for name, uri in zip(unique(slug("/".join(uri.split("/")[shared:])) for uri in uris), uris, strict=True):
        data = read_image(uri)
        rows.append({"product": name, "uri": uri, "id": picture_id(data if isinstance(data, bytes) else b"")})
    return pa.Table.from_pylist(rows, PRODUCTS_SCHEMA)


def slug(path: str) -> str:
    """Return a path, less its suffix, as one name that any storage takes."""
    return re.sub(r"[^\w.]+", "-", path.rpartition(".")[0]).strip("-.") or "product"


def unique(names: Iterable[str]) -> list[str]:
    """Return names in which every one that comes again has a number, also where that is another's name."""
    seen: Counter[str] = Counter()
    found: dict[str, None] = {}
    for name in names:
        seen[name] += 1
        made = name if seen[name] == 1 else f"{name}-{seen[name]}"
        while made in found:
            seen[name] += 1
            made = f"{name}-{seen[name]}"
        found[made] = None
    return list(found)


@dataclass(frozen=True)
class MakeMockups:
    """Part number -> rows of the product of that number: PICTURES_SCHEMA, or PREPARED_SCHEMA where scenes wait."""

    out: str
    templates: tuple[str, ...]
    scenes: tuple[Scene, ...]
    fit: str
    art: str

    def __call__(self, part: int) -> pa.Table:
        (product,) = tables.read_table(storage.join(self.out, PRODUCTS)).slice(part, 1).to_pylist()
        try:
            data = self.read(product)
            photo: Printed | Exception = decode_layer(data), ""
        except (GencvError, MemoryError) as error:
            data, photo = b"", error
        cutout = cut(photo) if self.scenes or self.art == "cutout" else photo
        rows = [self.make(product, name, data, cutout if self.art == "cutout" else photo) for name in self.templates]
        for scene in self.scenes:
            if isinstance(cutout, Exception):
                rows.append(failed(product["product"], scene.name, SCENE, cutout))
                continue
            rows.append({"product": product["product"], "template": scene.name, "kind": SCENE, "cut": cutout[1]})
            if scene is self.scenes[0]:
                rows[-1] |= {"layer": cutout[0].tobytes(), "layer_px": cutout[0].shape, "file": data}
        return pa.Table.from_pylist(rows, PREPARED_SCHEMA if self.scenes else PICTURES_SCHEMA)

    def read(self, product: dict[str, Any]) -> bytes:
        """Return the product's file. Raises BadImage."""
        data = read_checked(product["uri"], product["id"])
        if isinstance(data, BadImage):
            raise data
        return data

    def make(self, product: dict[str, Any], name: str, data: bytes, printed: Printed | Exception) -> dict[str, Any]:
        """Print on one template, and write it; returns its row. printed: or why there is nothing to print."""
        if isinstance(printed, Exception):
            return failed(product["product"], label_of(name), TEMPLATE, printed)
        try:
            template = template_of(name)
            picture, fidelity = render(template, printed[0], fit=self.fit)
            extras = {"template": template.name, "template_digest": template.digest(), "fit": self.fit, "art": self.art}
            parameters = parameters_of(picture, data, extras=extras)
            row = write(self.out, product["product"], template.name, TEMPLATE, picture, parameters, fidelity, data)
        except (GencvError, MemoryError) as error:
            return failed(product["product"], label_of(name), TEMPLATE, error)
        return row | {"cut": printed[1]}


def cut(photo: Printed | Exception) -> Printed | Exception:
    """Return the cutout of a product's photograph, or why there is none."""
    if isinstance(photo, Exception):
        return photo
    try:
        found = cut_out(photo[0])
    except (GencvError, MemoryError) as error:
        return error
    return found.layer(), found.method


@dataclass(frozen=True)
class PaintScenes:
    """Rows of PREPARED_SCHEMA -> rows of PICTURES_SCHEMA, the waiting scenes made."""

    out: str
    scenes: tuple[Scene, ...]
    painter: Painter
    seed: int
    weights: str = ""
    """Digest of the painter's."""

    def __call__(self, part: pa.Table) -> pa.Table:
        scenes = {scene.name: scene for scene in self.scenes}
        rows = part.to_pylist()
        brought = next((row for row in rows if row["layer"] is not None), None)
        for place, row in enumerate(rows):
            if row["kind"] == SCENE and not row["error"]:
                assert brought is not None
                layer = np.frombuffer(brought["layer"], np.uint8).reshape(brought["layer_px"])
                rows[place] = self.make(row, scenes[row["template"]], layer, brought["file"])
        return pa.Table.from_pylist(rows, PICTURES_SCHEMA)

    def make(self, row: dict[str, Any], scene: Scene, layer: np.ndarray, data: bytes) -> dict[str, Any]:
        """Make and write one scene; returns its row."""
        try:
            picture, fidelity, facts = make_scene(layer, scene, self.painter, seed=self.seed)
            parameters = replace(
                parameters_of(picture, data, scene=scene, facts=facts, painter=self.painter.name),
                model_digest=self.weights,
            )
            made = write(
                self.out, row["product"], scene.name, SCENE, picture, parameters, fidelity, data, keep=facts.keep
            )
        except (GencvError, MemoryError) as error:
            refused = {"finish_reason": CONTENT_FILTERED} if isinstance(error, ContentFiltered) else {}
            return failed(row["product"], scene.name, SCENE, error) | {"prompt": scene.prompt} | refused
        told = {"prompt": scene.prompt, "finish_reason": DONE, "notes": " ".join(facts.notes)}
        return row | made | told | {"seed": facts.recipe.seed, "tries": facts.tries}


@dataclass(frozen=True)
class BuildPainter:
    """Load a painter in an actor. device: "auto" takes the one that the actor was given."""

    out: str
    scenes: tuple[Scene, ...]
    name: str
    seed: int
    device: str
    speed: str

    def __call__(self, device: str, threads: int) -> InferPart:
        import torch  # and diffusers below: nothing that prints on templates needs them

        from gencv.diffusion.painter import load_painter

        torch.set_num_threads(threads or torch.get_num_threads())
        painter = load_painter(self.name, device=device if self.device == "auto" else self.device, speed=self.speed)
        return PaintScenes(self.out, self.scenes, painter, self.seed, painter.weights())


def parameters_of(
    picture: np.ndarray,
    data: bytes,
    *,
    scene: Scene | None = None,
    facts: Facts | None = None,
    painter: str = "",
    extras: dict[str, Any] | None = None,
) -> Parameters:
    """Return what made a mockup of a product's file: of a print its template, of a scene all that was painted."""
    base = Parameters(
        width=picture.shape[1],
        height=picture.shape[0],
        init_digest=picture_id(data),
        versions={"gencv": importlib.metadata.version("gencv")},
        extras=extras or {},
    )
    if scene is None or facts is None:
        return base
    recipe = facts.recipe
    names = ("prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "strength", "scheduler")
    painted = {"scene": scene.to_dict(), "painted_px": [recipe.width, recipe.height], "tries": facts.tries}
    versions = {name: importlib.metadata.version(name) for name in ("gencv", "diffusers", "torch")}
    stated: dict[str, Any] = {name: getattr(recipe, name) for name in names}
    return replace(base, **stated, model=recipe.model or painter, versions=versions, extras=painted)


def write(
    out: str,
    product: str,
    name: str,
    kind: str,
    picture: np.ndarray,
    parameters: Parameters,
    fidelity: Fidelity,
    data: bytes,
    *,
    keep: np.ndarray | None = None,
) -> dict[str, Any]:
    """Stamp and write a mockup, uint8 RGB [H, W, 3]; returns its row, with what the file itself shows.

    data: the product's file. keep: bool [H, W], px that the watermark leaves as they are.
    """
    source_type = SourceType.PART_GENERATED if kind == SCENE else SourceType.COMPOSITE
    made = to_file(picture, parameters, source_type, keep=keep, ingredient=data)
    shown = decode(made)
    if keep is not None and fidelity.interior_difference is not None:
        # In the file and not before it: the mark came last.
        moved = largest_difference(shown, picture, keep)
        fidelity = replace(fidelity, interior_difference=max(moved, fidelity.interior_difference))
    uri = storage.join(out, PICTURES, f"{product}--{name}.png")  # a product's name has no "--"
    storage.write_bytes(uri, made)
    height, width = picture.shape[:2]
    is_read = watermark.detect(shown).payload == parameters.payload
    names = {"product": product, "template": name, "kind": kind, "uri": uri, "watermarked": is_read}
    return names | {"width": width, "height": height, **fidelity.to_dict()}


def to_file(
    picture: np.ndarray,
    parameters: Parameters,
    source_type: SourceType,
    *,
    keep: np.ndarray | None = None,
    ingredient: bytes,
) -> bytes:
    """Return a mockup, uint8 RGB [H, W, 3], as the bytes that are kept: the one place where mockups become files."""
    return stamp.stamp(
        picture,
        parameters,
        source_type=source_type,
        ingredient=ingredient if credentials.can_hold(ingredient) else None,
        watermark=min(picture.shape[:2]) >= watermark.MIN_SIDE_PX,
        keep=keep,
    )


def failed(product: str, name: str, kind: str, error: Exception) -> dict[str, Any]:
    """Return the row of a mockup that could not be made."""
    code = error.code if isinstance(error, BadImage) else type(error).__name__
    detail = str(error) or "There is not enough memory for it; give a smaller picture."
    return {"product": product, "template": name, "kind": kind, "error": code, "detail": detail}


def label_of(name: str) -> str:
    """Return what a template, given by its name or folder, is called: by its folder where it cannot be read."""
    try:
        return template_of(name).name
    except GencvError:
        return name.rstrip("/").rpartition("/")[2]


def make_mockups(
    products: pa.Table,
    templates: Sequence[str],
    out: str,
    *,
    fit: str,
    art: str,
    scenes: Sequence[Scene] = (),
    painter: str = "",
    seed: int = 0,
    device: str = "auto",
    speed: str = "exact",
    address: str | None = None,
    workers: int = 0,
) -> tuple[pa.Table, dict[str, Any]]:
    """Make what is missing of products x (templates and scenes) in `out`; returns the rows, and map_parts' facts.

    templates: names, or absolute folders. painter, seed, device, speed: of the scenes; without any scene no painter is
    loaded. Rows are of PICTURES_SCHEMA, ordered by product, then templates, then scenes.
    """
    tables.write_table(products, storage.join(out, PRODUCTS))
    folder = storage.join(out, MADE)
    prepare = MakeMockups(out, tuple(templates), tuple(scenes), fit, art)
    work = PartWork(
        name="mockup",
        out_dir=folder,
        num_parts=products.num_rows,
        prepare=prepare,
        build=BuildPainter(out, tuple(scenes), painter, seed, device, speed) if scenes else None,
    )
    done = map_parts(work, address=address, workers=workers)
    return tables.read_parts(folder), done
