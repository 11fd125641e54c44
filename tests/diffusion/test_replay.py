"""A picture is made again to the byte, from what its file says, or it is said why not."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import picture
from hypothesis import given
from hypothesis import strategies as st
from painters import save_sd, write_lora
from PIL import Image, PngImagePlugin

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput
from gencv.core.record import picture_id
from gencv.diffusion.painter import load_painter
from gencv.diffusion.replay import How, asked_in, parameters_of, read_start, replay, to_file
from gencv.diffusion.sweep import sweep
from gencv.images.decode import decode
from gencv.provenance import parameters as stored
from gencv.provenance.parameters import Parameters

BASE = Recipe(prompt="", num_inference_steps=2, width=64, height=64)


def png(pixels: np.ndarray, **texts: str) -> bytes:
    info, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


INIT = png(picture(0, 90, 70))
MASK = png(np.pad(np.full((30, 40, 3), 255, np.uint8), ((20, 20), (25, 25), (0, 0))))


def made(
    folder: Path,
    recipes: Sequence[Recipe],
    *,
    init: bytes | None = None,
    mask: bytes | None = None,
    loras: Sequence[tuple[Path, float]] = (),
    tiled: bool = False,
    **how: Any,
) -> list[bytes]:
    """Paint recipes of one size in batches, as files."""
    painter = load_painter(str(folder), device="cpu", loras=loras, tiled=tiled)
    start, where = (None, None) if init is None else read_start(init, mask, (recipes[0].width, recipes[0].height))
    how_made = How(threads=torch.get_num_threads(), mask=picture_id(mask) if mask else "", loras=painter.loras, **how)
    init_id = picture_id(init) if init else ""
    return [
        to_file(
            one.image,
            parameters_of(replace(one, tiled=tiled), how_made, weights=painter.weights(), init_id=init_id),
            how_made,
            mask=where,
            credentials=False,
        )
        for one in painter.paint(recipes, init=start, mask=where)
        if one.image is not None
    ]


@pytest.fixture(scope="module")
def cat(sd_folder: Path) -> bytes:
    """A picture in the middle of a batch of three."""
    return made(sd_folder, sweep(replace(BASE, prompt="cat"), {"seed": (1, 2, 3)}))[1]


def test_ten_pictures_of_a_sweep_come_again_to_the_byte(sd_folder: Path) -> None:
    axes = {"prompt": ("cat", "dog"), "guidance_scale": (1.0, 2.0, 7.5, 12.0, 20.0)}
    files = made(sd_folder, sweep(replace(BASE, strength=0.8), axes), init=INIT)
    assert len({decode(file).tobytes() for file in files}) == 10
    batches = []
    for file in files:
        done = replay(file, painter=str(sd_folder), init=INIT)
        assert done.is_identical and done.sentence == "Identical: every px is the same."
        assert np.array_equal(decode(done.file), decode(file))
        found = stored.read(file).parameters
        assert found is not None and (done.recipe.prompt, done.recipe.seed) == (found.prompt, found.seed)
        batches.append((found.extras["row"], found.extras["batch"]))
    assert sorted(batches) == sorted([*((row, 2) for row in range(2)), *((row, 8) for row in range(8))])


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("mask", "kind"), [(None, "/trainedAlgorithmicMedia"), (MASK, "/compositeWithTrainedAlgorithmicMedia")]
)
def test_every_format_and_a_mask_come_again_to_the_byte(
    sd_folder: Path, form: str, mask: bytes | None, kind: str
) -> None:
    recipes = sweep(replace(BASE, strength=0.9), {"seed": (1, 2)})
    for file in made(sd_folder, recipes, init=INIT, mask=mask, format=form, quality=70):
        done = replay(file, painter=str(sd_folder), init=INIT, mask=mask)
        assert done.is_identical and done.file == file and kind.encode() in file


def test_a_picture_that_was_decoded_in_tiles_comes_again_in_tiles(sd_folder: Path) -> None:
    recipe = replace(BASE, prompt="cat")
    (tiled,), (whole,) = (made(sd_folder, [recipe], tiled=tiled) for tiled in (True, False))
    assert (decode(tiled) != decode(whole)).any()
    assert replay(tiled, painter=str(sd_folder)).is_identical and replay(whole, painter=str(sd_folder)).is_identical


@pytest.mark.parametrize(
    ("layers", "holes"),
    [
        ({"white": 255}, False),
        ({"white": 255, "alpha": 255}, False),
        ({"white": 255, "alpha": 200}, False),
        ({"alpha": 255}, True),
        ({"white": 255, "alpha": 255}, True),
    ],
)
def test_a_mask_is_read_by_its_holes_and_else_by_its_white(layers: dict[str, int], holes: bool) -> None:
    """White in the upper half; holes, where there are some, in the lower one."""
    pixels = np.zeros((64, 64, 4 if "alpha" in layers else 3), np.uint8)
    pixels[:32, :, :3] = layers.get("white", 0)
    pixels[..., 3:] = layers.get("alpha", 0)
    if holes:
        pixels[32:, :, 3] = 0
    _, where = read_start(png(picture(0, 64, 64)), png(pixels))
    assert where is not None and where.sum() == 32 * 64 and where[32 if holes else 0].all()


def test_a_mask_of_which_nothing_is_left_is_one_sentence() -> None:
    init, mask = png(picture(0, 192, 64)), png(np.pad(np.full((64, 40, 3), 255, np.uint8), ((0, 0), (0, 152), (0, 0))))
    _, where = read_start(init, mask)
    assert where is not None and where.sum() == 64 * 40
    with pytest.raises(BadInput, match="The mask is empty at 64 x 64 px"):
        read_start(init, mask, (64, 64))


def test_where_the_painter_lies_does_not_matter_and_its_loras_do(sd_folder: Path, tmp_path: Path, cat: bytes) -> None:
    shutil.copytree(sd_folder, tmp_path / "moved")
    assert replay(cat, painter=str(tmp_path / "moved")).is_identical
    write_lora(tmp_path / "style.safetensors")
    loras = [(tmp_path / "style.safetensors", 2.0)]
    (styled,) = made(sd_folder, [replace(BASE, prompt="cat", seed=2)], loras=loras)
    assert replay(styled, painter=str(sd_folder), loras=loras).is_identical
    shutil.copy(tmp_path / "style.safetensors", tmp_path / "renamed.safetensors")
    assert replay(styled, painter=str(sd_folder), loras=[(tmp_path / "renamed.safetensors", 2.0)]).is_identical
    one = r"the LoRA style\.safetensors \(\w+, weight {}\)"
    with pytest.raises(BadInput, match=f"was painted with {one.format(2)}, and given is no LoRA; give the very same"):
        replay(styled, painter=str(sd_folder))
    with pytest.raises(BadInput, match=f"with {one.format(2)}, and given is {one.format(1)}"):
        replay(styled, painter=str(sd_folder), loras=[(tmp_path / "style.safetensors", 1.0)])
    with pytest.raises(BadInput, match=f"was painted with no LoRA, and given is {one.format(2)}"):
        replay(cat, painter=str(sd_folder), loras=loras)


def test_a_picture_of_an_earlier_version_says_less_and_comes_again(sd_folder: Path) -> None:
    (cat,) = made(sd_folder, [replace(BASE, prompt="cat")], watermark=False)
    found = stored.read(cat).parameters
    assert found is not None
    fewer = {name: value for name, value in found.extras.items() if name not in ("tiled", "loras")}
    assert replay(stored.write(cat, replace(found, extras=fewer)), painter=str(sd_folder)).is_identical


def test_it_leaves_the_threads_as_they_were(sd_folder: Path, cat: bytes) -> None:
    before = torch.get_num_threads()
    replay(edited(cat, extras={"threads": before + 1}), painter=str(sd_folder))
    assert torch.get_num_threads() == before


def edited(data: bytes, *, extras: dict[str, Any] | None = None, **changes: Any) -> bytes:
    found = stored.read(data).parameters
    assert found is not None
    return stored.write(data, replace(found, extras=found.extras | (extras or {}), **changes))


def changed(data: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Return other pixels under the same words."""
    found = stored.read(data).parameters
    assert found is not None
    return stored.write(png(change(decode(data))), found)


