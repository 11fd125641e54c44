import numpy as np
import pytest

from gencv.core.spectra import frequencies
from gencv.images.spectra import (
    SIGNALS,
    hann,
    log_power,
    luma_of,
    radial_profile,
    residual_of,
    spectrum_of,
)

SIDE = 128


def picture(signal: np.ndarray) -> np.ndarray:
    """Grey levels [H, W] around 0 as uint8 RGB [H, W, 3] around 128."""
    return np.repeat(np.clip(np.rint(signal + 128), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def mean_profile(make: object, count: int = 24) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.mean([radial_profile(spectrum_of(make(rng))) for _ in range(count)], axis=0)  # type: ignore[operator]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_pattern_of_period_p_is_a_peak_at_1_over_p(signal: str, period: int) -> None:
    rng = np.random.default_rng(0)
    columns = np.arange(SIDE + 40)
    stripes = 12 * np.cos(2 * np.pi * columns / period)[None, :] + rng.normal(0, 4, (SIDE + 40, SIDE + 40))
    power = log_power(picture(stripes), signal, SIDE)
    assert power is not None and power.shape == (SIDE, SIDE)
    row, column = np.unravel_index(power.argmax(), power.shape)
    assert row == SIDE // 2 and abs(column - SIDE // 2) == SIDE // period
    profile = radial_profile(power)
    place = SIDE // period
    if place < SIDE // 2:  # a ring is a mean over its places, of which the pattern fills few
        assert profile[place] > np.median(profile[place - 6 : place + 7]) + 0.3


def test_white_noise_is_flat_and_lies_where_its_variance_says() -> None:
    profile = mean_profile(lambda rng: rng.normal(0, 8, (SIDE, SIDE)), 60)
    np.testing.assert_allclose(profile[8:], 10 * np.log10(64) - 2.507, atol=0.4)
    slope = np.polyfit(frequencies(SIDE)[8:], profile[8:], 1)[0]
    assert abs(slope) < 0.5, "dB a cycle a pixel"


@pytest.mark.parametrize("exponent", [1, 2])
def test_noise_of_power_1_over_f_has_its_slope(exponent: int) -> None:
    away = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    away[0, 0] = np.inf

    def noise(rng: np.random.Generator) -> np.ndarray:
        spectrum = np.fft.fft2(rng.normal(size=(SIDE, SIDE))) / away ** (exponent / 2)
        return np.asarray(np.fft.ifft2(spectrum).real)

    profile, rings = mean_profile(noise), slice(5, SIDE // 2 - 2)
    slope = np.polyfit(np.log10(frequencies(SIDE)[rings]), profile[rings], 1)[0]
    assert slope == pytest.approx(-10 * exponent, abs=0.5)


def test_the_window_takes_away_the_cross_of_the_borders() -> None:
    ramp = np.add.outer(np.linspace(-60, 60, SIDE), np.linspace(-60, 60, SIDE))
    bare = 10 * np.log10(np.abs(np.fft.fftshift(np.fft.fft2(ramp))) ** 2 / SIDE**2 + 1e-4)
    arm = (SIDE // 2, slice(SIDE // 2 + 20, None))
    assert bare[arm].min() > 20 > -10 > spectrum_of(ramp)[arm].max(), "dB along an arm of the cross"
    assert hann(4).tolist() == pytest.approx([0, 0.5, 1, 0.5])


def test_a_square_from_the_middle_and_none_of_a_smaller_picture() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for signal in SIGNALS:
        whole, cut = log_power(image, signal, 64), log_power(image[13:77, 28:92], signal, 64)
        assert whole is not None and np.array_equal(whole, cut)
        assert log_power(image, signal, 92) is None


def test_the_residual_forgets_flat_places_and_edges() -> None:
    halves = np.zeros((40, 40, 3), np.uint8)
    halves[:, 20:] = 200
    assert not residual_of(halves).any() and luma_of(halves).max() == pytest.approx(200)
    flat = log_power(np.full((64, 64, 3), 90, np.uint8), "luma", 64)
    assert flat is not None and np.isfinite(flat).all() and np.ptp(flat) < 1e-6
