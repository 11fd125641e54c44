import io
import re

import numpy as np
from fakes import manifest, picture, texts_of
from PIL import Image

from gencv.core.spectra import MeanSpectrum, Spectra
from gencv.evaluate.neighbours import Neighbours
from gencv.evaluate.projection import Projection
from gencv.images.spectra import log_power, radial_profile
from gencv.plots.heat import draw_heat_sheet, draw_legend, overlay
from gencv.plots.look import to_png
from gencv.plots.maps import draw_map
from gencv.plots.spectra import draw_differences, draw_profiles, draw_spectra
from gencv.plots.visualise import COLOURS, Looked, Network, Why, visualise_report


def spectrum(count: int, seed: int = 0) -> MeanSpectrum:
    powers = [log_power(picture(seed * 100 + k, 64, 64), "luma", 64) for k in range(count)]
    ones = [MeanSpectrum.of(power, radial_profile(power)) for power in powers if power is not None]
    return sum(ones[1:], ones[0])


def network(**more: object) -> Network:
    points = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    projection = Projection(points, np.arange(8))
    return Network(name="tiny", labels=("real", "generated"), projection=projection, **more)  # type: ignore[arg-type]


def test_heat_is_bright_where_it_is_and_the_picture_shows_through() -> None:
    pixels = np.full((32, 32, 3), 128, np.uint8)
    pixels[:, 16:] = 255
    heat = np.zeros((32, 32), np.float32)
    heat[:8, :8] = 1
    laid = overlay(pixels, heat).astype(int)
    assert laid.shape == (224, 224, 3)
    light = laid.sum(2)
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert row < 60 and column < 60
    assert (light[120, 200] - light[120, 20]) > 60, "cold places still show the picture"
    assert overlay(picture(0, 300, 300), np.ones((300, 300), np.float32)).shape == (300, 300, 3)


def test_a_sheet_has_every_picture_above_its_map_in_the_frame_of_its_class() -> None:
    pixels, heat = np.full((64, 64, 3), (10, 200, 10), np.uint8), np.zeros((64, 64), np.float32)
    sheet = np.asarray(Image.open(io.BytesIO(draw_heat_sheet([(pixels, heat, "x")] * 4, 1, title="T"))).convert("RGB"))
    green = np.argwhere((np.abs(sheet.astype(int) - (10, 200, 10)) < 3).all(2))
    assert len(green) > 4 * 100**2
    framed = (np.abs(sheet.astype(int) - (0xD5, 0x5E, 0x00)).max(2) < 3).sum()
    assert framed > 1000
    assert Image.open(io.BytesIO(draw_legend())).width > 600


def test_panels_and_profiles_name_their_generators_and_say_what_is_missing() -> None:
    means = {"camera": spectrum(3), "progan": spectrum(2, 1), "a generator of a very long name": spectrum(1, 2)}
    panels = texts_of(draw_spectra(means, title="Residual"))
    assert "camera (3)" in panels and "a generator of …" in panels and "power, dB" in panels
    profiles, differences = draw_profiles(means, ["camera"]), draw_differences(means, ["camera"])
    assert "progan (2)" in texts_of(profiles) and len(profiles.axes[0].lines) == 3
    assert len(differences.axes[0].lines) == 3, "two differences, and the line of none"
    assert len(draw_differences(means, ["camera", "progan"]).axes[0].lines) == 4, "genuine ones against all of them"
    assert "no genuine pictures" in texts_of(draw_differences(means, []))
    for figure in (draw_spectra({}), draw_profiles({}, [])):
        assert "as large as the square" in texts_of(figure)
        to_png(figure, dpi=50)


def test_maps_beside_each_other_are_of_one_height() -> None:
    points = np.zeros((12, 2))
    few = draw_map(points, ["real"] * 12, width_px=298, num_names=12)
    many = draw_map(points, [f"generator {k}" for k in range(12)], width_px=298)
    assert few.get_figheight() == many.get_figheight() and "generator 11 (1)" in texts_of(many)


def test_the_page_shows_what_there_is_and_says_what_there_is_not() -> None:
    pictures = manifest(8)
    pixels, heat = picture(0, 64, 64), np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    rows = {(0, "surest right"): [0], (1, "surest right"): [1], (0, "most uncertain"): [2], (1, "most uncertain"): []}
    rows |= {(0, "surest wrong"): [], (1, "surest wrong"): []}
    tokens = {"class token": heat, "distillation token": heat}
    looked = Looked(
        method="Attention rollout",
        meaning="Bright places reach the verdict.",
        rows=rows,
        pixels=dict.fromkeys(range(3), pixels),
        heat=dict.fromkeys(range(3), heat),
        tokens={0: tokens},
    )
    near = {label: Neighbours(np.array([[5, -1]]), np.array([[0.9, np.nan]], np.float32)) for label in (0, 1)}
    full = network(
        scores=np.linspace(0, 1, 8), looked=looked, why=Why(training=manifest(8, split="train"), rows=[3], found=near)
    )
    spectra = Spectra(side_px=64, by_signal={"luma": {"camera": spectrum(2)}, "residual": {}}, num_small={"sd": 4})
    page = visualise_report(pictures, [full], spectra, what="w", colour=list(COLOURS), method="tsne").html()
    for shown in ("Attention rollout", "none that are surest wrong", "maps by token", "4 of sd", "What its verdicts"):
        assert shown in page
    assert re.search(r'alt="real, most uncertain"', page) and 'alt="generated, most uncertain"' not in page

    none = network(scores=np.linspace(0, 1, 8), looked=Looked(method="", meaning="There is no network inside."))
    page = visualise_report(pictures, [none, full], None, what="w", colour=["class"], method="tsne").html()
    assert "no map" in page and "There is no network inside." in page and "Where tiny looks" in page