def invert_corner(pixels: np.ndarray) -> np.ndarray:
    pixels[:8, :8] = 255 - pixels[:8, :8]
    return pixels


def test_a_picture_that_was_changed_is_not_identical(sd_folder: Path, cat: bytes) -> None:
    done = replay(changed(cat, invert_corner), painter=str(sd_folder))
    assert not done.is_identical and done.differing == 64 / 64**2
    assert done.sentence.startswith("Not identical: 1.56% of the px differ, by ")
    assert not replay(edited(cat, seed=9), painter=str(sd_folder)).is_identical


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"painter": ""}, r"says that 'tiny' painted it; give the painter to trust"),
        ({"painter": "brighter"}, r"had the weights \w+ then, and .*brighter has \w+ now"),
        ({"init": INIT}, f"has the id {picture_id(INIT)}, and the picture began with none"),
        ({"mask": MASK}, "began with none"),
    ],
)
def test_what_is_not_what_it_was_made_with(
    sd_folder: Path, tmp_path: Path, cat: bytes, files: dict[str, Any], says: str
) -> None:
    painter = {"painter": str(sd_folder)} | files
    if painter["painter"] == "brighter":
        painter["painter"] = str(save_sd(tmp_path / "brighter", brighter=1.0))
    with pytest.raises(BadInput, match=says):
        replay(cat, **painter)


