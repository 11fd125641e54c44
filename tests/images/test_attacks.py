import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from gencv.core.errors import BadImage, UnknownName
from gencv.core.record import FAMILIES
from gencv.core.seeds import rng_for
from gencv.images.attacks import ATTACKS, MIN_SIDE_PX, RecaptureParameters, attack

PHOTO = np.asarray(Image.fromarray(photographs.astronaut()).resize((192, 192)))


@settings(max_examples=30, deadline=None)
@given(st.integers(32, 150), st.integers(32, 150), st.sampled_from(sorted(ATTACKS)), st.integers(0, 2**32))
def test_same_size_same_id_same_picture(height: int, width: int, name: str, seed: int) -> None:
    image = np.ascontiguousarray(PHOTO[:height, :width])
    before = image.copy()
    once = attack(image, name, "id", seed)
    assert once.shape == image.shape and once.dtype == np.uint8 and once.flags.c_contiguous
    assert np.array_equal(image, before)
    assert np.array_equal(once, attack(image, name, "id", seed))
    assert not np.array_equal(once, attack(image, name, "other id", seed))


@pytest.mark.parametrize("name", ATTACKS)
def test_strengths_are_moderate(name: str) -> None:
    grey = PHOTO.mean(axis=2)
    for k in range(6):
        attacked = attack(PHOTO, name, f"id{k}", 0)
        change = np.abs(attacked.astype(float) - PHOTO).mean()
        assert 2 < change < 45
        assert abs(attacked.mean() - PHOTO.mean()) < 40
        if name != "recapture":  # which moves the pixels
            assert np.corrcoef(attacked.mean(axis=2).ravel(), grey.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("name", ATTACKS)
def test_parameters_repeat_and_differ(name: str) -> None:
    parameters = ATTACKS[name].parameters
    first, again = (parameters.draw(rng_for(0, "id")) for _ in range(2))
    assert first == again != parameters.draw(rng_for(0, "other"))
    assert dataclasses.is_dataclass(first)
    periods = [getattr(parameters.draw(rng_for(k, "id")), "period_px", 3) for k in range(100)]
    assert min(periods) >= 2 and max(periods) <= 6


@pytest.mark.parametrize("name", ["print", "replay"])
def test_patterns_show_in_the_spectrum_at_their_period(name: str) -> None:
    plain = np.full((256, 256, 3), 128, np.uint8)
    drawn = ATTACKS[name].parameters.draw(rng_for(0, "id", "attack", name))
    attacked = attack(plain, name, "id", 0).astype(float)
    green = attacked[:, :, 1] - attacked[:, :, 1].mean()
    power = np.abs(np.fft.fft2(green)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    ring = np.abs(radius - 1 / drawn.period_px) < 0.01
    assert power[ring].max() > 20 * np.median(power[radius > 0.15])


def test_recapture_leaves_no_empty_border() -> None:
    white = np.full((96, 64, 3), 255, np.uint8)
    for k in range(20):
        drawn = RecaptureParameters.draw(rng_for(k, "id"))
        assert min(min(corner) for corner in drawn.corners) > 0
        assert min(drawn.shift_px) >= 1 and max(drawn.shift_px) <= 7
        assert attack(white, "recapture", f"id{k}", 0).min() >= 250


def test_names_are_families() -> None:
    assert set(ATTACKS) <= set(FAMILIES)


def test_unknown_names_and_small_pictures_are_refused() -> None:
    with pytest.raises(UnknownName, match="print"):
        attack(PHOTO, "mask", "id", 0)
    with pytest.raises(BadImage) as caught:
        attack(np.zeros((MIN_SIDE_PX - 1, 99, 3), np.uint8), "print", "id", 0)
    assert caught.value.code == "too_small"
