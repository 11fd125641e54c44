import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from skimage import data as photographs

from gencv.core.errors import BadInput, UnknownName
from gencv.images import degrade
from gencv.images.decode import decode
from gencv.images.transform import resize
from gencv.provenance import stamp as provenance
from gencv.provenance.parameters import Parameters, SourceType, write
from gencv.provenance.stamp import FORMATS, read, stamp

PARAMETERS = Parameters(
    prompt='an "astronaut", Steps: 3\nin orange',
    seed=7,
    num_inference_steps=20,
    guidance_scale=7.5,
    scheduler="DDIM",
    width=512,
    height=512,
    model="starter",
    versions={"gencv": "0.1.0"},
)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return photographs.astronaut()


def saved(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_all_three_are_written_and_read(photo: np.ndarray, format: str) -> None:
    data = stamp(photo, PARAMETERS, format=format)
    found = read(data)
    assert found.found == ("parameters", "credentials", "watermark") and found.agree
    assert found.parameters.parameters == PARAMETERS and found.credentials.state == "trusted"
    assert found.watermark.payload == PARAMETERS.payload
    assert Image.open(io.BytesIO(data)).format == format.upper()
    assert json.loads(json.dumps(found.to_dict()))["watermark"]["payload"] == PARAMETERS.digest()[:8]
    assert read(data, image=decode(data)) == found


def test_the_pixels_of_a_png_are_those_of_the_mark_and_no_others(photo: np.ndarray) -> None:
    plain = stamp(photo, PARAMETERS, watermark=False)
    assert np.array_equal(decode(plain), photo)
    found = read(plain)
    assert found.found == ("parameters", "credentials") and found.agree is None and found.watermark.reason
    found = read(stamp(photo, PARAMETERS, credentials=False))
    assert found.found == ("parameters", "watermark") and found.credentials.state == "absent"


def edited(data: bytes) -> bytes:
    """Change one pixel and save again, the text chunks kept, as an editor does."""
    image = Image.open(io.BytesIO(data))
    image.load()
    info = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(value, str):
            info.add_itxt(key, value)
    pixels = np.array(image)
    pixels[100, 100] ^= 1
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def one_byte(data: bytes) -> bytes:
    """Change a byte of the prompt."""
    return data.replace(b"astronaut", b"astronauT")


def again(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[bytes], bytes]:
    """Return what changes the pixels and saves them in a new file, as most programs do: without its metadata."""
    return lambda data: saved(change(decode(data)))


def inner(image: np.ndarray) -> np.ndarray:
    """Cut 10 % off each border and resize to the old size."""
    height, width = image.shape[:2]
    part = image[height // 10 : height * 9 // 10, width // 10 : width * 9 // 10]
    return resize(part, height, width, "bicubic")


RNG = np.random.default_rng
# What was done: what is still there, and the state of the credentials. The rows of the table in docs/provenance.md.
SURVIVES: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...], str]] = {
    "nothing": (lambda data: data, ("parameters", "credentials", "watermark"), "trusted"),
    "one byte of the prompt": (one_byte, ("parameters", "watermark"), "invalid"),
    "one pixel, texts kept": (edited, ("parameters", "watermark"), "absent"),
    "metadata stripped": (again(lambda image: image), ("watermark",), "absent"),
    "another format": (lambda data: saved(decode(data), "WEBP", lossless=True), ("watermark",), "absent"),
    "JPEG 50": (lambda data: degrade.encode_jpeg(decode(data), 50), ("watermark",), "absent"),
    "WebP 50": (lambda data: degrade.encode_webp(decode(data), 50), ("watermark",), "absent"),
    "resized to .5": (again(lambda image: degrade.downscale(image, 0.5, RNG(0))), ("watermark",), "absent"),
    "cropped to .8 of either side": (again(lambda image: degrade.crop(image, 0.8, RNG(0))), ("watermark",), "absent"),
    "10 % cut off each border, old size": (again(inner), ("watermark",), "absent"),
    "screenshot": (again(lambda image: degrade.screenshot(image, 0.9, RNG(0))), ("watermark",), "absent"),
    "blurred away": (again(lambda image: degrade.blur(image, 8, 0)), (), "absent"),
}