def test_another_start_than_it_began_with(sd_folder: Path) -> None:
    (file,) = made(sd_folder, [replace(BASE, strength=0.9)], init=INIT, mask=MASK)
    known, other = f"of the id {picture_id(INIT)}", png(picture(1))
    for files, says in (
        ({}, f"began with a picture to start from {known}; give that file"),
        ({"init": other}, rf"has the id {picture_id(other)}, and the picture began with that {known}"),
        ({"init": INIT}, "began with a mask of the id"),
        ({"init": INIT, "mask": png(decode(MASK)[:50])}, "The mask has the id"),
    ):
        with pytest.raises(BadInput, match=says):
            replay(file, painter=str(sd_folder), **files)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cat: png(decode(cat)), "cannot be made again: the file has none"),
        (
            lambda cat: png(decode(cat), parameters="cat\nSteps: 2, Seed: 2, Size: 64x64"),
            "what it says is not all that a picture follows from",
        ),
        (lambda cat: png(decode(cat), gencv="{}}"), "the gencv record is damaged"),
        (lambda cat: b"no picture", "cannot be made again"),
        (lambda cat: png(decode(cat), gencv=json.dumps(Parameters(prompt="a mug").to_dict())), "nothing to replay"),
        (lambda cat: edited(cat, num_inference_steps=0), "0 steps; a whole number"),
        (lambda cat: edited(cat, seed="seven"), "was changed: A recipe whose seed is 'seven'; a whole number"),
        (lambda cat: edited(cat, extras={"row": 3}), "was changed: .* row 3 of a batch of 3"),
        (lambda cat: edited(cat, extras={"threads": 2**40}), "1099511627776 threads.* 1 to 1,024 threads"),
        (lambda cat: edited(cat, extras={"batch": 10**9}), "a batch of 1000000000: that cannot be"),
        (lambda cat: edited(cat, extras={"loras": [["style", 5]]}), r"A LoRA that is \['style', 5\]; its name, digest"),
        (lambda cat: edited(cat, extras={"loras": "style"}), r"Its loras is 'style'"),
        (lambda cat: edited(cat, extras={"speed": "fast"}), "was changed: Unknown speed 'fast'"),
        (lambda cat: edited(cat, model="../elsewhere"), "says that '../elsewhere' painted it"),
        (
            lambda cat: changed(cat, lambda pixels: pixels[:48]),
            r"has 64 x 48 px and was painted with 64 x 64; it was cut",
        ),
    ],
)
def test_a_file_that_does_not_say_how_it_was_made(
    sd_folder: Path, cat: bytes, change: Callable[[bytes], bytes], says: str
) -> None:
    file = change(cat)
    painter = "" if says.startswith("says that") else str(sd_folder)
    with pytest.raises(BadInput, match=says) as caught:
        replay(file, painter=painter)
    assert "\n" not in str(caught.value)


KNOWN = Parameters(**Recipe(prompt="a").to_dict(), extras=How().to_dict())
json_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just([1])
    | st.just({})
)


@given(
    st.dictionaries(st.sampled_from(sorted(Recipe(prompt="").to_dict())), json_values, max_size=3),
    st.dictionaries(st.sampled_from(sorted(How().to_dict())), json_values, max_size=3) | json_values,
)
def test_whatever_a_file_says_is_a_recipe_or_a_sentence(fields: dict[str, Any], extras: Any) -> None:
    said = KNOWN.extras | extras if isinstance(extras, dict) else extras
    try:
        how, recipe = asked_in(replace(KNOWN, **fields, extras=said))
    except BadInput as error:
        assert str(error).endswith(".")
        return
    assert how.to_dict() == said and all(recipe.to_dict()[name] == fields[name] for name in fields)


def test_a_lora_of_a_weight_that_no_number_holds_is_refused() -> None:
    with pytest.raises(BadInput, match="A LoRA that is"):
        How(loras=(("n", "d", 10**400),))
