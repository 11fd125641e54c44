"""Bytes to pixels: one decoder, with one list of what can be wrong, for jobs and services alike.

Pillow reads every header, so that formats, orientation, limits, and faults are judged in one place. Ordinary JPEGs then
go through libjpeg-turbo in simplejpeg, to the same pixels, and where a network needs a small picture only, through its
scaled decode: 3 to 10 times faster on photographs of several megapixels.
"""

import functools
import io
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from gencv.core.errors import BadImage, BadInput

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF")
"""Formats that are read, by Pillow's names. The others that Pillow knows stay closed: less code meets foreign bytes."""

MAX_PIXELS = 178_956_970
"""Pixels at which Pillow refuses a picture as a decompression bomb, whatever our limit says."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a picture may be; checked before a pixel is decoded."""

    max_bytes: int = 64 * 2**20
    """Bytes of the file."""
    max_pixels: int = 100_000_000
    """Width x height as the header says, before any scaled decode; MAX_PIXELS at most."""
    min_side_px: int = 1
    """Shorter side."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise BadInput(f"{field.name} is {value}; it must be at least 1.")
        if self.max_pixels > MAX_PIXELS:
            raise BadInput(f"max_pixels is {self.max_pixels}; at most {MAX_PIXELS} are accepted.")


def decode(data: bytes, *, limits: Limits = Limits(), min_side_px: int | None = None) -> np.ndarray:
    """Decode a picture upright, as a viewer would show it on white paper.

    Returns uint8 RGB [H, W, 3], C-contiguous and writable. EXIF orientation is applied; of an animation the first frame
    is taken; transparency is laid over white. Grey of 16 bits keeps its high byte, as colour of 16 bits does; 32-bit
    integers count as 16 bits if none exceeds 65,535; floats count as 0 to 1 if none exceeds 1, else as 0 to 255. CMYK
    is converted by the plain formula, and an embedded ICC profile is not applied: networks are trained without.
    min_side_px: let a JPEG be decoded at n/8 of its size so that its shorter side keeps at least so many px (smaller
    pictures stay whole); None decodes every pixel. Raises BadImage, and nothing else, where the bytes are at fault.
    """
    image = open_header(data, limits)
    orientation = _orientation(image)
    pixels = _jpeg_pixels(data, min_side_px) if image.format in ("JPEG", "MPO") else None
    if pixels is None:
        pixels = _pillow_pixels(data, image, min_side_px)
    return _upright(pixels, orientation)


def decode_layer(data: bytes, *, limits: Limits = Limits()) -> np.ndarray:
    """Decode a picture as `decode` does, but as it is seen: uint8 RGBA [H, W, 4] where it has transparency, else RGB.

    Colours are not multiplied by alpha, and are those of sRGB: an embedded ICC profile is applied, which CMYK and
    phones' photographs need; one that is damaged, or of another kind than the pixels, is not. Raises BadImage.
    """
    image = open_header(data, limits)
    if image.has_transparency_data:
        pixels = _upright(_pillow_pixels(data, image, None, _rgba), _orientation(image))
    else:
        pixels = decode(data, limits=limits)
    profile = image.info.get("icc_profile")
    if not profile:
        return pixels
    inks = pixels[..., :3]
    if image.mode == "CMYK":  # asked again, as `decode` has made plain colours of it
        inks = _upright(_pillow_pixels(data, open_header(data, limits), None, np.array), _orientation(image))
    pixels[..., :3] = _in_srgb(inks, profile, pixels[..., :3])
    return pixels


def image_size(data: bytes, *, limits: Limits = Limits()) -> tuple[int, int]:
    """Return (width, height) in px of the upright picture, from the header alone. Raises BadImage."""
    image = open_header(data, limits)
    width, height = image.size
    return (height, width) if _orientation(image) >= 5 else (width, height)


class _Stream(io.BytesIO):
    """Bytes that remember whether a reader wanted more than there is: how a cut header is told from a broken one."""

    ended = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.ended |= size is not None and len(data) < size
        return data


@functools.cache
def _prepare_pillow() -> None:
    pillow_heif.register_heif_opener()


def _silence_pillow() -> None:
    # Pillow warns of odd metadata and of sizes that our own limits judge; as an error a warning would end as "corrupt".
    # Asked every time, as whoever catches warnings takes the filter away; warnings.catch_warnings is not for threads.
    if _SILENCE not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW)


def open_header(data: bytes, limits: Limits) -> Image.Image:
    """Return Pillow's picture with its header read and no pixel decoded. Raises BadImage as `decode` does."""
    if not data:
        raise BadImage("empty")
    if len(data) > limits.max_bytes:
        raise BadImage("too_many_bytes", f"{len(data)} bytes, limit {limits.max_bytes}")
    _prepare_pillow()
    _silence_pillow()
    stream = _Stream(data)
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadImage("too_many_pixels", f"limit {limits.max_pixels}") from None
    except Exception as error:  # plug-ins raise whatever their parser runs into
        if isinstance(error, UnidentifiedImageError) and not _is_known(data):
            raise BadImage("not_an_image") from None
        raise BadImage("truncated" if stream.ended or _breaks_off(data) else "corrupt", "in the header") from None
    width, height = image.size
    if width * height > limits.max_pixels:
        raise BadImage("too_many_pixels", f"{width}x{height}, limit {limits.max_pixels}")
    if min(width, height) < limits.min_side_px:
        raise BadImage("too_small", f"{width}x{height}, limit {limits.min_side_px} px")
    return image


