"""What made a picture, written into its file and read back, without touching a pixel.

A PNG gets a text chunk `parameters`, which the web UI of AUTOMATIC1111 and what follows it read, and a chunk `gencv`
that holds everything as JSON. JPEG and WebP get the first as EXIF's UserComment and the second in the XMP packet. All
three get the XMP's digital source type of the IPTC, by which search engines know a generated picture.
Sources: PNG (W3C, third edition), 11.3.3; ITU-T T.81, B.1; Exif 2.32, 4.6.5; XMP part 3; RFC 9649 (WebP).
"""

import html
import io
import json
import math
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import ExifTags, Image, PngImagePlugin

from gencv.core.errors import BadInput
from gencv.core.settings import Settings
from gencv.provenance import segments

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class SourceType(StrEnum):
    """What kind of thing a picture is: the IPTC's digital source types that gencv makes."""

    GENERATED = "trainedAlgorithmicMedia"
    """Painted as a whole, perhaps with a picture to start from."""
    PART_GENERATED = "compositeWithTrainedAlgorithmicMedia"
    """Put together of a photograph and of painted parts."""
    COMPOSITE = "composite"
    """Put together of pictures, with nothing generated: a photograph printed on a drawn thing."""


@dataclass(frozen=True, kw_only=True)
class Parameters(Settings):
    """What made a picture; enough to make it again. None and "" where a file does not say."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float | None = None
    """Of image to image and inpainting."""
    scheduler: str = ""
    width: int | None = None
    height: int | None = None
    model: str = ""
    model_digest: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    """Of packages, by name."""
    init_digest: str | None = None
    """Of the picture that it began with."""
    extras: dict[str, Any] = field(default_factory=dict)
    """Whatever else, as JSON has it."""

    @property
    def payload(self) -> int:
        """The 32 bits of the digest that the watermark carries."""
        return int(self.digest()[:8], 16)


@dataclass(frozen=True)
class Found:
    """The parameters in a file, and where they stood, or why there are none."""

    parameters: Parameters | None
    place: str
    """`gencv` (complete), `a1111` (what its text holds), or "" for none."""
    reason: str = ""


def write(data: bytes, parameters: Parameters, *, source_type: SourceType = SourceType.GENERATED) -> bytes:
    """Return a PNG, JPEG, or WebP with these parameters in it; the compressed pixels stay as they are.

    Parameters that were there are replaced, other EXIF fields stay, another XMP packet does not.
    Raises BadInput for another format, and where they are too long for a JPEG: its limit is 64 kB each for the text,
    two bytes a character, and for the JSON.
    """
    text, record = to_text(parameters), json.dumps(parameters.to_dict())
    kind = segments.kind_of(data)
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", text.encode("utf-8", "replace").decode())
        info.add_text("gencv", record)
        info.add_itxt(_XMP_CHUNK, _xmp(None, source_type).decode())
        return segments.with_png_texts(data, [(chunk[0], chunk[1]) for chunk in info.chunks])
    if kind is None:
        raise BadInput("Parameters are written into PNG, JPEG, and WebP; these bytes are none of them.")
    image = Image.open(io.BytesIO(data))
    exif = image.getexif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    return segments.with_metadata(data, exif=exif.tobytes(), xmp=_xmp(record, source_type), size=image.size)


def read(data: bytes) -> Found:
    """Read the parameters of a file, ours or in the form of AUTOMATIC1111. Never raises."""
    try:
        image = Image.open(io.BytesIO(data))
        info = image.info
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except Exception as error:  # plug-ins raise whatever their parser runs into
        return Found(None, "", f"the metadata cannot be read ({type(error).__name__})")
    record, text = info.get("gencv"), info.get("parameters")
    escaped = None
    if record is None and (packet := _packet(info.get("xmp"))):
        escaped = re.search(r'gencv:parameters="([^"]*)"', packet)
    if text is None and isinstance(comment, bytes):
        text = _comment(comment)
    broken = ""
    if escaped or isinstance(record, str):
        try:
            stated = Parameters.from_dict(json.loads(html.unescape(escaped[1]) if escaped else str(record)))
            json.dumps(stated.to_dict(), allow_nan=False)  # nested too deeply, or NaN, it is read here and nowhere else
            return Found(stated, "gencv")
        except (ValueError, TypeError, AttributeError, RecursionError, BadInput):
            broken = "the gencv record is damaged"
    if isinstance(text, str) and (parameters := from_text(text)):
        return Found(parameters, "a1111", broken)
    return Found(None, "", broken or "the file has none")


def to_text(parameters: Parameters) -> str:
    """Write parameters as AUTOMATIC1111 does: the prompt, the negative prompt, and a line of settings."""
    known = {
        "Steps": parameters.num_inference_steps,
        "Sampler": parameters.scheduler or None,
        "CFG scale": parameters.guidance_scale,
        "Seed": parameters.seed,
        "Size": f"{parameters.width}x{parameters.height}" if parameters.width and parameters.height else None,
        "Model hash": parameters.model_digest or None,
        "Model": parameters.model or None,
        "Denoising strength": parameters.strength,
        "Init image hash": parameters.init_digest,
    }
    extras = {
        name: value
        for name, value in parameters.extras.items()
        if _NAME.fullmatch(name) and name not in known and isinstance(value, str | int | float) and value != ""
    }
    version = {"Version": f"gencv {parameters.versions['gencv']}"} if "gencv" in parameters.versions else {}
    stated = {name: value for name, value in (known | extras | version).items() if value is not None}
    lines = [parameters.prompt]
    if parameters.negative_prompt:
        lines.append(f"Negative prompt: {parameters.negative_prompt}")
    # The line is there even where it is empty: else the last one of a prompt would be taken for it.
    return "\n".join([*lines, ", ".join(f"{name}: {_quoted(value)}" for name, value in stated.items())])


def from_text(text: str) -> Parameters | None:
    """Read the text of AUTOMATIC1111, or ours; None where it has no settings, and so is some other text.

    What no field holds goes to `extras`, as text. Lines lose the white space around them, and a prompt with a line
    that starts with "Negative prompt:" ends there: that form cannot say otherwise.
    """
    *lines, last = text.strip().split("\n")
    if len(last) > MAX_SETTINGS:
        return None
    settings = {name: _unquoted(value) for name, value in _SETTING.findall(last)}
    if not {"Steps", "Seed", "Sampler", "Size"} & set(settings):
        return None
    prompts: tuple[list[str], list[str]] = ([], [])
    is_negative = False
    for line in map(str.strip, lines):
        if not is_negative and line.startswith(_NEGATIVE):
            is_negative, line = True, line.removeprefix(_NEGATIVE).strip()
        prompts[is_negative].append(line)
    found = Parameters(prompt="\n".join(prompts[0]), negative_prompt="\n".join(prompts[1]))
    extras: dict[str, Any] = {}
    for name, value in settings.items():
        try:
            found = replace(found, **_FIELDS[name](value))
        except (KeyError, ValueError):
            extras[name] = value
    return replace(found, extras=extras)


def _size(value: str) -> dict[str, Any]:
    width, _, height = value.partition("x")
    return {"width": int(width), "height": int(height)}


def _finite(value: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


_FIELDS: dict[str, Any] = {
    "Steps": lambda value: {"num_inference_steps": int(value)},
    "Sampler": lambda value: {"scheduler": value},
    "CFG scale": lambda value: {"guidance_scale": _finite(value)},
    "Seed": lambda value: {"seed": int(value)},
    "Size": _size,
    "Model hash": lambda value: {"model_digest": value},
    "Model": lambda value: {"model": value},
    "Denoising strength": lambda value: {"strength": _finite(value)},
    "Init image hash": lambda value: {"init_digest": value},
}
"""What a setting of the text says, by its name there."""

MAX_SETTINGS = 16_384
"""Characters of the line of settings that is read."""
_NEGATIVE = "Negative prompt:"
_XMP_CHUNK = "XML:com.adobe.xmp"
_NAME = re.compile(r"\w[\w \-/]+")
# A name begins where no name can go on, and nothing of it is given back, or the time grows with the square of the line.
_SETTING = re.compile(r'(?<![\w \-/])\s*+(\w[\w \-/]++):\s*("(?:\\.|[^\\"])++"|[^,]*)(?:,|$)')
_PLAIN = re.compile(r'[^",:\s\\](?:[^",:\n\r\\]*[^",:\s\\])?')


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value


def _xmp(record: str | None, source_type: SourceType) -> bytes:
    """Make the XMP packet; JSON without anything but ASCII, so that XML can hold any prompt."""
    ours = f' xmlns:gencv="urn:gencv" gencv:parameters={quoteattr(record, {chr(34): "&quot;"})}' if record else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="gencv"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPES}{source_type}"{ours}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def _packet(xmp: object) -> str:
    return xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp or "")


def _comment(comment: bytes) -> str:
    """Decode a UserComment. UNICODE has no byte order there: most write the big end first, some the little one."""
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        little = text[1::2].count(0) > text[::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    return text.decode("utf-8", "replace").rstrip("\0")
