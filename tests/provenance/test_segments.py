import io
import zlib

import numpy as np
import pytest
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gencv.core.errors import BadInput
from gencv.provenance.segments import kind_of, with_metadata, with_png_texts

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


def saved(kind: str, mode: str = "RGB", seed: int = 0, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(seed, 40, 30)).convert(mode).save(stream, KINDS[kind], **options)
    return stream.getvalue()


def exif_of(comment: bytes) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    return exif.tobytes()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["jpeg", "webp"]),
    st.booleans(),
    st.binary(min_size=1, max_size=300),
    st.text(alphabet="abc <>&\u00e9\u8336", max_size=300),
    st.booleans(),
)
def test_metadata_is_read_back_and_pixels_stay(
    kind: str, is_plain: bool, comment: bytes, packet: str, again: bool
) -> None:
    options = {} if is_plain else {"exif": exif_of(b"old"), "xmp": b"<old/>", "icc_profile": b"profile"}
    before = saved(kind, **options)
    xmp = packet.encode() or b" "
    after = with_metadata(before, exif=exif_of(comment), xmp=xmp, size=(40, 30))
    if again:
        after = with_metadata(after, exif=exif_of(comment), xmp=xmp, size=(40, 30))
    image = Image.open(io.BytesIO(after))
    assert image.getexif().get_ifd(0x8769)[0x9286] == comment and image.info["xmp"] == xmp
    assert np.array_equal(pixels(before), pixels(after))
    assert image.info.get("icc_profile") == (None if is_plain else b"profile")
    assert after.count(b"<old/>") == 0


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_keeps_its_alpha(lossless: bool) -> None:
    before = saved("webp", "RGBA", lossless=lossless)
    after = with_metadata(before, exif=exif_of(b"x"), xmp=b"<x/>", size=(40, 30))
    assert Image.open(io.BytesIO(after)).mode == Image.open(io.BytesIO(before)).mode
    assert np.array_equal(pixels(before), pixels(after))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"a", b"bb"]), st.binary(max_size=200)), max_size=3))
def test_text_chunks_take_the_place_of_others(texts: list[tuple[bytes, bytes]]) -> None:
    before = saved("png")
    once = with_png_texts(before, [(b"tEXt", key + b"\0" + value) for key, value in texts])
    twice = with_png_texts(once, [(b"tEXt", key + b"\0" + value) for key, value in texts])
    assert once == twice and np.array_equal(pixels(before), pixels(once))
    for key, value in texts:
        assert key + b"\0" + value in once


def test_chunks_have_their_sums() -> None:
    data = with_png_texts(saved("png"), [(b"tEXt", b"a\0b")])
    at, names = 8, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8])
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        at += size + 12
    assert names[:2] == [b"IHDR", b"tEXt"] and names[-1] == b"IEND"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(1, 1_500), st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)))
)
def test_damaged_bytes_are_refused_or_written(kind: str, cut: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(saved(kind))
    for place, value in changes:
        data[12 + place % (len(data) - 12)] = value
    data = data[: max(12, len(data) - cut)]
    try:
        if kind == "png":
            with_png_texts(bytes(data), [(b"tEXt", b"a\0b")])
        else:
            with_metadata(bytes(data), exif=b"Exif\0\0", xmp=b"<x/>", size=(40, 30))
    except BadInput:
        return


def test_kinds_are_known_by_their_first_bytes() -> None:
    assert [kind_of(saved(kind)) for kind in KINDS] == list(KINDS)
    assert kind_of(b"") is None and kind_of(b"GIF89a") is None and kind_of(b"RIFF1234WAVE") is None


def test_what_is_too_long_for_a_jpeg_is_a_sentence() -> None:
    with pytest.raises(BadInput, match="too long for a JPEG"):
        with_metadata(saved("jpeg"), exif=exif_of(b"x" * 70_000), xmp=b"", size=(40, 30))
