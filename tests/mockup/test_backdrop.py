"""What is behind a product: even in light, and without the product."""

import numpy as np
import pytest
from fakes import disc_layer

from gencv.mockup.backdrop import filled, resized, size_for, studio
from gencv.mockup.placing import place
from gencv.mockup.scenes import Scene
from gencv.mockup.studio import paint


def test_a_studio_is_its_two_colours_in_soft_light_from_the_side() -> None:
    scene = Scene(name="s", prompt="x", wall="#8090a0", floor="#a08060", width=96, height=128, light_deg=-60)
    light = studio(scene, place(disc_layer(), scene))
    assert light.shape == (128, 96, 3) and light.dtype == np.float32
    for row, colour in ((10, scene.wall), (120, scene.floor)):
        share = light[row] / paint(colour)
        assert share.min() > 0.7 and share.max() < 1.1 and np.ptp(share, axis=1).max() < 1e-3, "its hue is kept"
        assert share[:30].mean() > share[-30:].mean(), "brighter on the side of the light"
    assert np.abs(np.diff(light, axis=1)).max() < 0.01


def test_what_is_unknown_is_made_up_of_what_is_around_it() -> None:
    y, x = np.mgrid[:40, :60].astype(np.float32) / 60
    light = np.stack([x, y, 0 * x + 0.5], axis=2)
    unknown = np.zeros((40, 60), bool)
    unknown[10:30, 20:40] = True
    spoilt = light.copy()
    spoilt[unknown] = 99
    found = filled(spoilt, unknown)
    assert np.array_equal(found[~unknown], light[~unknown])
    assert np.abs(found - light).max() < 0.12
    assert found[unknown].max() < 1, "nothing of what lay there"


def test_all_but_a_px_may_be_unknown_and_nothing_too() -> None:
    light = np.full((20, 30, 3), 0.25, np.float32)
    unknown = np.ones((20, 30), bool)
    unknown[3, 4] = False
    assert filled(light, unknown) == pytest.approx(light, abs=1e-4)
    assert np.array_equal(filled(light, ~np.zeros((20, 30), bool)), light)
    assert np.array_equal(filled(light, np.zeros((20, 30), bool)), light)


@pytest.mark.parametrize(
    ("size_px", "factor", "scene", "painted"),
    [
        (64, 8, (768, 768), (64, 64)),
        (64, 8, (1200, 800), (80, 56)),
        (512, 8, (768, 1024), (440, 592)),
        (8, 8, (4096, 64), (64, 8)),
    ],
)
def test_a_painter_paints_about_as_many_px_as_it_knows(
    size_px: int, factor: int, scene: tuple[int, int], painted: tuple[int, int]
) -> None:
    assert size_for(size_px, factor, *scene) == painted


def test_a_mean_stays_when_the_size_changes() -> None:
    values = np.random.default_rng(0).random((24, 24, 3)).astype(np.float32)
    assert resized(values, (12, 8)).mean() == pytest.approx(values.mean(), abs=1e-4)
    assert resized(values, (24, 24)) is values and resized(values, (90, 60)).min() >= 0
