from pathlib import Path

import numpy as np
import pytest
from painters import disc

from gencv.core.errors import BadInput
from gencv.core.seeds import rng_for
from gencv.diffusion.starter_pictures import (
    BACKGROUNDS,
    HUES,
    Art,
    Shown,
    caption_for,
    dominant_hue,
    is_held_out,
    names,
    turn_hue,
)


def test_art_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unpacked npm package emoji-datasource-google"):
        Art(tmp_path)


@pytest.mark.parametrize("colour", HUES)
def test_a_picture_has_the_colour_and_background_that_it_says(art: Art, colour: str) -> None:
    image = art.compose(Shown("apple", colour, "grey"))
    assert tuple(image[0, 0]) == BACKGROUNDS["grey"]
    centre = np.dstack([image[28:36, 28:36], np.full((8, 8), 255, np.uint8)])
    hue = dominant_hue(centre)
    assert hue is not None and abs((hue - HUES[colour] + 180) % 360 - 180) < 3


def test_grey_has_no_hue_and_stays(art: Art) -> None:
    assert art.hue["airplane"] is None and art.hue["apple"] is not None
    grey = disc((90, 90, 90))
    np.testing.assert_array_equal(turn_hue(grey, 77), grey)


def test_held_out_combinations_are_never_drawn_for_training(art: Art) -> None:
    rng = rng_for(0, "test")
    for _ in range(500):
        one, other = art.draw_shown(rng), art.draw_shown(rng, held_out=True)
        assert not is_held_out(one.name, one.colour) and is_held_out(other.name, other.colour)
        assert one.name in caption_for(one, rng) and one.colour in caption_for(one, rng)
    share = np.mean([is_held_out(name, colour) for name in names() for colour in HUES])
    assert 0.08 < share < 0.17


def test_a_picture_follows_from_its_seed(art: Art) -> None:
    shown = Shown("apple", "blue", "white")
    first, again, other = (art.compose(shown, rng_for(seed, "a")) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_names_are_distinct() -> None:
    assert 150 <= len(names()) <= 400
    assert len(set(names().values())) == len(names())
