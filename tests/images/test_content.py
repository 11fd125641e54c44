import numpy as np
import pytest
from fakes import picture

from gencv.images.content import colourfulness, content_facts


def flat(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((40, 60, 3), (red, green, blue), np.uint8)


def test_plain_pictures_have_the_facts_that_one_can_say_beforehand() -> None:
    grey = content_facts(flat(100, 100, 100))
    assert (grey.mean_luma, grey.contrast, grey.colourfulness) == (100, 0, 0)
    halves = np.concatenate([flat(0, 0, 0), flat(200, 200, 200)])
    assert content_facts(halves).mean_luma == pytest.approx(100, abs=1)
    assert content_facts(halves).contrast == pytest.approx(100, abs=2)


def test_colourfulness_by_hand() -> None:
    assert colourfulness(flat(50, 50, 50)) == 0
    # One colour: red - green = 255, (red + green) / 2 - blue = 127.5, and no spread.
    assert colourfulness(flat(255, 0, 0)) == pytest.approx(0.3 * np.hypot(255, 127.5))
    # Half red, half green: the means of red - green cancel, and its spread is 255.
    both = np.concatenate([flat(255, 0, 0), flat(0, 255, 0)])
    assert colourfulness(both) == pytest.approx(255 + 0.3 * 127.5)


def test_noise_costs_bytes_and_size_does_not_count() -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    assert content_facts(noisy).reference_bytes > 3 * content_facts(picture(0, 224, 224)).reference_bytes
    once, twice = content_facts(flat(9, 99, 200)), content_facts(np.tile(flat(9, 99, 200), (2, 2, 1)))
    assert once == twice
