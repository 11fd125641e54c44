"""Make a mockup as a file: a product printed on a template or set into a scene, stamped, and looked at.

The one place where mockups become files: the rows of `pipelines.mockup` and the answers of /v1/mockups come from here.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import cv2
import numpy as np

from gencv.core.contracts import DONE, Painter, Recipe
from gencv.core.errors import GencvError, ModelUnavailable, OutOfMemory
from gencv.core.record import picture_id
from gencv.images.decode import Limits, decode, decode_layer
from gencv.mockup.cutout import cut_out
from gencv.mockup.fidelity import Fidelity, largest_difference
from gencv.mockup.render import render
from gencv.mockup.scene import make_scene
from gencv.mockup.scenes import Scene
from gencv.mockup.template import Template
from gencv.provenance import credentials, watermark
from gencv.provenance.parameters import Parameters, SourceType
from gencv.provenance.stamp import stamp

ARTS = ("photo", "cutout")
"""What of a product is printed: its photograph, or itself without the background."""
TOO_LARGE = "There is not enough memory for it; give a smaller picture."
Given = TypeVar("Given")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Art:
    """A product, uint8 RGB [H, W, 3] or RGBA, its file, and how it was cut out ("" if it was not)."""

    image: np.ndarray
    file: bytes
    cut: str = ""


@dataclass(frozen=True)
class SavedAs:
    """What kind of file a mockup becomes."""

    format: str = "png"
    """A key of `stamp.FORMATS`."""
    quality: int = 90
    """Of JPEG and WebP."""


PNG = SavedAs()


@dataclass(frozen=True)
class Made:
    """A mockup's file, and what is to be said of it."""

    file: bytes
    fidelity: Fidelity
    facts: dict[str, Any]
    """By the names of `pipelines.made.PICTURES_SCHEMA`."""
    recipe: Recipe | None = field(default=None)
    """What the painter did; None for a print."""


def photo_of(file: bytes, limits: Limits | None = None) -> Art:
    """Decode a product's file, transparency and all. Raises BadImage."""
    return Art(decode_layer(file, limits=limits or Limits()), file)


def cutout_of(photo: Art) -> Art:
    """Return a product without its background. Raises BadInput where there is no object."""
    found = cut_out(photo.image)
    return Art(found.layer(), photo.file, found.method)


def print_on(template: Template, product: Art, *, fit: str, art: str, saved_as: SavedAs = PNG) -> Made:
    """Print a product's photograph, or its cutout, as `art` says that it is, onto a template."""
    picture, fidelity = render(template, product.image, fit=fit)
    parameters = Parameters(
        versions=versions("gencv"),
        extras={"template": template.name, "template_digest": template.digest(), "fit": fit, "art": art},
    )
    made = stamped(picture, parameters, SourceType.COMPOSITE, fidelity, product=product.file, saved_as=saved_as)
    return replace(made, facts=made.facts | {"cut": product.cut})


def put_into(
    scene: Scene,
    product: Art,
    painter: Painter,
    *,
    seed: int,
    weights: str,
    computed: dict[str, Any],
    saved_as: SavedAs = PNG,
) -> Made:
    """Set a cutout into a scene. weights: digest of the painter's. computed: on which device, how, and by how many."""
    picture, fidelity, facts = make_scene(product.image, scene, painter, seed=seed)
    recipe = facts.recipe
    parameters = Parameters(
        **recipe.to_dict() | {"model": painter.name},
        model_digest=weights,
        versions=versions("gencv", "diffusers", "torch"),
        extras={
            "scene": scene.to_dict(),
            "painted_px": [recipe.width, recipe.height],
            "tries": facts.tries,
            **computed,
        },
    )
    made = stamped(
        picture,
        parameters,
        SourceType.PART_GENERATED,
        fidelity,
        product=product.file,
        keep=facts.keep,
        saved_as=saved_as,
    )
    told = {"finish_reason": DONE, "notes": "\n".join(facts.notes), "seed": recipe.seed, "tries": facts.tries}
    return replace(made, facts=made.facts | told | {"cut": product.cut}, recipe=recipe)


def stamped(
    picture: np.ndarray,
    parameters: Parameters,
    source_type: SourceType,
    fidelity: Fidelity,
    *,
    product: bytes,
    keep: np.ndarray | None = None,
    saved_as: SavedAs = PNG,
) -> Made:
    """Stamp a mockup, uint8 RGB [H, W, 3], and look at the file.

    product: its file, whose id is written in, as are the picture's sides. keep: bool [H, W], px that the watermark
    leaves as they are.
    """
    height, width = picture.shape[:2]
    parameters = replace(parameters, width=width, height=height, init_digest=picture_id(product))
    file = stamp(
        picture,
        parameters,
        format=saved_as.format,
        quality=saved_as.quality,
        source_type=source_type,
        ingredient=product if credentials.can_hold(product) else None,
        watermark=min(height, width) >= watermark.MIN_SIDE_PX,
        keep=keep,
    )
    shown = decode(file)
    if keep is not None and fidelity.interior_difference is not None:
        # In the file and not before it: the mark came last.
        moved = largest_difference(shown, picture, keep)
        fidelity = replace(fidelity, interior_difference=max(moved, fidelity.interior_difference))
    is_read = watermark.detect(shown).payload == parameters.payload
    return Made(file, fidelity, {"width": width, "height": height, "watermarked": is_read})


def attempt(make: Callable[[Given], Done], given: Given | GencvError) -> Done | GencvError:
    """Return what is made of something; or why that cannot be, or why there is nothing to make it of."""
    if isinstance(given, GencvError):
        return given
    try:
        return make(given)
    except MemoryError:
        return OutOfMemory(TOO_LARGE)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        return OutOfMemory(TOO_LARGE)
    except ModelUnavailable:  # no fault of the product: its row would never be tried again
        raise
    except GencvError as error:
        return error


def versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}
