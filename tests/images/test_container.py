import io

import numpy as np
import pytest
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gencv.core.errors import BadImage
from gencv.images.container import container_facts, estimate_quality, jpeg_segments


def saved(image: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    block = Image.Exif()
    block[274] = orientation
    return block


@settings(max_examples=80, deadline=None)
@given(st.integers(30, 98), st.integers(8, 60), st.integers(8, 60), st.integers(0, 2), st.booleans(), st.booleans())
def test_the_quality_of_a_jpeg_is_read_from_its_tables(
    quality: int, width: int, height: int, subsampling: int, progressive: bool, optimised: bool
) -> None:
    data = saved(
        picture(quality, width, height),
        quality=quality,
        subsampling=subsampling,
        progressive=progressive,
        optimize=optimised,
    )
    facts = container_facts(data)
    assert facts.quality is not None and abs(facts.quality - quality) <= 2
    assert facts.standard_tables and facts.progressive == progressive
    assert facts.subsampling == ("4:4:4", "4:2:2", "4:2:0")[subsampling]
    assert facts.standard_huffman == (not optimised and not progressive)
    assert (facts.format, facts.width, facts.height) == ("JPEG", width, height)


@given(st.lists(st.integers(1, 255), min_size=64, max_size=64))
def test_any_table_has_a_quality(table: list[int]) -> None:
    assert 1 <= estimate_quality(np.array(table)) <= 100


def test_finer_tables_are_of_higher_quality() -> None:
    qualities = [estimate_quality(np.full(64, step)) for step in (1, 2, 5, 10, 30, 100, 255)]
    assert qualities == sorted(qualities, reverse=True) and qualities[0] >= 98 and qualities[-1] <= 15


def test_tables_of_a_camera_are_not_the_standard_ones() -> None:
    facts = container_facts(saved(picture(0), qtables=[[7] * 64, [9] * 64]))
    assert facts.standard_tables is False and (facts.luma_step, facts.chroma_step) == (7.0, 9.0)


def test_other_formats_have_no_tables() -> None:
    for kind in ("PNG", "WEBP", "BMP"):
        facts = container_facts(saved(picture(0), kind))
        assert facts.format == kind and (facts.width, facts.height) == (96, 72)
        assert facts.quality is facts.luma_step is facts.subsampling is facts.standard_huffman is None
    grey = container_facts(saved(picture(0)[:, :, 0]))
    assert grey.mode == "L" and grey.chroma_step is None and grey.standard_huffman


def test_metadata_is_seen_and_the_size_is_that_of_the_upright_picture() -> None:
    plain, tagged = container_facts(saved(picture(0))), container_facts(saved(picture(0), exif=exif(6)))
    assert not plain.has_exif and tagged.has_exif
    assert tagged.metadata_bytes > plain.metadata_bytes
    assert (tagged.width, tagged.height) == (plain.height, plain.width) == (72, 96)
    profile = container_facts(saved(picture(0), icc_profile=b"profile" * 20))
    assert profile.has_icc and profile.metadata_bytes > plain.metadata_bytes + 140
    png, noted = container_facts(saved(picture(0), "PNG")), container_facts(saved(picture(0), "PNG", exif=exif()))
    assert (png.has_exif, png.metadata_bytes) == (False, 0) and noted.has_exif and noted.metadata_bytes > 0


def test_what_follows_the_end_of_a_jpeg_is_metadata() -> None:
    data = saved(picture(0))
    assert jpeg_segments(data + b"x" * 50).metadata_bytes == jpeg_segments(data).metadata_bytes + 50


def test_the_container_does_not_depend_on_what_a_picture_shows() -> None:
    facts = [container_facts(saved(picture(seed), quality=80)) for seed in range(6)]
    facts.append(container_facts(saved(np.zeros((72, 96, 3), np.uint8), quality=80)))
    assert len({fact.bytes_per_pixel for fact in facts}) > 1
    assert len({str({**vars(fact), "bytes_per_pixel": 0}) for fact in facts}) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF"]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3_000),
)
def test_damaged_bytes_are_facts_or_a_bad_image(kind: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(saved(picture(1, 40, 30), kind))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        facts = container_facts(bytes(data[: len(data) - cut % len(data)]))
    except BadImage:
        return
    assert facts.width > 0 and facts.metadata_bytes >= 0


@given(st.binary(max_size=200))
def test_segments_of_any_bytes_are_counted(data: bytes) -> None:
    assert jpeg_segments(b"\xff\xd8" + data).metadata_bytes >= 0


def test_no_picture_is_a_bad_image() -> None:
    with pytest.raises(BadImage):
        container_facts(b"text")
