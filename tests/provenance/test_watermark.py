import binascii
import hashlib

import cv2
import numpy as np
import pytest
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from gencv.core.errors import BadInput
from gencv.images import degrade
from gencv.provenance import convolutional, watermark
from gencv.provenance.watermark import detect, embed, message_of, payload_of

PAYLOAD = 0xDEADBEEF


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return photographs.astronaut()


@pytest.fixture(scope="module")
def marked(photo: np.ndarray) -> np.ndarray:
    return embed(photo, PAYLOAD)


def psnr_db(image: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(image.astype(float) - other))))


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def inner(image: np.ndarray) -> np.ndarray:
    """Cut 10 % off each border and resize to the old size."""
    height, width = image.shape[:2]
    part = image[height // 10 : height * 9 // 10, width // 10 : width * 9 // 10]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


ATTACKS = {
    "none": lambda image, rng: image,
    "jpeg 50": lambda image, rng: degrade.jpeg(image, 50, rng),
    "webp 50": lambda image, rng: degrade.webp(image, 50, rng),
    "half": lambda image, rng: resized(image, image.shape[0] // 2, image.shape[1] // 2),
    "half and back": lambda image, rng: degrade.shrink(image, 0.5, rng),
    "three quarters": lambda image, rng: degrade.downscale(image, 0.75, rng),
    "larger": lambda image, rng: cv2.resize(image, None, fx=1.5, fy=1.5),
    "another aspect": lambda image, rng: resized(image, image.shape[0], image.shape[1] * 2 // 3),
    "brighter": lambda image, rng: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "flatter": lambda image, rng: (image * 0.8 + 25).astype(np.uint8),
    "border cut, old size": lambda image, rng: inner(image),
    "crop": lambda image, rng: degrade.crop(image, 0.7, rng),
    "crop of one side": lambda image, rng: np.ascontiguousarray(image[:, image.shape[1] // 4 :]),
    "crop, jpeg": lambda image, rng: degrade.jpeg(degrade.crop(image, 0.8, rng), 50, rng),
    "mirrored": lambda image, rng: np.ascontiguousarray(image[:, ::-1]),
    "upside down": lambda image, rng: np.ascontiguousarray(image[::-1]),
    "turned": lambda image, rng: np.ascontiguousarray(np.rot90(image)),
    "turned and mirrored": lambda image, rng: np.ascontiguousarray(np.rot90(image)[::-1]),
    "blurred": lambda image, rng: degrade.gaussian_blur(image, 1, rng),
    "noisy": lambda image, rng: degrade.noise(image, 5, rng),
    "screenshot": lambda image, rng: degrade.screenshot(image, 0.9, rng),
    "grey": lambda image, rng: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_mark_survives(marked: np.ndarray, attack: str) -> None:
    mark = detect(ATTACKS[attack](marked, np.random.default_rng(0)))
    assert mark.found and mark.payload == PAYLOAD and mark.confidence > 0.7


@pytest.mark.parametrize("attack", ["none", "jpeg 50", "half", "mirrored", "noisy", "brighter", "border cut, old size"])
def test_a_mark_survives_in_a_picture_of_256_px(photo: np.ndarray, attack: str) -> None:
    small = embed(resized(photo, 256, 256), PAYLOAD)
    assert detect(ATTACKS[attack](small, np.random.default_rng(0))).payload == PAYLOAD


@pytest.mark.parametrize("size", [(128, 128), (96, 130), (64, 64)])
def test_small_pictures_hold_a_mark_that_is_read_if_nothing_is_done_to_them(size: tuple[int, int]) -> None:
    for seed in range(5):
        assert detect(embed(picture(seed, *size[::-1]), PAYLOAD + seed)).payload == PAYLOAD + seed


def test_the_mark_cannot_be_seen(photo: np.ndarray, marked: np.ndarray) -> None:
    change = marked.astype(int) - photo
    assert psnr_db(photo, marked) > 39.5
    assert np.abs(change).max() < 25 and abs(change.mean()) < 0.05


def seen(image: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Return the change as an eye at arm's length has it, in levels [H, W]: single px run together."""
    return cv2.GaussianBlur(marked[:, :, 0].astype(np.float32) - image[:, :, 0], (0, 0), 2)


@pytest.mark.parametrize(("level", "most"), [(214, 0.3), (128, 0.3), (28, 0.15)])
def test_flat_ground_shows_nothing(level: int, most: float) -> None:
    flat = np.full((1024, 1024, 3), level, np.uint8)
    marked = embed(flat, PAYLOAD)
    assert seen(flat, marked).std() < most and np.abs(marked.astype(int) - flat).max() <= 2
    assert detect(marked).payload == PAYLOAD


def test_flat_ground_beside_edges_and_texture_shows_nothing() -> None:
    image = np.full((512, 512, 3), 200, np.uint8)
    image[100:400, 100:400] = np.random.default_rng(0).integers(0, 256, (300, 300, 1), np.uint8)
    image[:, 480:484] = 20
    change = seen(image, embed(image, PAYLOAD))
    beside = np.r_[420:460]
    assert change[:, beside].std() < 0.6 and change[:, 488:].std() < 0.6
    assert change[120:380, 120:380].std() > 1.5


def test_dark_ground_gets_less_than_light() -> None:
    ramp = np.repeat(np.linspace(0, 200, 512).astype(np.uint8)[None, :, None], 512, 0).repeat(3, 2)
    change = seen(ramp, embed(ramp, PAYLOAD))
    assert change[:, 20:100].std() < 0.7 * change[:, 350:500].std()


@pytest.mark.parametrize("level", [60, 128, 214])
def test_a_mark_in_flat_ground_survives_a_good_jpeg(level: int) -> None:
    flat = np.full((512, 512, 3), level, np.uint8)
    assert detect(degrade.jpeg(embed(flat, PAYLOAD), 90, np.random.default_rng(0))).payload == PAYLOAD


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(128, 400), st.integers(128, 400), st.integers(0, 5))
def test_any_payload_in_any_shape(payload: int, height: int, width: int, seed: int) -> None:
    image = picture(seed, width, height)
    marked = embed(image, payload)
    assert marked.shape == image.shape and marked.dtype == np.uint8 and psnr_db(image, marked) > 37.9
    assert detect(marked).payload == payload


def test_pictures_without_a_mark_have_none() -> None:
    rng = np.random.default_rng(0)
    sources = [photographs.astronaut(), photographs.coffee(), photographs.chelsea(), photographs.rocket()]
    for index in range(60):
        image = sources[index % 4]
        side = int(rng.integers(64, min(image.shape[:2])))
        top, left = (int(rng.integers(size - side)) for size in image.shape[:2])
        mark = detect(np.ascontiguousarray(image[top : top + side, left : left + side]))
        assert not mark.found and mark.payload is None and mark.reason


def test_no_read_out_of_noise_prefers_the_magic() -> None:
    """The bound on false positives takes the 32 checked bits of noise for even draws: each has to be near one half."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4_000, convolutional.coded_length(64)))
    messages = convolutional.decode(noise)
    expected = np.stack([message_of(int.from_bytes(np.packbits(row).tobytes()[2:6], "big")) for row in messages])
    agreeing = np.mean(messages == expected, axis=0)
    checked = [*range(16), *range(48, 64)]
    assert np.all(np.abs(agreeing[checked] - 0.5) < 0.04)  # 5 standard deviations
    assert watermark.MAX_ATTEMPTS / 2**32 < 1e-6


@pytest.mark.parametrize("bad", [0, 20, 47, 48, 63])
def test_one_wrong_bit_is_no_message(bad: int) -> None:
    bits = message_of(PAYLOAD)
    assert payload_of(bits) == PAYLOAD and len(bits) == 64
    bits[bad] ^= 1
    assert payload_of(bits) is None


def test_the_check_sum_is_the_standard_one() -> None:
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # CRC-16/CCITT-FALSE


@pytest.mark.parametrize("shape", [(1, 1), (8, 300), (31, 31), (64, 64), (300, 40), (2_000, 64)])
def test_odd_pictures_are_read_without_an_error(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for image in (np.zeros((*shape, 3), np.uint8), rng.integers(0, 256, (*shape, 3), np.uint8)):
        mark = detect(image)
        assert not mark.found and mark.reason


def test_what_cannot_be_marked_is_refused() -> None:
    with pytest.raises(BadInput, match="64 px a side"):
        embed(np.zeros((63, 200, 3), np.uint8), 1)
    for payload in (-1, 2**32):
        with pytest.raises(BadInput, match="32 bits"):
            embed(picture(0), payload)


def test_marks_that_are_out_there_stay_readable() -> None:
    """Whoever changes the waves changes MAGIC too, and goes on reading the old ones."""
    fixed, rows, columns, places, signs = watermark._layout()
    layout = b"".join(part.astype("<i2").tobytes() for part in (fixed, rows, columns, places, signs))
    assert hashlib.blake2b(layout, digest_size=8).hexdigest() == "0a7eb084a4fb85a7"
    assert (watermark.MAGIC, watermark.TILE_PX) == (0x6731, 32)
    # Sync and payload share no wave, and every coded bit has at least one.
    assert not fixed[rows, columns].any() and set(places.ravel()) == set(range(convolutional.coded_length(64)))


@pytest.mark.parametrize("share", [0.2, 0.4])
@pytest.mark.parametrize(("width", "height"), [(512, 512), (768, 768), (256, 256)])
def test_a_mark_lies_around_what_is_kept_and_is_read(photo: np.ndarray, share: float, width: int, height: int) -> None:
    image = resized(photo, height, width)
    keep = np.zeros((height, width), bool)
    across, down = round(width * share**0.5), round(height * share**0.5)
    keep[height - down - 20 : height - 20, 20 : 20 + across] = True
    marked = embed(image, PAYLOAD, keep)
    assert np.array_equal(marked[keep], image[keep]) and (marked[~keep] != image[~keep]).mean() > 0.3
    assert detect(marked).payload == PAYLOAD
    assert psnr_db(image, marked) >= 39.5


def test_a_picture_that_is_kept_whole_is_not_marked(photo: np.ndarray) -> None:
    assert np.array_equal(embed(photo, PAYLOAD, np.ones(photo.shape[:2], bool)), photo)
