from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from gencv.core.errors import BadInput
from gencv.core.seeds import rng_for
from gencv.images.decode import decode
from gencv.images.degrade import (
    CHAIN,
    DEGRADATIONS,
    blur,
    chain,
    downscale,
    encode_jpeg,
    encode_png,
    encode_webp,
    fit,
    screenshot,
)
from gencv.images.transform import resize

PHOTO = np.asarray(Image.fromarray(photographs.chelsea()).resize((150, 100)))


def error_of(image: np.ndarray) -> float:
    return float(np.square(image.astype(float) - PHOTO).mean())


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_gets_worse_with_strength(name: str) -> None:
    degradation = DEGRADATIONS[name]
    before = PHOTO.copy()
    results = [degradation.function(PHOTO, strength, rng_for(0, "id", name)) for strength in degradation.strengths]
    assert np.array_equal(PHOTO, before)
    for image in results:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.flags.c_contiguous
    if name == "screenshot":  # it gets smaller, and what is lost shows at the old size
        results = [resize(image, *PHOTO.shape[:2], "bicubic") for image in results]
    worse = [-image.size if name == "crop" else error_of(image) for image in results]
    assert worse == sorted(worse) and len(set(worse)) == len(worse)
    assert degradation.unit


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_takes_any_size_and_repeats(name: str) -> None:
    degradation = DEGRADATIONS[name]
    for height, width in ((1, 1), (3, 50), (17, 31)):
        image = np.ascontiguousarray(PHOTO[:height, :width])
        for strength in degradation.strengths:
            once = degradation.function(image, strength, rng_for(1, "a"))
            assert np.array_equal(once, degradation.function(image, strength, rng_for(1, "a")))
            assert name in ("crop", "screenshot") or once.shape == image.shape


def test_blur_follows_opencvs_rules() -> None:
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 4] = 255
    binomial = np.array([1, 4, 6, 4, 1]) / 16
    assert np.abs(blur(dot, 0, 5)[2:7, 2:7, 0] / 255 - np.outer(binomial, binomial)).max() < 0.004
    assert np.array_equal(blur(PHOTO, 0, 9), cv2.GaussianBlur(PHOTO, (9, 9), 0.3 * ((9 - 1) * 0.5 - 1) + 0.8))
    for sigma_px, kernel_px in ((0, 0), (1, 4), (-1, 3), (1, -3)):
        with pytest.raises(BadInput, match="kernel"):
            blur(PHOTO, sigma_px, kernel_px)


def test_a_screenshot_is_the_picture_at_its_display_size() -> None:
    for seed in range(12):
        shot = screenshot(PHOTO, 0.8, rng_for(seed, "a"))
        assert np.abs(np.subtract(shot.shape[:2], (80, 120))).max() <= 4
        shown = resize(shot, 80, 120, "bicubic").astype(float)
        assert np.abs(shown - downscale(PHOTO, 0.8, rng_for(0))).mean() < 20
    assert len({screenshot(PHOTO, 0.8, rng_for(seed, "a")).shape for seed in range(12)}) > 3
    assert max(screenshot(np.zeros((20, 4_000, 3), np.uint8), 0.9, rng_for(0)).shape) <= 1_920 + 4


def test_a_chain_has_two_to_five_steps_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def note(name: str) -> Callable[..., np.ndarray]:
        def step(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
            low, high = CHAIN[name][1:]
            assert low <= strength <= high
            taken.append(name)
            return image

        return step

    for name, (_, low, high) in list(CHAIN.items()):
        monkeypatch.setitem(CHAIN, name, (note(name), low, high))
    orders = []
    for index in range(200):
        taken.clear()
        chain(PHOTO, rng_for(0, str(index)))
        assert len(set(taken)) == len(taken)
        orders.append(tuple(taken))
    assert {len(order) for order in orders} == {2, 3, 4, 5}
    assert {name for order in orders for name in order} == set(CHAIN)
    assert len(set(orders)) > 150


def test_fitting_leaves_small_pictures_alone() -> None:
    assert fit(PHOTO, 150) is PHOTO
    assert fit(PHOTO, 75).shape == (50, 75, 3)
    assert fit(np.zeros((1, 3_000, 3), np.uint8), 512).shape == (1, 512, 3)


def test_encoders_write_what_they_say() -> None:
    assert np.array_equal(decode(encode_png(PHOTO)), PHOTO)
    assert error_of(decode(encode_jpeg(PHOTO, 95, "444"))) < error_of(decode(encode_jpeg(PHOTO, 95))) < 40
    assert error_of(decode(encode_webp(PHOTO, 95))) < 40
    assert len(encode_jpeg(PHOTO, 30)) < len(encode_jpeg(PHOTO, 90))
    with pytest.raises(BadInput, match="16383"):
        encode_webp(np.zeros((1, 16_384, 3), np.uint8), 80)
