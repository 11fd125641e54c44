"""Prints: where they lie, what light does to them, and that their edges are smooth in light."""

from typing import Any

import numpy as np
import pytest
from fakes import picture

from gencv.core.errors import BadInput, UnknownName
from gencv.images.light import to_coded, to_linear
from gencv.mockup.render import FITS, render
from gencv.mockup.surface import as_surface, quad
from gencv.mockup.template import Template, plain

SIDE = 80
CORNERS = [(16, 16), (64, 16), (64, 64), (16, 64)]


def card(corners: Any = CORNERS, grey: int = 128, mm: tuple[float, float] = (48, 48), **parts: Any) -> Template:
    photo = np.full((SIDE, SIDE, 3), grey, np.uint8)
    return plain("card", photo, quad(corners, SIDE, SIDE), print_mm=mm, **parts)


def test_a_print_in_even_light_is_the_artwork_and_nothing_else_is_touched() -> None:
    artwork = picture(1, 48, 48)
    made, fidelity = render(card(), artwork)
    away = np.abs(made[16:64, 16:64].astype(int) - artwork)
    assert away.max() <= 10 and away.mean() < 2, "samples lie between its px"
    made[16:64, 16:64] = 128
    assert (made == 128).all()
    assert fidelity.colour_shift == pytest.approx(0, abs=1e-6) and fidelity.sharpness == pytest.approx(1)
    assert fidelity.coverage == pytest.approx(1) and fidelity.dpi == pytest.approx(25.4)


def test_half_a_px_of_ink_is_half_of_the_light() -> None:
    made, _ = render(card([(16.5, 16), (64, 16), (64, 64), (16.5, 64)], grey=0), np.full((9, 9, 3), 255, np.uint8))
    assert made[40, 16].tolist() == to_coded(np.full(3, 0.5)).tolist() == [188] * 3


def test_an_edge_on_a_slant_keeps_the_light_that_its_area_has() -> None:
    corners = [(40, 12), (68, 40), (40, 68), (12, 40)]
    made, _ = render(card(corners, grey=0), np.full((5, 5, 3), 255, np.uint8))
    assert to_linear(made[..., 0]).sum() == pytest.approx(28 * 28 * 2, rel=0.005)
    assert 100 < made[26, 25, 0] < 255


def test_a_fine_pattern_becomes_the_mean_of_its_light_and_no_moire() -> None:
    artwork = np.zeros((960, 960, 3), np.uint8)
    artwork[:, ::2] = 255
    made, _ = render(card(), artwork)
    assert np.abs(made[18:62, 18:62].astype(int) - 188).max() <= 2


def test_alpha_shows_what_lies_below() -> None:
    artwork = np.full((48, 48, 4), 255, np.uint8)
    artwork[:, :24, 3] = 0
    artwork[:, 24:, 3] = 128
    made, fidelity = render(card(grey=0), artwork)
    assert (made[20:60, 18:38] == 0).all()
    assert np.abs(made[20:60, 42:62].astype(int) - int(to_coded(np.array(128 / 255)))).max() <= 1
    assert fidelity.coverage == pytest.approx(0.25, abs=0.01)


def test_transparent_px_have_no_colour() -> None:
    artwork = np.zeros((48, 48, 4), np.uint8)
    artwork[..., 0] = 255  # red, where nothing is
    artwork[12:36, 12:36] = (0, 0, 255, 255)
    made, _ = render(card([(10, 20), (70, 12), (66, 70), (14, 60)]), artwork)
    assert made[..., 0].max() <= 128


@pytest.mark.parametrize(
    ("fit", "size", "inked", "coverage"),
    [
        ("contain", (20, 40), (slice(16, 64), slice(28, 52)), 0.5),
        ("contain", (40, 20), (slice(28, 52), slice(16, 64)), 0.5),
        ("cover", (20, 40), (slice(16, 64), slice(16, 64)), 1.0),
        ("cover", (40, 20), (slice(16, 64), slice(16, 64)), 1.0),
    ],
)
def test_the_fit_says_where_ink_goes(
    fit: str, size: tuple[int, int], inked: tuple[slice, slice], coverage: float
) -> None:
    width, height = size
    made, fidelity = render(card(), np.full((height, width, 3), 255, np.uint8), fit=fit)
    expected = np.full((SIDE, SIDE, 3), 128)
    expected[inked] = 255
    assert np.array_equal(made, expected) and fidelity.coverage == pytest.approx(coverage, abs=0.001)


def test_cover_cuts_off_both_ends_alike() -> None:
    artwork = np.zeros((48, 96, 3), np.uint8)
    artwork[:, 24:72] = 200
    assert (render(card(), artwork, fit="cover")[0][16:64, 18:62] == 200).all()


