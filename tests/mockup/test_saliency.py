"""What stands out: a thing near the middle, wherever it is not cut by the border."""

import numpy as np
import pytest
from fakes import picture

from gencv.mockup.saliency import CELLS, saliency_of


def scene(middle: tuple[float, float], radius: float = 20, width: int = 160, height: int = 120) -> np.ndarray:
    """A reddish disc before something dark and bluish."""
    y, x = np.mgrid[:height, :width]
    behind = picture(5, width, height) // 6 + np.array([10, 30, 60], np.uint8)
    disc = np.hypot(x - middle[0], y - middle[1]) < radius
    return np.where(disc[..., None], np.array([200, 60, 40]), behind).astype(np.uint8)


@pytest.mark.parametrize("middle", [(80, 60), (60, 50), (100, 75)])
def test_a_thing_stands_out_where_it_is(middle: tuple[float, float]) -> None:
    found = saliency_of(scene(middle))
    assert found is not None and found.shape == (round(CELLS * 0.75), CELLS) and found.dtype == np.float32
    assert (found.min(), found.max()) == (0, pytest.approx(1, abs=1e-6))
    y, x = (np.mgrid[: found.shape[0], :CELLS] + 0.5) * 160 / CELLS
    away = np.hypot(x - middle[0], y - middle[1])
    assert found[away < 15].min() > 0.8 and found[away > 30].max() < 0.35


def test_what_the_border_cuts_is_background() -> None:
    both = scene((80, 60))
    both[:, :30] = (200, 190, 40)  # as far from the background as the disc, and at the border
    found = saliency_of(both)
    assert found is not None and found[10:12, 14:16].min() > 0.8 and found[:, :5].max() < 0.3


def test_of_two_like_things_the_one_in_the_middle_stands_out_more() -> None:
    two = np.maximum(scene((80, 60), radius=14), scene((134, 96), radius=14))
    found = saliency_of(two)
    assert found is not None
    assert found[11, 15] > found[18, 25]


@pytest.mark.parametrize(
    "image",
    [
        np.full((90, 90, 3), 120, np.uint8),
        np.full((1, 1, 3), 9, np.uint8),
        np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(118, 122, (90, 90, 3)).astype(np.uint8),
    ],
    ids=["plain", "one px", "noise", "faint noise"],
)
def test_where_nothing_stands_out_there_is_no_map(image: np.ndarray) -> None:
    assert saliency_of(image) is None