@pytest.mark.parametrize("deed", SURVIVES)
def test_what_survives_what(photo: np.ndarray, deed: str) -> None:
    do, left, state = SURVIVES[deed]
    # A PNG's chunks have check sums, so that a changed byte of it is no change that anyone would see.
    found = read(do(stamp(photo, PARAMETERS, format="jpeg" if deed == "one byte of the prompt" else "png")))
    assert (found.found, found.credentials.state) == (left, state)
    if "watermark" in left:
        assert found.watermark.payload == PARAMETERS.payload
    if deed == "one byte of the prompt":  # the mark tells that these are not the parameters that it was made with
        assert found.agree is False
    if deed == "one pixel, texts kept":
        assert found.agree is True


def test_texts_that_are_forged_onto_a_stripped_picture_are_not_signed(photo: np.ndarray) -> None:
    """Of what was signed only the mark is left, and it tells that the texts are others."""
    stripped = saved(decode(stamp(photo, PARAMETERS)))
    found = read(write(stripped, Parameters(prompt="a photograph", model="camera")))
    assert found.found == ("parameters", "watermark") and found.agree is False
    assert found.credentials.state == "absent" and found.credentials.signer == ""


@pytest.mark.parametrize("format", FORMATS)
def test_texts_that_are_exchanged_in_a_signed_file_make_it_invalid(photo: np.ndarray, format: str) -> None:
    found = read(write(stamp(photo, PARAMETERS, format=format), Parameters(prompt="a photograph")))
    assert found.credentials.state == "invalid" and "credentials" not in found.found and found.agree is False


def test_the_parameters_of_another_picture_do_not_agree(photo: np.ndarray) -> None:
    found = read(write(stamp(photo, PARAMETERS, credentials=False), Parameters(prompt="something else", seed=8)))
    assert found.agree is False and found.parameters.parameters == Parameters(prompt="something else", seed=8)


@pytest.mark.parametrize("kind", [SourceType.PART_GENERATED, SourceType.COMPOSITE])
def test_a_composite_carries_its_photograph(photo: np.ndarray, kind: SourceType) -> None:
    found = read(stamp(photo, PARAMETERS, format="jpeg", ingredient=saved(photo, "JPEG"), source_type=kind))
    assert found.credentials.source_type == kind
    assert [part["relationship"] for part in found.credentials.ingredients] == ["componentOf"]
    assert found.found == ("parameters", "credentials", "watermark")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\0\x10Exif\0\0", b"RIFF"]))
def test_bytes_that_are_no_picture_have_three_reasons(data: bytes) -> None:
    found = read(data)
    assert found.found == () and found.parameters.reason and found.credentials.reason and found.watermark.reason
    json.dumps(found.to_dict())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_a_picture_of_any_mode_is_read(mode: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(0)).convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    found = read(stream.getvalue())
    assert found.found == () and found.watermark.reason == "no mark was found"


def test_the_order_is_watermark_parameters_credentials(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for module, name in (
        (provenance.pixel_watermark, "embed"),
        (provenance.file_parameters, "write"),
        (provenance.c2pa_credentials, "sign"),
    ):
        act = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _act=act, _name=name, **k: done.append(_name) or _act(*a, **k))
    stamp(photo, PARAMETERS)
    assert done == ["embed", "write", "sign"]


def test_what_cannot_be_stamped_is_a_sentence(photo: np.ndarray) -> None:
    with pytest.raises(UnknownName, match="jpeg, png, webp"):
        stamp(photo, PARAMETERS, format="gif")
    with pytest.raises(BadInput, match="1 to 100"):
        stamp(photo, PARAMETERS, quality=0)
    with pytest.raises(BadInput, match="64 px"):
        stamp(picture(0, 48, 48), PARAMETERS)
    assert read(stamp(picture(0, 48, 48), PARAMETERS, watermark=False)).found == ("parameters", "credentials")
    with pytest.raises(BadInput, match="ingredient"):
        stamp(photo, PARAMETERS, ingredient=b"text")
