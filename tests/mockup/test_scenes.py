"""Scenes: the ones that come with gencv, those of a file, and what cannot be one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.errors import BadInput, UnknownName
from gencv.diffusion.prompts import denied
from gencv.mockup.scenes import PLACES, RANGES, Scene, scene_of, scenes


@pytest.mark.parametrize("name", scenes())
def test_a_scene_that_comes_along_is_whole(name: str) -> None:
    scene = scene_of(name)
    assert scene.name == name and len(scene.prompt) > 40 and not denied(scene.prompt)
    assert scene.relight == 0, "a product's px stay unless somebody asks for another light"
    assert Scene.from_dict(scene.to_dict()) == scene


def test_a_scene_may_lie_in_a_file(tmp_path: Path) -> None:
    place = tmp_path / "beach.json"
    place.write_text(json.dumps({"name": "beach", "prompt": "an empty beach", "place": [0.3, 0.8], "width": 512}))
    found = scene_of(str(place))
    assert (found.name, found.place, found.width, found.height) == ("beach", (0.3, 0.8), 512, 768)
    assert Scene.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "is no JSON object"),
        ('{"name": "a"}', "needed: name, prompt"),
        ('{"name": "a", "prompt": "x", "lens": 50}', "known: name, prompt"),
        (None, "is not there"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, text: str | None, says: str) -> None:
    place = tmp_path / "scene.json"
    if text is not None:
        place.write_text(text)
    with pytest.raises(BadInput, match=says):
        scene_of(str(place))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="evening, meadow, oak-table"):
        scene_of("moon")


BAD: dict[str, Any] = {
    "name": "a/b",
    "prompt": "  ",
    "negative_prompt": None,
    "wall": "red",
    "floor": 7,
    "place": "shelf",
    "horizon": 1.0,
    "size": 1.2,
    "light_deg": float("nan"),
    "relight": -0.1,
    "strength": 0,
    "guidance_scale": "7",
    "width": 32,
    "height": 700.5,
    "num_inference_steps": True,
    "scheduler": "magic",
}


@pytest.mark.parametrize("field", BAD)
def test_a_value_that_cannot_be_is_one_sentence(field: str) -> None:
    with pytest.raises(BadInput) as error:
        Scene.from_dict({"name": "a", "prompt": "x", field: BAD[field]})
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_a_strength_that_leaves_no_step_is_one_sentence() -> None:
    with pytest.raises(
        BadInput, match=r"0\.02, leaves none of its 30 steps to run; 0\.0333 or more, or more steps are"
    ):
        Scene(name="a", prompt="x", strength=0.02)
    assert Scene(name="a", prompt="x", strength=0.02, num_inference_steps=50).strength == 0.02


def test_whole_numbers_are_whole() -> None:
    scene = Scene.from_dict({"name": "a", "prompt": "x", "width": 512.0, "height": 64.0, "num_inference_steps": 30.0})
    for value in (scene.width, scene.height, scene.num_inference_steps):
        assert type(value) is int


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ([0.5], "a name or"),
        ([0.5, None], "a name or"),
        ([1.5, 0.9], "outside of the picture"),
        ([0.5, float("nan")], "outside of the picture"),
        ([0.5, 0.4], "contradicts itself: the product's foot at 0.4 .* would stand on the wall"),
    ],
)
def test_a_place_that_cannot_be_is_one_sentence(place: list[Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Scene.from_dict({"name": "a", "prompt": "x", "place": place})


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.floats(), max_size=3)
)


@given(st.dictionaries(st.sampled_from(["name", "prompt", "place", "wall", *RANGES]), anything))
def test_any_values_are_a_scene_or_one_sentence(values: dict[str, Any]) -> None:
    try:
        scene = Scene.from_dict({"name": "a", "prompt": "x", **values})
    except BadInput:
        return
    assert scene.place in PLACES or len(scene.place) == 2
    for name, (least, most) in RANGES.items():
        assert least <= getattr(scene, name) <= most
        assert isinstance(getattr(scene, name), type(least) if isinstance(least, int) else int | float)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(BadInput, match="half a character"):
        Scene(name="table", prompt="a \ud800 b")
