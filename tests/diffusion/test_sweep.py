import json
from dataclasses import replace
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput
from gencv.diffusion.sweep import AXES, KINDS, MAX_CELLS, SHEETS, STYLES, read_recipes, recipe_of, sweep, varied

BASE = Recipe(prompt="a cat", seed=7, guidance_scale=3.0, negative_prompt="blur")
VALUES = {
    "prompt": st.text(max_size=3),
    "seed": st.integers(0, 2**32),
    "strength": st.floats(0, 1),
    "guidance_scale": st.floats(0, 40),
    "num_inference_steps": st.integers(1, 100),
    "scheduler": st.sampled_from(["default", "ddim", "euler"]),
}
axes = st.fixed_dictionaries(
    {}, optional={name: st.lists(values, max_size=3, unique=True) for name, values in VALUES.items()}
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(axes)
def test_a_sweep_has_every_combination_once_the_last_axis_fastest(given: dict[str, list[Any]]) -> None:
    recipes = sweep(BASE, given)
    assert len(set(recipes)) == len(recipes) == prod(len(values) for values in given.values() if values)
    rank = {name: {value: number for number, value in enumerate(given.get(name) or [])} for name in AXES}
    places = [tuple(rank[name].get(getattr(one, name), 0) for name in AXES) for one in recipes]
    assert places == sorted(places)
    assert all(replace(one, **{name: getattr(BASE, name) for name in AXES}) == BASE for one in recipes)


@given(axes)
def test_what_varied_is_found_again_and_gives_the_same_sweep(given: dict[str, list[Any]]) -> None:
    recipes = sweep(BASE, given)
    assert varied(recipes) == {name: given[name] for name in AXES if len(given.get(name, [])) > 1}
    assert sweep(recipes[0], varied(recipes)) == recipes


def test_what_no_sweep_can_be_is_said() -> None:
    with pytest.raises(BadInput, match="has a guidance scale twice"):
        sweep(BASE, {"guidance_scale": (2.0, 7.5, 2.0)})
    with pytest.raises(BadInput, match=r"1,001,000 pictures; at most 1,000,000"):
        sweep(BASE, {"seed": range(MAX_CELLS // 1000 + 1), "prompt": [str(number) for number in range(1000)]})


def test_the_sheets_are_what_they_say() -> None:
    assert len(sweep(BASE, SHEETS["parameters"])) == 12
    assert {one.num_inference_steps for one in sweep(BASE, SHEETS["parameters"])} == {40}
    prompts = [one.prompt for one in sweep(BASE, {"prompt": ("a cat", "")} | SHEETS["prompts"])]
    assert prompts == [*(f"a cat, as {style}" for style in STYLES), *STYLES]
    assert sweep(BASE, SHEETS["prompts"])[1].prompt == "a cat, as pixel art"


@pytest.mark.parametrize(
    ("text", "suffix", "entries"),
    [
        ("a cat\n\n  a dog \n", ".txt", [{"prompt": "a cat"}, {"prompt": "a dog"}]),
        ('{"prompt": "a"}\n\n{"seed": 3}\n', ".jsonl", [{"prompt": "a"}, {"seed": 3}]),
        ('{"prompt": "a\u2028b\x85"}\r\n{"prompt": "ü"}\r', ".jsonl", [{"prompt": "a\u2028b\x85"}, {"prompt": "ü"}]),
        ("\ufeffa cat\u2028here\r\n", ".txt", [{"prompt": "a cat\u2028here"}]),
        ('\ufeff[{"prompt": "a"}]', ".json", [{"prompt": "a"}]),
        ('[{"prompt": "a"}, 5]', ".json", [{"prompt": "a"}, 5]),
    ],
)
def test_a_file_is_a_list_of_entries(text: str, suffix: str, entries: list[Any]) -> None:
    assert read_recipes(text.encode(), suffix) == entries


@pytest.mark.parametrize(
    ("data", "suffix", "says"),
    [
        (b"a", ".csv", r"ends with \.csv; \.json, \.jsonl, and \.txt"),
        (b"a", "", "ends with nothing"),
        (b"{", ".json", "no JSON: "),
        (b"[" * 100_000, ".json", "no JSON: "),
        (b'{"prompt": "a"}\n\n{"prompt"}\n', ".jsonl", "no JSON: Expecting .* in line 3"),
        (b'{"prompt": "a"}', ".json", "holds none; a list of objects"),
        (b"[]", ".json", "holds none"),
        (b" \n", ".txt", "holds none"),
        ("a grün cat".encode("latin-1"), ".txt", "is no text in UTF-8: invalid .* at byte 4"),
        ("a cat".encode("utf-16"), ".txt", "is no text in UTF-8"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(data: bytes, suffix: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_recipes(data, suffix)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("a cat", "A recipe that is a str; an object"),
        ({"promt": "a"}, "A recipe with 'promt'; known are prompt, "),
        ({"prompt": 5}, "whose prompt is 5; a text is accepted"),
        ({"seed": 1.5}, "whose seed is 1.5; a whole number"),
        ({"seed": True}, "whose seed is True; a whole number"),
        ({"strength": "half"}, "whose strength is 'half'; a number"),
        ({"guidance_scale": None}, "whose guidance_scale is None; a number"),
    ],
)
def test_an_entry_that_is_no_recipe_is_one_sentence(entry: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        recipe_of(entry, BASE)


@given(st.dictionaries(st.sampled_from([*KINDS, "other"]), anything, max_size=4) | anything)
def test_an_entry_is_a_recipe_or_a_sentence(entry: Any) -> None:
    try:
        recipe = recipe_of(entry, BASE)
    except BadInput as error:
        assert str(error).endswith(".")
        return
    assert all(getattr(recipe, name) is value for name, value in entry.items())
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).prompt == recipe.prompt
