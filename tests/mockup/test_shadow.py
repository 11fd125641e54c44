"""Shadows: where a product stands, where its shadow falls, and what light leaves as it is."""

import cv2
import numpy as np
import pytest

from gencv.mockup.placing import Placed, place
from gencv.mockup.scenes import Scene
from gencv.mockup.shadow import relit, shadow, stand


def scene(**values: object) -> Scene:
    return Scene(**{"name": "s", "prompt": "x", "width": 160, "height": 160, "horizon": 0.5} | values)  # type: ignore[arg-type]


def shape(*points: tuple[int, int], **values: object) -> tuple[Scene, Placed]:
    """Place a polygon with corners in a square of 100 px; (0, 100) is its lower left."""
    layer = np.zeros((101, 101, 4), np.uint8)
    layer[..., :3] = 120
    layer[..., 3] = cv2.fillPoly(np.zeros((101, 101), np.uint8), [np.array(points, np.int32)], 255)
    made = scene(**values)
    return made, place(layer, made)


BOX = ((0, 0), (100, 0), (100, 100), (0, 100))


def test_a_shadow_lies_on_the_floor_away_from_the_light_and_ends() -> None:
    for light_deg, side in ((-50, 1), (50, -1)):
        made, placed = shape(*BOX, light_deg=light_deg)
        dark = 1 - shadow(made, placed)
        assert dark.dtype == np.float32 and dark.min() >= 0 and dark.max() < 1
        row = placed.bottom - 8
        left, right = dark[row, : placed.left - 3].sum(), dark[row, placed.left + placed.width + 3 :].sum()
        assert side * (right - left) > 1 and max(left, right) > 5 * min(left, right)
        assert dark[: int(0.45 * 160)].max() == 0, "no shadow on the wall"
        assert dark[placed.bottom : placed.bottom + 2, 70:90].min() > 0.5, "darkest where it stands"
        assert dark[-3:].max() < 0.05


def test_a_shadow_is_soft() -> None:
    made, placed = shape(*BOX)
    dark = shadow(made, placed)
    outside = placed.alpha == 0
    steps = np.abs(np.diff(dark, axis=1))[outside[:, 1:] & outside[:, :-1]]
    assert steps.max() < 0.2


def test_a_shoe_seen_from_a_corner_stands_on_heel_and_toe() -> None:
    _, placed = shape((0, 20), (100, 60), (100, 100), (60, 100), (0, 70))  # its sole climbs to the left by a half
    ground, touches = stand(placed)
    heel, toe = placed.left + 2, placed.left + placed.width - 5
    assert touches[heel] > 0.9 and touches[toe] > 0.9
    assert ground[toe] - ground[heel] == pytest.approx(0.3 * placed.height / 0.8, abs=2)


def test_the_spout_of_a_pot_is_in_the_air() -> None:
    _, placed = shape((20, 0), (60, 0), (60, 30), (100, 10), (100, 20), (60, 100), (20, 100))
    ground, touches = stand(placed)
    spout, body = placed.left + placed.width - 2, placed.left + round(0.3 * placed.width)
    assert touches[spout] == 0 and touches[body] == pytest.approx(1, abs=0.05)
    assert ground[spout] == pytest.approx(placed.bottom, abs=1)


def test_a_product_of_one_column_and_none_has_a_shadow_too() -> None:
    made, placed = shape((50, 0), (50, 100))
    assert np.isfinite(shadow(made, placed)).all()


def test_light_on_a_product_is_smooth_and_none_by_default() -> None:
    made, placed = shape(*BOX)
    behind = np.full((160, 160, 3), (0.6, 0.3, 0.2), np.float32)
    assert relit(made, placed, behind) is placed
    made, placed = shape(*BOX, relight=0.6, light_deg=-50)
    placed.colour[:, ::2] //= 2  # a fine pattern, as text is
    lit = relit(made, placed, behind)
    inside = lit.colour[placed.top : placed.bottom, placed.left : placed.left + placed.width].astype(int)
    assert inside[:, :20].mean() > inside[:, -20:].mean() + 5, "brighter toward the lamp"
    assert inside[..., 0].mean() > inside[..., 2].mean() + 3, "of the tint that is around"
    assert np.array_equal(lit.alpha, placed.alpha)
    assert np.abs(np.diff(inside, axis=1)).min() > 15, "the pattern is there as before"
