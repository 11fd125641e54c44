"""The matting itself: its Laplacian by the definition, and colours that mix to the picture again."""

import tracemalloc

import numpy as np
import pytest
from fakes import picture

from gencv.core.errors import BadInput
from gencv.mockup import matting
from gencv.mockup.matting import EPSILON, alpha_of, foreground_of, matting_laplacian


def test_the_laplacian_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    found = matting_laplacian(image, np.ones((6, 5), bool)).toarray()
    expected = np.zeros((30, 30))
    for top in range(4):
        for left in range(3):
            places = [(top + dy) * 5 + left + dx for dy in range(3) for dx in range(3)]
            colours = image.reshape(-1, 3)[places] / 255
            spread = np.cov(colours.T, bias=True) + EPSILON / 9 * np.eye(3)
            centred = colours - colours.mean(axis=0)
            for a, first in enumerate(places):
                for b, second in enumerate(places):
                    pull = (1 + centred[a] @ np.linalg.inv(spread) @ centred[b]) / 9
                    expected[first, second] += (a == b) - pull
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found.sum(axis=1)).max() < 1e-8, "a constant alpha costs nothing"


def test_only_windows_that_see_an_unknown_px_are_written_down() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    wanted = np.zeros((20, 20), bool)
    wanted[10, 10] = True
    rows = np.unique(matting_laplacian(image, wanted).nonzero()[0])
    assert len(rows) == 25 and {10 * 20 + 10, 8 * 20 + 8, 12 * 20 + 12} <= set(rows.tolist())


def test_alpha_follows_a_ramp_of_colour() -> None:
    ramp = np.clip(np.linspace(-0.2, 1.2, 57), 0, 1)[None].repeat(12, 0)
    image = (ramp[..., None] * [200, 40, 60] + (1 - ramp[..., None]) * [20, 180, 90]).round().astype(np.uint8)
    known = np.where(ramp == 0, 0, np.where(ramp == 1, 1, np.nan)).astype(np.float32)
    assert np.abs(alpha_of(image, known) - ramp).max() < 0.02
    assert np.array_equal(alpha_of(image, known)[known == 1], known[known == 1])


def test_what_is_known_everywhere_is_returned() -> None:
    known = np.ones((5, 5), np.float32)
    assert np.array_equal(alpha_of(np.zeros((5, 5, 3), np.uint8), known), known)
    with pytest.raises(BadInput, match="must agree"):
        alpha_of(np.zeros((5, 6, 3), np.uint8), known)


def test_the_foreground_has_nothing_of_the_background() -> None:
    y, x = np.mgrid[:80, :80] - 39.5
    alpha = np.clip((25 - np.hypot(x, y)) / 8 + 0.5, 0, 1).astype(np.float32)
    image = (alpha[..., None] * [220, 30, 30] + (1 - alpha[..., None]) * [10, 200, 20]).round().astype(np.uint8)
    found = foreground_of(image, alpha)
    edge = (alpha > 0.1) & (alpha < 1)
    assert np.abs(found.astype(int) - [220, 30, 30])[edge].mean() < 9
    assert np.abs(image.astype(int) - [220, 30, 30])[edge].mean() > 40, "before it had"


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / 4 + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("tile_px", [17, 64, 200])
def test_tiles_have_the_colours_of_the_whole(tile_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha = picture(1, 150, 150), disc(150, 55)
    whole = foreground_of(image, alpha)
    monkeypatch.setattr(matting, "TILE_PX", tile_px)
    shown = alpha > 0
    assert np.abs(foreground_of(image, alpha).astype(int) - whole)[shown].max() <= 1


def test_a_large_picture_takes_no_more_memory_than_its_tiles() -> None:
    alpha = disc(3000, 20)
    image = np.zeros((3000, 3000, 3), np.uint8)
    tracemalloc.start()
    foreground_of(image, alpha)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * image.nbytes, "its copy, and light of one tile in 36 with what is around it"


def test_where_nothing_is_known_alpha_is_in_the_middle() -> None:
    unknown = np.full((4, 4), np.nan, np.float32)
    assert (alpha_of(np.zeros((4, 4, 3), np.uint8), unknown) == 0.5).all()
