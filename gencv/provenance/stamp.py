"""Stamp a picture with all that says where it comes from, and read that back: parameters, credentials, watermark.

All pictures that gencv makes leave it by `stamp`. The three fail in different ways, which is why there are three:
parameters say most and anyone can change or strip them; credentials cannot be changed unseen, but are lost when a
file is saved again; the watermark holds only a number, and stays with the pixels. docs/provenance.md says which
survives what.
"""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gencv.core.errors import BadInput, UnknownName
from gencv.provenance import credentials as c2pa_credentials
from gencv.provenance import parameters as file_parameters
from gencv.provenance import watermark as pixel_watermark
from gencv.provenance.credentials import Credentials
from gencv.provenance.parameters import Found, Parameters, SourceType
from gencv.provenance.watermark import Mark


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file says of where it comes from: evidence beside a detector's score, and no part of it."""

    parameters: Found
    credentials: Credentials
    watermark: Mark

    @property
    def found(self) -> tuple[str, ...]:
        """Which of the three are there; credentials that are invalid are none."""
        there = {
            "parameters": self.parameters.parameters is not None,
            "credentials": self.credentials.is_valid,
            "watermark": self.watermark.found,
        }
        return tuple(name for name, is_there in there.items() if is_there)

    @property
    def agree(self) -> bool | None:
        """Whether the watermark carries the digest of these very parameters; None unless both are whole."""
        stated = self.parameters.parameters
        if stated is None or self.parameters.place != "gencv" or not self.watermark.found:
            return None
        return stated.payload == self.watermark.payload

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it; the payload as 8 hex digits, as a parameters' digest begins."""
        stated = self.parameters.parameters
        payload = self.watermark.payload
        return {
            "found": list(self.found),
            "agree": self.agree,
            "parameters": {
                "found": stated is not None,
                "place": self.parameters.place,
                "reason": self.parameters.reason,
                "values": stated.to_dict() if stated else None,
            },
            "credentials": asdict(self.credentials)
            | {
                "actions": list(self.credentials.actions),
                "ingredients": list(self.credentials.ingredients),
            },
            "watermark": asdict(self.watermark) | {"payload": None if payload is None else f"{payload:08x}"},
        }


def stamp(
    image: np.ndarray,
    parameters: Parameters,
    *,
    format: str = "png",
    quality: int = 90,
    ingredient: bytes | None = None,
    source_type: SourceType = SourceType.GENERATED,
    watermark: bool = True,
    keep: np.ndarray | None = None,
    credentials: bool = True,
    identity_dir: Path | None = None,
) -> bytes:
    """Encode uint8 RGB [H, W, 3] with what made it: a watermark in the pixels, the parameters, credentials over all.

    format: a key of FORMATS. quality: 1 to 100, of JPEG and WebP. ingredient: the file of the photograph that it was
    made from. keep: bool [H, W], True where no px may change; the mark lies around them, and may be too weak to be read
    where they are most of the picture. identity_dir: see `identity.load`. Raises BadInput for a picture under 64 px
    with a watermark, for parameters that are too long for a JPEG, and for an ingredient that is no picture; UnknownName
    for another format.
    """
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    if not 1 <= quality <= 100:
        raise BadInput(f"A quality of {quality}; it goes from 1 to 100.")
    if watermark:
        image = pixel_watermark.embed(image, parameters.payload, keep)
    data = file_parameters.write(FORMATS[format](image, quality), parameters, source_type=source_type)
    if credentials:  # last: they are of every byte that is there
        data = c2pa_credentials.sign(data, source_type=source_type, ingredient=ingredient, folder=identity_dir)
    return data


def read(data: bytes, *, image: np.ndarray | None = None, identity_dir: Path | None = None) -> Provenance:
    """Read all three of a file; what is not found has a reason.

    image: its pixels, uint8 RGB [H, W, 3], where they are decoded already, in full size. Never raises: of bytes that
    are no picture each of the three says so.
    """
    try:
        pixels = _decoded(data) if image is None else image
        mark = pixel_watermark.detect(pixels)
    except Exception as error:  # plug-ins raise whatever their decoder runs into
        mark = Mark(False, None, 0.0, f"the pixels cannot be read ({type(error).__name__})")
    return Provenance(
        parameters=file_parameters.read(data),
        credentials=c2pa_credentials.read(data, folder=identity_dir),
        watermark=mark,
    )


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _saved(kind: str, **options: Any) -> Callable[[np.ndarray, int], bytes]:
    def save(image: np.ndarray, quality: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, kind, quality=quality, **options)
        return stream.getvalue()

    return save


FORMATS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "png": _saved("PNG", compress_level=4),
    "jpeg": _saved("JPEG"),
    "webp": _saved("WEBP"),
}
"""How pixels become bytes, of a quality that PNG has no use for."""
