"""What a file is, whatever its picture shows: its format, size, compression, and metadata.

A detector that is trained on JPEG photographs and PNG generations learns the file format. These facts are those that
such a detector could use, and no others: after all pictures are stored in one way they are the same for both classes.
So the bytes of the compressed pixels are not among them. Under given tables, subsampling, and Huffman code they follow
from the pixels alone, and are content; `bytes_per_pixel` is there to be shown, and no probe takes it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

from gencv.images.decode import Limits, image_size, open_header


@dataclass(frozen=True, kw_only=True)
class ContainerFacts:
    """Facts of one file; None where its format has no such thing. Sizes are those of the upright picture, in px."""

    format: str
    """By Pillow's name; JPEG for a file of several JPEGs too."""
    mode: str
    """Pillow's name of the channels: RGB, L, RGBA, P, CMYK ..."""
    width: int
    height: int
    aspect: float
    """Width over height."""
    quality: int | None
    """1 to 100, by `estimate_quality`."""
    standard_tables: bool | None
    """The quantisation tables are those of libjpeg at that quality; cameras and web sites have their own."""
    luma_step: float | None
    """Mean of the luma quantisation table."""
    chroma_step: float | None
    subsampling: str | None
    """Of chroma: 4:4:4, 4:2:2, 4:2:0, or other."""
    progressive: bool | None
    standard_huffman: bool | None
    """The Huffman code has the length of the standard's example, and so was not fitted to the picture."""
    has_exif: bool
    has_icc: bool
    metadata_bytes: int
    """Bytes of a JPEG or PNG beside those that decode its pixels; of another file, of its EXIF, ICC, and XMP."""
    bytes_per_pixel: float
    """Of the whole file. Half of it is content: see the head of this module."""


def container_facts(data: bytes) -> ContainerFacts:
    """Read what a file is from its header; no pixel is decoded. Raises BadImage where the header is at fault."""
    image = open_header(data, Limits())
    width, height = image_size(data)
    return ContainerFacts(
        format="JPEG" if image.format == "MPO" else str(image.format),
        mode=image.mode,
        width=width,
        height=height,
        aspect=width / height,
        has_exif=bool(image.info.get("exif") or image.info.get("Raw profile type exif")),
        has_icc=bool(image.info.get("icc_profile")),
        bytes_per_pixel=len(data) / (width * height),
        **_compression(data, image),
    )


def _compression(data: bytes, image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.quantization:
        segments = jpeg_segments(data)
        tables = [np.array(table) for _, table in sorted(image.quantization.items())]
        quality = estimate_quality(tables[0])
        return {
            "quality": quality,
            "standard_tables": _is_standard(tables, quality),
            "luma_step": float(tables[0].mean()),
            "chroma_step": float(tables[1].mean()) if len(tables) > 1 else None,
            "subsampling": SUBSAMPLINGS.get(JpegImagePlugin.get_sampling(image), "other"),
            "progressive": bool(image.info.get("progressive")),
            "standard_huffman": segments.huffman_bytes in _STANDARD_HUFFMAN_BYTES,
            "metadata_bytes": segments.metadata_bytes,
        }
    names = ("quality", "standard_tables", "luma_step", "chroma_step", "subsampling", "progressive", "standard_huffman")
    metadata = _png_metadata(data) if image.format == "PNG" else _pillow_metadata(image)
    return {**dict.fromkeys(names), "metadata_bytes": metadata}


def estimate_quality(luma: np.ndarray) -> int:
    """Return the quality, 1 to 100, whose libjpeg table is nearest to this luma quantisation table.

    luma: 64 steps, row by row. Exact for files of libjpeg and all that follow it; for the tables of cameras it is the
    quality that costs about as much. Nearest is by the sum of absolute differences; the higher quality wins a tie.
    Source: the scaling of the Independent JPEG Group's library, over the table K.1 of ITU-T T.81.
    """
    distances = np.abs(_LUMA_OF_QUALITY - np.asarray(luma, np.int64).reshape(1, 64)).sum(axis=1)
    return int(100 - distances[::-1].argmin())


def scaled_table(base: np.ndarray, quality: int) -> np.ndarray:
    """Scale a base quantisation table int [64] to a quality, 1 to 100, as libjpeg does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((base * scale + 50) // 100, 1, 255))


@dataclass(frozen=True)
class Segments:
    """Bytes of a JPEG that are not its compressed pixels: APPn, comments, and what follows its end; Huffman tables."""

    metadata_bytes: int
    huffman_bytes: int


def jpeg_segments(data: bytes) -> Segments:
    """Measure the segments of a JPEG up to its first scan; a damaged file counts as far as it can be read.

    The Huffman tables are apart, as the length of a fitted code depends on the pixels.
    """
    metadata = huffman = 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            # Within a scan 0xFF is followed by 0 or a restart, so that the first such pair is the end.
            end = data.find(b"\xff\xd9", at + 2 + length)
            metadata += 0 if end < 0 else len(data) - end - 2
            break
        if 0xE0 <= marker <= 0xEF or marker == _COMMENT:
            metadata += length + 2
        elif marker == _HUFFMAN:
            huffman += length - 2
        at += 2 + max(length, 2)
    return Segments(metadata, huffman)


def _png_metadata(data: bytes) -> int:
    """Count the bytes of a PNG's chunks that do not decode its pixels."""
    total, at = 0, 8
    while at + 8 <= len(data):
        length = 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            total += min(length, len(data) - at)
        at += length
    return total


def _pillow_metadata(image: Image.Image) -> int:
    blocks = (image.info.get(name) for name in ("exif", "icc_profile", "xmp"))
    return sum(len(block) for block in blocks if isinstance(block, bytes))


def _is_standard(tables: list[np.ndarray], quality: int) -> bool:
    bases = (_LUMA, *[_CHROMA] * (len(tables) - 1))
    return all(np.array_equal(table, scaled_table(base, quality)) for table, base in zip(tables, bases, strict=True))


_START_OF_SCAN, _COMMENT, _HUFFMAN = 0xDA, 0xFE, 0xC4
_STANDARD_HUFFMAN_BYTES = (208, 416)
"""Bytes of the example tables K.3 to K.6 of ITU-T T.81, for grey and for colour, wherever a file keeps them."""

SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
"""Pillow's numbers; -1 is grey, or anything else."""

# fmt: off
_LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,      12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,      14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,  72, 92, 95, 98, 112, 100, 103, 99,
])
_CHROMA = np.array([
    17, 18, 24, 47, 99, 99, 99, 99,  18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,  47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
])
# fmt: on
_LUMA_OF_QUALITY = np.stack([scaled_table(_LUMA, quality) for quality in range(1, 101)])
