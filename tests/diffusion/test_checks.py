from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput, UnknownName
from gencv.diffusion.checks import fill_in, num_steps_run, require_init
from gencv.diffusion.painter import DiffusionPainter

INIT = np.zeros((64, 64, 3), np.uint8)
HOLE = np.ones((64, 64), bool)


def filled(init: np.ndarray | None = None, mask: np.ndarray | None = None, **values: Any) -> Recipe:
    return fill_in(Recipe(**{"prompt": "a cat", **values}), "tiny", 64, init, mask, 8)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"width": 63}, "63 x 64 px; sides that 8 divides"),
        ({"height": 7}, "64 x 7 px; sides that 8 divides"),
        ({"width": -8}, "sides that 8 divides"),
        ({"width": 8192}, "sides of up to 4,096 px"),
        ({"num_inference_steps": 0}, "0 steps; a whole number from 1"),
        ({"num_inference_steps": -3}, "-3 steps"),
        ({"num_inference_steps": 2.5}, "2.5 steps"),
        ({"num_inference_steps": 1001}, "from 1 to 1,000"),
        ({"prompt": "x" * 10_001}, "prompt of 10,001 characters; at most 10,000"),
        ({"negative_prompt": "x" * 10_001}, "negative prompt of 10,001"),
        ({"prompt": None}, "a NoneType; a text is accepted"),
        ({"guidance_scale": float("nan")}, "guidance scale of nan"),
        ({"guidance_scale": float("inf")}, "guidance scale of inf"),
        ({"guidance_scale": -1}, "guidance scale of -1"),
        ({"guidance_scale": 10**400}, "from 0 to 1,000 is accepted"),  # more than a float holds
        ({"seed": -1}, "seed of -1"),
        ({"seed": 2**63}, "seed of"),
        ({"scheduler": "ddimm"}, "Unknown scheduler 'ddimm'; known: .*ddim"),
        ({"strength": 0.5}, "without a picture to start from"),
        ({"model": "sdxl"}, "is for the painter 'sdxl', and this is 'tiny'"),
        ({"model": "\ud800"}, r"painter '\\ud800'"),  # half a character, which no file can hold
    ],
)
def test_a_recipe_that_cannot_be_is_refused(values: dict[str, Any], what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        filled(**values)
    assert str(caught.value).encode()


@pytest.mark.parametrize(
    ("strength", "what"),
    [
        (-0.1, "from 0 to 1"),
        (1.01, "from 0 to 1"),
        (float("nan"), "from 0 to 1"),
        (0.0, "leaves none of 30 steps"),
        (0.02, "accepted is 0.0334 or more"),
        (10**400, "from 0 to 1"),
    ],
)
def test_a_strength_that_cannot_be_is_refused(strength: float, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        filled(INIT, strength=strength)


@given(st.integers(1, 1000))
def test_the_least_strength_that_is_said_is_accepted(steps: int) -> None:
    with pytest.raises(BadInput, match="leaves none") as caught:
        filled(INIT, num_inference_steps=steps, strength=0.0)
    least = float(str(caught.value).split("accepted is ")[1].split()[0])
    assert num_steps_run(steps, least) == 1
    assert filled(INIT, num_inference_steps=steps, strength=least).strength == least


@given(steps=st.integers(1, 1000), strength=st.floats(0, 1))
def test_no_accepted_strength_leaves_no_step(steps: int, strength: float) -> None:
    run = num_steps_run(steps, strength)
    assert 0 <= run <= steps
    if run:
        assert filled(INIT, num_inference_steps=steps, strength=strength).strength == strength
    else:
        with pytest.raises(BadInput, match="leaves none"):
            filled(INIT, num_inference_steps=steps, strength=strength)


def test_what_is_left_open_is_filled_in() -> None:
    assert filled() == Recipe(prompt="a cat", model="tiny", width=64, height=64)
    assert filled(INIT).strength == 0.8
    assert filled(INIT, HOLE).strength == 1.0
    assert filled(INIT[:32]).height == 32
    assert filled(width=128).width == 128
    assert filled() == fill_in(filled(), "tiny", 64, None, None, 8)


@pytest.mark.parametrize(
    ("init", "mask", "what"),
    [
        (INIT.astype(float), None, "uint8 RGB"),
        (INIT[..., 0], None, "uint8 RGB"),
        (np.zeros((64, 64, 4), np.uint8), None, r"uint8 \[64, 64, 4\]; uint8 RGB"),
        ("cat.png", None, "a str; uint8 RGB"),
        (None, HOLE, "mask without a picture"),
        (INIT, HOLE[:32], "64 x 32 px and the picture 64 x 64"),
        (INIT, HOLE.astype(np.uint8), "bool"),
        (INIT, ~HOLE, "mask is empty"),
    ],
)
def test_a_picture_or_mask_that_is_none_is_refused(init: Any, mask: Any, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        require_init(init, mask)


def test_a_picture_of_another_size_than_asked_for_is_refused() -> None:
    with pytest.raises(BadInput, match="has 64 x 64 px and the recipe asks for 128 x 64"):
        filled(INIT, width=128)


def test_the_painter_refuses_before_it_works(sd: DiffusionPainter) -> None:
    good, bad = Recipe(prompt="a"), Recipe(prompt="b", scheduler="none")
    with pytest.raises(UnknownName):
        sd.paint([good, bad])  # not even asked for the first picture
