import io
import string
import time

import numpy as np
import pytest
from fakes import picture
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from gencv.core.errors import BadInput
from gencv.provenance.parameters import MAX_SETTINGS, Parameters, SourceType, from_text, read, to_text, write

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
NASTY = 'a "quoted" cat, Steps: 20, Seed: 3\nNegative prompt: none\n\tétoile 茶 \U0001f431 \x07 \ud800 <&>"\'\\ \r\n'


def saved(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(0, 40, 30)).save(stream, KINDS[kind], **options)
    return stream.getvalue()


numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(st.text(max_size=20), st.integers(), numbers, st.booleans(), st.none())
anything = st.builds(
    Parameters,
    prompt=st.text(max_size=200) | st.just(NASTY),
    negative_prompt=st.text(max_size=100),
    seed=st.none() | st.integers(0, 2**63),
    num_inference_steps=st.none() | st.integers(0, 1000),
    guidance_scale=st.none() | numbers,
    strength=st.none() | st.floats(0, 1),
    scheduler=st.text(max_size=20),
    width=st.none() | st.integers(1, 10_000),
    height=st.none() | st.integers(1, 10_000),
    model=st.text(max_size=40),
    model_digest=st.text(string.hexdigits, max_size=16),
    versions=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    init_digest=st.none() | st.text(string.hexdigits, max_size=16),
    extras=st.dictionaries(st.text(max_size=9), values | st.lists(values, max_size=3), max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), anything)
@example("jpeg", Parameters(prompt=NASTY))
@example("png", Parameters(prompt=NASTY))
def test_parameters_come_back_from_a_file_as_they_were(kind: str, parameters: Parameters) -> None:
    before = saved(kind)
    after = write(before, parameters)
    found = read(after)
    assert (found.parameters, found.place, found.reason) == (parameters, "gencv", "")
    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(data))) for data in (before, after)))
    assert read(write(after, Parameters(seed=1))).parameters == Parameters(seed=1)


lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=60)
prompts = st.lists(lines, max_size=4).map(
    lambda parts: "\n".join(line.strip() for line in parts if not line.strip().startswith("Negative prompt:")).strip()
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(
    prompts,
    prompts,
    st.integers(0, 2**63),
    st.integers(1, 1000),
    numbers,
    st.none() | st.floats(0, 1),
    words,
    words,
    st.dictionaries(st.from_regex(r"\A[A-Za-z][A-Za-z ]{0,12}[a-z]\Z"), words.filter(bool), max_size=3),
)
@example("cat, Steps: 20, Seed: 1, Sampler: x", "", 2, 1, 1.0, None, "a, b: c", 'say "x"\n', {})
@example("cat\nSteps: 20, Seed: 1, Size: 1x1, Sampler: x", "dog\nSeed: 1", 2, 1, 1.0, None, "-", "\\", {})
def test_the_text_says_what_its_form_can_say(
    prompt: str,
    negative: str,
    seed: int,
    steps: int,
    scale: float,
    strength: float | None,
    scheduler: str,
    model: str,
    extras: dict[str, str],
) -> None:
    known = {"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model hash", "Model", "Denoising strength", "Version"}
    parameters = Parameters(
        prompt=prompt,
        negative_prompt=negative,
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=scale,
        strength=strength,
        scheduler=scheduler,
        width=640,
        height=480,
        model=model,
        extras={name: value for name, value in extras.items() if name not in known},
    )
    assert from_text(to_text(parameters)) == parameters


A1111 = (
    "a cat, (sitting:1.2) <lora:fur:0.6>\nby the sea\nNegative prompt: blurry, bad\nhands\n"
    "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 3141592653, Size: 512x768, Model hash: 6ce0161689, "
    'Model: v1-5-pruned, Denoising strength: 0.55, Clip skip: 2, Lora hashes: "fur: 0a1b, eye: 2c3d", Version: v1.10.1'
)


def test_the_text_of_a1111_is_read() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", A1111)
    found = read(saved("png", pnginfo=info))
    assert found.place == "a1111" and found.parameters == Parameters(
        prompt="a cat, (sitting:1.2) <lora:fur:0.6>\nby the sea",
        negative_prompt="blurry, bad\nhands",
        seed=3141592653,
        num_inference_steps=28,
        guidance_scale=6.5,
        strength=0.55,
        scheduler="DPM++ 2M Karras",
        width=512,
        height=768,
        model="v1-5-pruned",
        model_digest="6ce0161689",
        extras={"Clip skip": "2", "Lora hashes": "fur: 0a1b, eye: 2c3d", "Version": "v1.10.1"},
    )


@pytest.mark.parametrize("coding", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_the_text_of_a1111_is_read_from_exif(kind: str, coding: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode(coding)
    found = read(saved(kind, exif=exif))
    assert found.place == "a1111" and found.parameters is not None and found.parameters.seed == 3141592653


def test_our_text_is_that_of_a1111() -> None:
    parameters = Parameters(
        prompt="a cat",
        negative_prompt="dog",
        seed=1,
        num_inference_steps=20,
        guidance_scale=7.5,
        scheduler="Euler a",
        width=512,
        height=256,
        model="sd: 2.1",
        model_digest="ab12",
        strength=0.6,
        versions={"gencv": "0.1.0", "torch": "2.15"},
        extras={"Clip skip": 2, "nested": [1], "x": "too short a name"},
    )
    image = Image.open(io.BytesIO(write(saved("png"), parameters)))
    assert image.info["parameters"] == (
        "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 1, Size: 512x256, "
        'Model hash: ab12, Model: "sd: 2.1", Denoising strength: 0.6, Clip skip: 2, Version: gencv 0.1.0'
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_search_engines_are_told_that_a_picture_is_generated(kind: str) -> None:
    for source_type in SourceType:
        data = write(saved(kind), Parameters(), source_type=source_type)
        info = Image.open(io.BytesIO(data)).info
        packet = info["XML:com.adobe.xmp"] if kind == "png" else info["xmp"].decode()
        assert f'DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}"' in packet


def test_other_exif_stays() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "harbour", 6
    image = Image.open(io.BytesIO(write(saved("jpeg", exif=exif), Parameters(prompt="x"))))
    assert image.getexif()[0x010E] == "harbour" and image.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [(saved("png"), "the file has none"), (b"", "cannot be read"), (b"text", "cannot be read")],
)
def test_no_parameters_have_a_reason(data: bytes, reason: str) -> None:
    found = read(data)
    assert found.parameters is None and found.place == "" and reason in found.reason


@pytest.mark.parametrize(
    "record",
    [
        *("{", "[1]", '{"prompt": "x", "new": 1}', "null", "3"),
        *(
            '{"guidance_scale": NaN}',
            '{"guidance_scale": 1e999}',
            '{"extras": {"a": [-Infinity]}}',
            '{"seed": ' + "9" * 5_000,
        ),
    ],
)
def test_a_damaged_record_is_said_and_the_text_read(record: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("gencv", record)
    assert "damaged" in read(saved("png", pnginfo=info)).reason
    info.add_text("parameters", A1111)
    found = read(saved("png", pnginfo=info))
    assert found.place == "a1111" and "damaged" in found.reason


def test_a_record_in_xmp_is_no_way_to_an_error() -> None:
    for record in ("&#" + "9" * 5_000 + ";", "{", "{&quot;strength&quot;: NaN}"):
        found = read(saved("jpeg", xmp=f'<a gencv:parameters="{record}"/>'.encode()))
        assert found.parameters is None and "damaged" in found.reason


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_know_is_text(value: str) -> None:
    found = from_text(f"a cat\nSteps: 4, CFG scale: {value}, Denoising strength: {value}")
    assert found is not None and found.guidance_scale is None and found.strength is None
    assert found.extras == {"CFG scale": value, "Denoising strength": value}


@pytest.mark.parametrize("part", ["a", "a ", "ab: ", 'ab: "', 'ab:"x\\",', " ", ',ab:"'])
def test_a_long_line_is_read_at_once(part: str) -> None:
    start = time.process_time()  # it took 5 s for one line
    from_text("a cat\n" + (part * MAX_SETTINGS)[:MAX_SETTINGS])
    assert time.process_time() - start < 1


@pytest.mark.parametrize("text", ["", "a cat", "a cat\nin the sun", "Title: x, Author: y"])
def test_other_texts_are_no_parameters(text: str) -> None:
    assert from_text(text) is None


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    from_text(text)


def test_what_cannot_be_written_is_a_sentence() -> None:
    with pytest.raises(BadInput, match="PNG, JPEG, and WebP"):
        write(b"GIF89a", Parameters())
    with pytest.raises(BadInput, match="too long for a JPEG"):
        write(saved("jpeg"), Parameters(prompt="é" * 20_000))
    assert read(write(saved("webp"), Parameters(prompt="é" * 20_000))).place == "gencv"


def test_what_is_nested_or_long_without_end_is_not_read() -> None:
    for record in ("[" * 100_000, '{"extras": ' + '{"a": ' * 900 + "1" + "}" * 901):
        info = PngImagePlugin.PngInfo()
        info.add_text("gencv", record)
        info.add_text("parameters", "a cat\nSteps: 4, " + "a" * 500_000)
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
        assert read(stream.getvalue()).parameters is None