def test_shading_multiplies_and_highlight_screens_in_light() -> None:
    half, tenth = np.full((SIDE, SIDE), 0.5, np.float32), np.full((SIDE, SIDE), 0.1, np.float32)
    ink = np.full((9, 9, 3), 188, np.uint8)
    light = float(to_linear(ink)[0, 0, 0])
    made, _ = render(card(shading=half), ink)
    assert made[40, 40, 0] == to_coded(np.array(light / 2))
    made, _ = render(card(highlight=tenth), ink)
    assert made[40, 40, 0] == to_coded(np.array(1 - 0.9 * (1 - light)))
    made, _ = render(card(shading=half, highlight=tenth), ink)
    assert made[40, 40, 0] == to_coded(np.array(1 - 0.9 * (1 - light / 2)))


def test_the_report_tells_what_light_took() -> None:
    dark = np.full((SIDE, SIDE), 0.4, np.float32)
    artwork = picture(2, 48, 48)
    _, even = render(card(), artwork)
    _, shaded = render(card(shading=dark), artwork)
    assert even.colour_shift is not None and shaded.colour_shift is not None and even.sharpness and shaded.sharpness
    assert shaded.colour_shift > even.colour_shift + 10 and shaded.sharpness < 0.8 * even.sharpness


def test_a_displacement_moves_the_print() -> None:
    moved = np.zeros((SIDE, SIDE, 2), np.float32)
    moved[..., 0] = 5
    artwork = np.zeros((48, 48, 3), np.uint8)
    artwork[:, 30:] = 255
    made, _ = render(card(displacement=moved), artwork)
    assert (made[20:60, 42:58] == 255).all() and (made[20:60, 16:40] == 0).all()  # read from 5 px to the right
    assert (made[20:60, 11:16] == 0).all() and (made[20:60, 59:] == 128).all()


def test_the_mask_cuts_the_print() -> None:
    mask = np.ones((SIDE, SIDE), np.float32)
    mask[:, 40:] = 0
    made, fidelity = render(card(mask=mask), np.full((9, 9, 3), 255, np.uint8))
    assert (made[:, 40:] == 128).all() and (made[20:60, 20:40] == 255).all()
    assert fidelity.coverage == pytest.approx(1), "of what can be printed on"


def test_a_mesh_prints_as_the_quad_that_it_is() -> None:
    mesh = np.stack(np.meshgrid(np.linspace(16, 64, 5), np.linspace(16, 64, 7)), axis=-1)
    artwork = picture(3, 48, 48)
    one, two = card(), plain("mesh", card().photo, as_surface(mesh, SIDE, SIDE), print_mm=(48, 48))
    assert np.abs(render(one, artwork)[0].astype(int) - render(two, artwork)[0]).max() <= 2


@pytest.mark.parametrize(
    "artwork", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8)]
)
def test_what_is_no_artwork_is_refused(artwork: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"uint8 \[H, W, 3\] or \[H, W, 4\]"):
        render(card(), artwork)


def test_an_unknown_fit_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="contain, cover"):
        render(card(), picture(0), fit="stretch")
    assert set(FITS) == {"contain", "cover"}


def test_one_px_of_artwork_and_a_very_long_one_are_printed() -> None:
    for size in ((1, 1), (1, 4000), (4000, 1), (9, 40_000), (40_000, 9)):
        made, _ = render(card(), np.full((*size, 3), 7, np.uint8))
        assert (made[17:63, 17:63] == 7).all()


def test_what_cover_cuts_off_takes_no_part() -> None:
    artwork = picture(3, 48, 48)
    for longer in ((0, 0), (700, 700)), ((700, 700), (0, 0)):
        padded = np.pad(artwork, (*longer, (0, 0)))
        found, fidelity = render(card(), padded)
        whole, same = render(card(), artwork)
        assert np.array_equal(found, whole) and fidelity == same


@pytest.mark.parametrize("rows", [2, 4])
def test_a_print_wider_than_opencv_warps_is_printed(rows: int) -> None:
    photo = np.full((8, 8400, 3), 128, np.uint8)
    surface = np.stack(np.meshgrid(np.linspace(10, 8390, rows), np.linspace(0, 8, rows)), axis=-1)
    made, _ = render(plain("banner", photo, surface, print_mm=(8380, 8)), np.full((4, 4190, 3), 40, np.uint8))
    assert (made[2:6, 11:-11] == 40).all() and (made[:, :9] == 128).all() and (made[:, -9:] == 128).all()
