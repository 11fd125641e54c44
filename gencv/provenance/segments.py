"""Put metadata into the bytes of a PNG, JPEG, or WebP without decoding it: its compressed pixels stay as they are.

Own code, since no kept library does it under a licence that fits: piexif is not maintained, exiv2's bindings are GPL,
and Pillow writes metadata only together with newly compressed pixels. Files that break off are BadInput.
Sources: PNG (W3C, third edition), 5.3; ITU-T T.81, B.1; RFC 9649 (WebP), 2.7.
"""

import zlib
from collections.abc import Iterator

from gencv.core.errors import BadInput

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
SEGMENT_BYTES = 65_533
"""The most that a JPEG's segment holds."""


def kind_of(data: bytes) -> str | None:
    """Return png, jpeg, or webp by the first bytes of a file, None for anything else."""
    if data.startswith(PNG):
        return "png"
    if data.startswith(JPEG):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def with_metadata(data: bytes, *, exif: bytes, xmp: bytes, size: tuple[int, int]) -> bytes:
    """Return a JPEG or WebP with this EXIF (from `Exif`, as Pillow makes it) and this XMP packet in place of others.

    size: (width, height) of the stored pixels, for a WebP's header.
    """
    return _with_jpeg_segments(data, exif, xmp) if kind_of(data) == "jpeg" else _with_webp_chunks(data, exif, xmp, size)


def with_png_texts(data: bytes, texts: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG with these text chunks (type, content) behind its header, in place of those of the same keyword."""
    keywords = {_keyword(content) for _, content in texts}
    out = [PNG]
    for kind, content, whole in _png_chunks(data):
        if kind in (b"tEXt", b"zTXt", b"iTXt") and _keyword(content) in keywords:
            continue
        out.append(whole)
        if kind == b"IHDR":
            out += [_png_chunk(*text) for text in texts]
    return b"".join(out)


def _keyword(content: bytes) -> bytes:
    return content.partition(b"\0")[0]


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    at = len(PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise BadInput("The PNG breaks off within a chunk.")
        yield data[at + 4 : at + 8], data[at + 8 : end - 4], data[at:end]
        at = end


def _with_jpeg_segments(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    for name, content in (("text", exif), ("record", XMP + xmp)):
        if len(content) > SEGMENT_BYTES:
            raise BadInput(
                f"The parameters are too long for a JPEG: their {name} takes {len(content)} bytes of "
                f"{SEGMENT_BYTES}; PNG and WebP hold them."
            )
    ours = b"".join(b"\xff\xe1" + (len(part) + 2).to_bytes(2, "big") + part for part in (exif, XMP + xmp))
    kept, at = [data[:2]], 2
    is_placed = False
    # Marker segments up to the first that is neither APPn nor a comment; JFIF's APP0 has to stay first.
    while data[at : at + 1] == b"\xff" and (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] in (0xFE, 0xFF)):
        if data[at + 1] == 0xFF:
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) - 2 or end < at + 4:
            raise BadInput("The JPEG breaks off within a segment.")
        if not is_placed and data[at + 1] != 0xE0:
            kept.append(ours)
            is_placed = True
        if not data[at + 4 : end].startswith((EXIF, XMP)):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, b"" if is_placed else ours, data[at:]])


_HAS_EXIF, _HAS_XMP, _HAS_ALPHA = 0x08, 0x04, 0x10


def _with_webp_chunks(data: bytes, exif: bytes, xmp: bytes, size: tuple[int, int]) -> bytes:
    chunks = [(kind, content) for kind, content in _webp_chunks(data) if kind not in (b"EXIF", b"XMP ")]
    if chunks and chunks[0][0] == b"VP8X":
        header = bytearray(chunks.pop(0)[1])
    else:  # a simple file: one chunk of pixels, which says itself whether they have alpha
        is_clear = chunks[0][0] == b"VP8L" and bool(chunks[0][1][4] & 0x10) if chunks else False
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        header = bytearray(bytes([_HAS_ALPHA if is_clear else 0, 0, 0, 0]) + sides)
    header[0] |= _HAS_EXIF | _HAS_XMP
    # WebP's EXIF has no leading `Exif`; some readers cope with it, the standard does not ask them to.
    chunks = [(b"VP8X", bytes(header)), *chunks, (b"EXIF", exif.removeprefix(EXIF)), (b"XMP ", xmp)]
    body = b"WEBP" + b"".join(
        kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            raise BadInput("The WebP breaks off within a chunk.")
        yield data[at : at + 4], data[at + 8 : end]
        at = end + end % 2
