"""Places of products: their size, their foot, and their own px."""

import numpy as np
import pytest
from fakes import disc_layer, picture

from gencv.core.errors import BadInput
from gencv.images.light import to_linear
from gencv.mockup.placing import place
from gencv.mockup.scenes import PLACES, Scene


def scene(**values: object) -> Scene:
    return Scene(**{"name": "s", "prompt": "x", "width": 128, "height": 96, "size": 0.5} | values)  # type: ignore[arg-type]


def test_a_product_keeps_its_bytes_where_it_keeps_its_size() -> None:
    layer = np.dstack([picture(1, 40, 48), np.full((48, 40), 255, np.uint8)])
    placed = place(layer, scene(place=(0.5, 0.9)))
    assert (placed.scale, placed.width, placed.height) == (1, 40, 48)
    assert (placed.left, placed.top) == (64 - 20, round(0.9 * 96) - 48)
    box = slice(placed.top, placed.bottom), slice(placed.left, placed.left + 40)
    assert np.array_equal(placed.colour[box], layer[..., :3]) and (placed.alpha[box] == 1).all()
    assert placed.alpha.sum() == 40 * 48
    made = placed.over(np.zeros((96, 128, 3), np.float32))
    assert np.array_equal(made[box], layer[..., :3]) and made.sum() == layer[..., :3].sum()


def test_what_is_transparent_around_a_product_counts_for_nothing() -> None:
    layer = np.zeros((200, 300, 4), np.uint8)
    layer[50:98, 100:140] = 255
    placed = place(layer, scene())
    assert (placed.width, placed.height, placed.scale) == (40, 48, 1)


@pytest.mark.parametrize("shape", [(30, 90), (90, 30), (60, 60), (4, 400), (400, 4)])
@pytest.mark.parametrize("where", PLACES)
def test_a_named_place_holds_a_product_of_any_shape(where: str, shape: tuple[int, int]) -> None:
    for size in (0.1, 0.5, 0.95):
        placed = place(np.full((*shape, 4), 255, np.uint8), scene(place=where, size=size))
        assert placed.left >= 0 and placed.left + placed.width <= 128
        assert placed.top >= 0 and placed.bottom <= 96
        assert max(placed.width / 128, placed.height / 96) == pytest.approx(size, abs=0.01)


def test_a_small_product_stands_on_the_floor_and_not_on_the_wall() -> None:
    for where in PLACES:
        placed = place(np.full((9, 9, 4), 255, np.uint8), scene(place=where, size=0.15, horizon=0.7))
        assert placed.bottom > 0.7 * 96


def test_a_product_is_shrunk_in_light() -> None:
    layer = np.full((96, 128, 4), 255, np.uint8)
    layer[::2, :, :3] = 0
    placed = place(layer, scene())
    inside = placed.colour[placed.alpha == 1]
    assert np.abs(to_linear(inside) - 0.5).max() < 0.02


def test_colours_under_what_is_transparent_do_not_bleed() -> None:
    layer = np.zeros((64, 64, 4), np.uint8)
    layer[..., 1] = 255  # green, where nothing is
    layer[16:49, 16:49] = (200, 0, 0, 255)
    placed = place(layer, scene(size=0.13))
    assert placed.colour[placed.alpha > 0.1][:, 1].max() == 0


def test_what_cannot_be_placed_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="all of it is transparent"):
        place(np.zeros((9, 9, 4), np.uint8), scene())
    with pytest.raises(BadInput, match="reach out of the scene s, 128 x 96 px, with its foot at"):
        place(disc_layer(), scene(place=(0.1, 0.9)))
    with pytest.raises(BadInput, match=r"uint8 RGBA"):
        place(np.zeros((9, 9, 3), np.uint8), scene())
