"""Products times templates over a cluster: a row a mockup, a part a product.

A product is read, and cut out where that is asked for, once for all its templates. A mockup that fails is a row with an
error and a sentence; the others go on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.errors import BadImage, BadInput, GencvError
from gencv.core.manifest import read_checked, read_image
from gencv.core.record import picture_id
from gencv.datasets.folder import SUFFIXES, pictures_below
from gencv.diffusion.cutout import cut_out
from gencv.diffusion.fidelity import Fidelity
from gencv.diffusion.render import render
from gencv.diffusion.templates import template_of
from gencv.images.decode import decode_layer
from gencv.images.degrade import encode_png
from gencv.pipelines.parts import PartWork, map_parts

PRODUCTS = "products.parquet"
PRODUCTS_SCHEMA = pa.schema([("product", pa.string()), ("uri", pa.string()), ("id", pa.string())])
MADE = "made"
PICTURES = "pictures"
PICTURES_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("product", "template", "error", "detail", "uri", "cut")),
        *((name, pa.int32()) for name in ("width", "height")),
        *((name, pa.float64()) for name in ("colour_shift", "coverage", "sharpness", "dpi", "halo", "growth")),
        ("interior_difference", pa.int32()),
    ]
)
ARTS = ("photo", "cutout")
"""What of a product is printed: its photograph, or itself without the background."""


def products_in(places: Sequence[str]) -> pa.Table:
    """Return what pictures of products there are in files and folders, as rows of PRODUCTS_SCHEMA, in order.

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
    """Part number -> rows of PICTURES_SCHEMA, one for each template on the product of that number."""

    out: str
    templates: tuple[str, ...]
    fit: str
    art: str

    def __call__(self, part: int) -> pa.Table:
        (product,) = tables.read_table(storage.join(self.out, PRODUCTS)).slice(part, 1).to_pylist()
        try:
            artwork, cut = self.read(product)
        except (GencvError, MemoryError) as error:
            rows = [self.failed(product, name, error) for name in self.templates]
        else:
            rows = [self.make(product, name, artwork, cut) for name in self.templates]
        return pa.Table.from_pylist(rows, PICTURES_SCHEMA)

    def read(self, product: dict[str, Any]) -> tuple[np.ndarray, str]:
        """Return what is printed, uint8 RGB [H, W, 3] or RGBA, and how it was cut out ("" if it was not)."""
        data = read_checked(product["uri"], product["id"])
        if isinstance(data, BadImage):
            raise data
        layer = decode_layer(data)
        if self.art == "photo":
            return layer, ""
        cutout = cut_out(layer)
        return cutout.layer(), cutout.method

    def make(self, product: dict[str, Any], name: str, artwork: np.ndarray, cut: str) -> dict[str, Any]:
        """Make and write one mockup; returns its row."""
        try:
            template = template_of(name)
            picture, fidelity = render(template, artwork, fit=self.fit)
            uri = storage.join(self.out, PICTURES, f"{product['product']}-{template.name}.png")
            storage.write_bytes(uri, to_file(picture))
        except (GencvError, MemoryError) as error:
            return self.failed(product, name, error)
        return row_of(product["product"], template.name, picture, fidelity) | {"uri": uri, "cut": cut}

    def failed(self, product: dict[str, Any], name: str, error: Exception) -> dict[str, Any]:
        """Return the row of a mockup that could not be made."""
        code = error.code if isinstance(error, BadImage) else type(error).__name__
        detail = str(error) or "There is not enough memory for it; give a smaller picture."
        return {"product": product["product"], "template": label_of(name), "error": code, "detail": detail}


def to_file(picture: np.ndarray) -> bytes:
    """Return a mockup, uint8 RGB [H, W, 3], as the bytes that are kept: the one place where mockups become files."""
    return encode_png(picture)


def row_of(product: str, template: str, picture: np.ndarray, fidelity: Fidelity) -> dict[str, Any]:
    height, width = picture.shape[:2]
    return {"product": product, "template": template, "width": width, "height": height, **fidelity.to_dict()}


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
    address: str | None = None,
    workers: int = 0,
) -> tuple[pa.Table, dict[str, Any]]:
    """Make what is missing of products x templates in `out`; returns rows of PICTURES_SCHEMA, and map_parts' facts.

    templates: names, or absolute folders. Rows are ordered by product, then template.
    """
    tables.write_table(products, storage.join(out, PRODUCTS))
    folder = storage.join(out, MADE)
    work = PartWork(
        name="mockup",
        out_dir=folder,
        num_parts=products.num_rows,
        prepare=MakeMockups(out, tuple(templates), fit, art),
    )
    done = map_parts(work, address=address, workers=workers)
    return tables.read_parts(folder), done
