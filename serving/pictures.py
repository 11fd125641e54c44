"""Pictures out of a request: a form's files, base64 in JSON, or data URLs."""

import base64
import binascii
from typing import Any, TypeVar

from starlette.datastructures import FormData, UploadFile

from gencv.images.decode import Limits
from serving.door import Door
from serving.errors import Refused

Given = TypeVar("Given")


def as_list(given: Any) -> Any:
    """Return what may come alone as a list."""
    return given if isinstance(given, list | tuple) else [given]


def limits_of(door: Door) -> Limits:
    """Return what a picture may be that comes in."""
    return Limits(max_bytes=int(door.max_body_mb * 2**20), max_pixels=int(door.max_megapixels * 1e6))


async def from_form(form: FormData, field: str, max_images: int) -> list[tuple[str, bytes]]:
    """Return the names and bytes of a form's files, of `field` or `field[]`. Raises Refused where one is no file."""
    found = []
    for name, value in form.multi_items():
        if name not in (field, f"{field}[]"):
            continue
        if not isinstance(value, UploadFile):
            raise Refused(400, "invalid_parameter", f"{field} must be a file, not text.", field)
        found.append((value.filename or "", await value.read()))
    return counted(found, field, max_images)


def from_base64(texts: list[str], field: str, max_images: int) -> list[tuple[str, bytes]]:
    """Return the bytes of base64 texts, or of `data:` URLs with base64. Raises Refused for one that is none."""
    found = []
    for text in texts:
        if text.startswith("data:"):
            text = text.partition(";base64,")[2]
        try:
            found.append(("", base64.b64decode(text, validate=True)))
        except (binascii.Error, ValueError):
            raise Refused(400, "invalid_base64", f"{field} is no valid base64.", field) from None
    return counted(found, field, max_images)


def counted(found: list[Given], field: str, max_images: int) -> list[Given]:
    """Return pictures that are not too many, and at least one. Raises Refused."""
    if not found:
        raise Refused(400, "missing_parameter", f"Give at least one picture as {field}.", field)
    if len(found) > max_images:
        raise Refused(413, "too_many_images", f"{len(found)} pictures; {max_images} a request are accepted.", field)
    return found
