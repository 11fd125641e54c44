"""Scenes as a whole: the product's own px, painters small and large, and products that grow."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import FakePainter, disc_layer
from painters import make_sd, painter_of

from gencv.core.contracts import CONTENT_FILTERED, Picture, Recipe
from gencv.core.errors import BadInput, ContentFiltered
from gencv.mockup.fidelity import interior_of
from gencv.mockup.placing import place
from gencv.mockup.scene import make_scene
from gencv.mockup.scenes import Scene

SIDE = 128
SCENE = Scene(name="s", prompt="a beach", width=SIDE, height=SIDE, wall="#a0b4c8", floor="#c8c0b0")


@pytest.mark.parametrize("size_px", [16, 64, SIDE, 256])
def test_the_product_is_itself_whatever_is_painted(size_px: int) -> None:
    layer = disc_layer()
    made, fidelity, facts = make_scene(layer, SCENE, FakePainter(size_px, tint=40), seed=7)
    placed = place(layer, SCENE)
    inner = interior_of(placed.alpha)
    assert made.shape == (SIDE, SIDE, 3) and made.dtype == np.uint8
    assert np.array_equal(made[inner], placed.colour[inner])
    assert (fidelity.interior_difference, fidelity.colour_shift) == (0, 0)
    assert fidelity.halo is not None and fidelity.halo < 1.5 and fidelity.growth is not None and fidelity.growth < 0.1
    assert (facts.tries, facts.recipe.seed, facts.recipe.prompt, facts.notes) == (1, 7, "a beach", ())
    assert (facts.recipe.width, facts.recipe.height) == (size_px, size_px)
    assert facts.keep[inner].all() and not facts.keep[:5].any()


def brightness(size_px: int, tint: int) -> float:
    """Return how bright the upper border is."""
    return float(make_scene(disc_layer(), SCENE, FakePainter(size_px, tint=tint))[0][:8].mean())


def test_a_large_painter_gives_its_picture_and_a_small_one_its_colours_in_part() -> None:
    assert brightness(SIDE, 30) - brightness(SIDE, 0) == pytest.approx(30, abs=1)
    small = brightness(16, 30) - brightness(16, 0)
    assert 4 < small < 12, "a quarter of what it changed, since its side is an eighth of the scene's"


def test_a_product_that_grew_is_painted_again() -> None:
    painter = FakePainter(SIDE, grows=[5, 6])
    made, fidelity, facts = make_scene(disc_layer(), SCENE, painter, seed=5)
    assert [recipe.seed for recipe in painter.asked] == [5, 6, 7]
    assert (facts.tries, facts.recipe.seed, facts.notes) == (3, 7, ())
    assert fidelity.growth is not None and fidelity.growth < 0.05
    whole, _, _ = make_scene(disc_layer(), SCENE, FakePainter(SIDE), seed=7)
    assert np.array_equal(made, whole)


def test_the_least_grown_of_all_is_kept_and_it_is_said() -> None:
    painter = FakePainter(SIDE, grows=range(9))
    _, fidelity, facts = make_scene(disc_layer(), SCENE, painter, max_tries=2)
    assert len(painter.asked) == facts.tries == 2
    assert fidelity.growth is not None and fidelity.growth > 0.1
    assert "seems to have grown in each of 2 tries" in facts.notes[0]
    assert fidelity.interior_difference == 0


class Shy(FakePainter):
    """Does not show what it paints with some seeds."""

    def __init__(self, *hides: int, **options: Any) -> None:
        super().__init__(SIDE, **options)
        self.hides = hides

    def paint(self, recipes: Sequence[Recipe], **options: Any) -> Iterator[Picture]:
        for picture in super().paint(recipes, **options):
            hidden = picture.recipe.seed in self.hides
            yield Picture(None, picture.recipe, CONTENT_FILTERED, ("Not shown.",)) if hidden else picture


def test_a_picture_that_grew_is_better_than_one_that_is_not_shown() -> None:
    _, fidelity, facts = make_scene(disc_layer(), SCENE, Shy(6, grows=range(9)), seed=5)
    assert (facts.tries, facts.recipe.seed) == (3, 5) and "in each of 2 tries" in facts.notes[0]
    assert fidelity.growth is not None and fidelity.growth > 0.1
    _, _, facts = make_scene(disc_layer(), SCENE, Shy(6, grows=[5]), seed=5)
    assert (facts.tries, facts.recipe.seed, facts.notes) == (3, 7, ()), "the next seed is asked as well"
    painter = Shy(5)
    with pytest.raises(ContentFiltered, match="Not shown"):
        make_scene(disc_layer(), SCENE, painter, seed=5)
    assert len(painter.asked) == 1, "what is refused is not asked again until it passes"


def test_growth_that_cannot_be_told_is_said() -> None:
    layer = np.full((80, 80, 4), (180, 40, 40, 255), np.uint8)
    _, fidelity, facts = make_scene(layer, replace(SCENE, size=0.9), FakePainter(SIDE, grows=range(9)))
    assert fidelity.growth is None and facts.tries == 1
    assert facts.notes == (
        "Whether the product grew is not known: it is too thin, or leaves too little of the scene free.",
    )


def test_no_colour_of_the_old_background_is_left_at_the_edge() -> None:
    layer = disc_layer()
    layer[layer[..., 3] == 0] = (0, 255, 0, 0)
    made, fidelity, _ = make_scene(layer, SCENE, FakePainter(32))
    excess = made[..., 1].astype(int) - np.maximum(made[..., 0], made[..., 2])
    assert excess.max() < 25 and fidelity.halo is not None and fidelity.halo < 1.5


def test_relighting_changes_the_product_and_says_so() -> None:
    _, fidelity, _ = make_scene(disc_layer(), replace(SCENE, relight=0.7), FakePainter(SIDE))
    assert fidelity.interior_difference and fidelity.interior_difference > 3 and fidelity.colour_shift


def test_what_a_painter_does_not_show_is_an_error() -> None:
    with pytest.raises(ContentFiltered, match="it is forbidden"):
        make_scene(disc_layer(), replace(SCENE, prompt="forbidden"), FakePainter())
    with pytest.raises(BadInput, match="cannot be seen"):
        make_scene(np.zeros((8, 8, 4), np.uint8), SCENE, FakePainter())


def test_an_enlarged_product_is_said_to_be_soft() -> None:
    _, _, facts = make_scene(disc_layer(24, 10), SCENE, FakePainter())
    assert facts.scale > 3 and "looks soft" in facts.notes[0]


def test_a_scene_follows_from_its_seed_with_a_painter_of_diffusers() -> None:
    sd = painter_of(make_sd())
    scene: Any = replace(SCENE, prompt="sand", height=96, num_inference_steps=2)
    once, twice, other = (make_scene(disc_layer(), scene, sd, seed=seed, max_tries=1) for seed in (1, 1, 2))
    assert np.array_equal(once[0], twice[0]) and not np.array_equal(once[0], other[0])
    assert once[1].interior_difference == 0 and once[2].recipe.model == "tiny"
    assert (once[2].recipe.width, once[2].recipe.height) == (16, 16)
