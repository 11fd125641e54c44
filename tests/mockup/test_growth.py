"""Growth: nothing beside a product, and what continues it."""

import cv2
import numpy as np
import pytest
from fakes import disc_layer, picture

from gencv.images.light import to_linear
from gencv.mockup.growth import growth_of
from gencv.mockup.placing import Placed, place
from gencv.mockup.scenes import Scene


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(disc_layer(), Scene(name="s", prompt="x", width=160, height=160, place="centre"))


def shown(placed: Placed, behind: np.ndarray) -> float:
    growth = growth_of(placed.over(to_linear(behind)), placed.alpha)
    assert growth is not None
    return growth


def test_a_product_on_another_ground_has_not_grown(placed: Placed) -> None:
    for behind in (np.full((160, 160, 3), (90, 140, 200), np.uint8), picture(5, 160, 160) // 3 + 120):
        assert shown(placed, behind) < 0.05


def test_what_continues_a_product_is_growth(placed: Placed) -> None:
    behind = np.full((160, 160, 3), (90, 140, 200), np.uint8)
    cv2.circle(behind, (80, 80), 56, (165, 45, 45), -1)
    assert shown(placed, behind) == pytest.approx(1 - (placed.alpha > 0.5).sum() / (np.pi * 56**2), abs=0.06)


def test_a_like_thing_elsewhere_is_none(placed: Placed) -> None:
    behind = np.full((160, 160, 3), (90, 140, 200), np.uint8)
    cv2.circle(behind, (14, 14), 12, (165, 45, 45), -1)
    assert shown(placed, behind) < 0.05


def test_what_cannot_be_told_is_no_figure() -> None:
    alpha = np.zeros((64, 64), np.float32)
    assert growth_of(picture(0, 64, 64), alpha) is None
    alpha[30:32] = 1
    assert growth_of(picture(0, 64, 64), alpha) is None, "without an inside"
    alpha[4:-4, 4:-4] = 1
    assert growth_of(picture(0, 64, 64), alpha) is None, "with no px that is surely not the product's"