def _is_known(data: bytes) -> bool:
    magic = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    brands = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
    return (
        data.startswith(magic)
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[4:8] == b"ftyp" and data[8:12] in brands)
    )


def _breaks_off(data: bytes) -> bool:
    """Whether a container that states its length is longer than the data: its decoder only calls that an error."""
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[4:8] == b"ftyp":  # ISO base media: a chain of boxes, each led by its length
        start = 0
        while start + 8 <= len(data):
            length = int.from_bytes(data[start : start + 4], "big")
            if length == 1:
                length = int.from_bytes(data[start + 8 : start + 16], "big")
            if length < 8:  # 0: to the end of the file
                return False
            start += length
        return start != len(data)
    return False


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself, and their size is that of the upright picture
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata does no harm to the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _jpeg_pixels(data: bytes, min_side_px: int | None) -> np.ndarray | None:
    """Decode a YCbCr or grey JPEG by simplejpeg; None leaves the file, and the judgement, to Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "Gray"):  # RGB and CMYK: simplejpeg does not convert them as Pillow does
            return None
        # Above half the size little is gained: libjpeg's 7/8 and 3/4 are slow, and 5/8 moves embeddings the most
        # (docs/results.md).
        side = min_side_px if min_side_px and 2 * min_side_px <= min(height, width) else 0
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, min_height=side, min_width=side)
        return pixels
    except ValueError as error:
        # Pillow would show grey where data are missing and noise where they are damaged. Stray bytes between two
        # segments are the harmless exception: cameras write them.
        complaint = str(error)
        if "premature end of data segment" in complaint:
            raise BadImage("truncated") from None
        if complaint.startswith("Corrupt JPEG data") and "extraneous bytes" not in complaint:
            raise BadImage("corrupt", complaint.partition(": ")[2]) from None
        return None


def _pillow_pixels(
    data: bytes,
    image: Image.Image,
    min_side_px: int | None,
    convert: Callable[[Image.Image], np.ndarray] | None = None,
) -> np.ndarray:
    if image.format == "PNG" and _has_wrong_sum(data):
        raise BadImage("corrupt", "a checksum of the PNG is wrong")
    try:
        if min_side_px:
            image.draft(None, (min_side_px, min_side_px))  # does nothing to other formats than JPEG
        image.load()
        return (convert or _rgb)(image)
    except Exception as error:  # plug-ins raise whatever their decoder runs into
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower() or _breaks_off(data)
        raise BadImage("truncated" if cut else "corrupt", _plain(error)) from None


def _has_wrong_sum(data: bytes) -> bool:
    """Whether pixels in a PNG do not match their checksum; Pillow leaves that out, and shows the damage."""
    view, start = memoryview(data), 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        stated = view[end : end + 4]
        is_pixels = data[start + 4 : start + 8] == b"IDAT" and len(stated) == 4
        if is_pixels and zlib.crc32(view[start + 4 : end]) != int.from_bytes(stated, "big"):
            return True
        start = end + 4
    return False


def _plain(error: Exception) -> str:
    return str(error).partition(" <")[0] or type(error).__name__


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return _grey_to_rgb((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "I":
        values = np.asarray(image).clip(0)
        return _grey_to_rgb((values >> (8 if values.max() < 2**16 else 23)).astype(np.uint8))
    if image.mode == "F":
        levels = np.nan_to_num(np.asarray(image), posinf=0, neginf=0)
        levels = levels * 255 if levels.max() <= 1 else levels
        return _grey_to_rgb(levels.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _rgba(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("RGBA"))


def _in_srgb(inks: np.ndarray, profile: bytes, otherwise: np.ndarray) -> np.ndarray:
    """Return pixels of a profile, uint8 RGB [H, W, 3] or CMYK [H, W, 4], in sRGB; what is given where it says nothing.

    Relative colorimetric, as a browser does, with black to black: no ink is darker than what a screen shows. Pixels of
    a profile that is sRGB itself keep their bytes.
    """
    if not isinstance(profile, bytes):  # as TIFF's tags may be of any type
        return otherwise
    mode = "CMYK" if inks.shape[2] == 4 else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == "GRAY" and mode == "RGB":
            mode, inks = "L", inks[..., 0]
        into_srgb = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):  # the last where a field is no text
        return otherwise
    probe = Image.fromarray(_PROBE)
    if mode == "RGB" and np.abs(np.asarray(into_srgb.apply(probe), np.int16) - _PROBE).max() <= 1:
        return otherwise
    return np.asarray(into_srgb.apply(Image.fromarray(np.ascontiguousarray(inks), mode)))


_PROBE = (17 * np.indices((16, 16, 16))).reshape(3, 64, 64).transpose(1, 2, 0).astype(np.uint8)
"""Colours over all of RGB, by which a profile is told from sRGB."""


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


_PILLOW = r"PIL\."
_SILENCE = ("ignore", None, Warning, re.compile(_PILLOW), 0)
"""The filter as the warnings module keeps it."""

_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180)),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What sets a picture upright, by the value of EXIF's Orientation; 1 is upright."""
