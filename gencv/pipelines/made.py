"""A mockup as a file and as a row: stamped, looked at, and written; or why there is none."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.contracts import CONTENT_FILTERED
from gencv.core.errors import BadImage, ContentFiltered, GencvError, ModelUnavailable, OutOfMemory
from gencv.core.record import picture_id
from gencv.images.decode import decode
from gencv.mockup.fidelity import Fidelity, largest_difference
from gencv.provenance import credentials, watermark
from gencv.provenance.parameters import Parameters, SourceType
from gencv.provenance.stamp import stamp

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
TOO_LARGE = "There is not enough memory for it; give a smaller picture."
Given = TypeVar("Given")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Made:
    """A mockup's file, and what its row says of it."""

    file: bytes
    facts: dict[str, Any]


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


def stamped(
    picture: np.ndarray,
    parameters: Parameters,
    source_type: SourceType,
    fidelity: Fidelity,
    *,
    product: bytes,
    keep: np.ndarray | None = None,
) -> Made:
    """Stamp a mockup, uint8 RGB [H, W, 3], and look at the file: the one place where mockups become files.

    product: its file, whose id is written in, as are the picture's sides. keep: bool [H, W], px that the watermark
    leaves as they are.
    """
    height, width = picture.shape[:2]
    parameters = replace(parameters, width=width, height=height, init_digest=picture_id(product))
    file = stamp(
        picture,
        parameters,
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
    return Made(file, {"width": width, "height": height, "watermarked": is_read, **fidelity.to_dict()})


def write(out: str, row: dict[str, Any], made: Made | GencvError) -> dict[str, Any]:
    """Write a mockup into a run's folder, and return its row; where there is none, its row with why.

    row: what is known of it: product, template, kind. Raises BadInput where the folder cannot be written.
    """
    if isinstance(made, GencvError):
        return row | told_of(made)
    path = f"{PICTURES}/{row['product']}--{row['template']}.png"  # a product's name has no "--"
    storage.write_bytes(storage.join(out, path), made.file)
    return row | made.facts | {"path": path}


def told_of(error: GencvError) -> dict[str, str]:
    """Return the columns that say why a mockup could not be made."""
    code = error.code if isinstance(error, BadImage) else type(error).__name__
    filtered = {"finish_reason": CONTENT_FILTERED} if isinstance(error, ContentFiltered) else {}
    # A sentence repeats what it was given, perhaps half a character, which no column holds.
    return {"error": code, "detail": str(error).encode("utf-8", "backslashreplace").decode(), **filtered}


def versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}
