"""Templates on disk and from photos."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gencv.core.errors import BadInput
from gencv.images.degrade import encode_png
from gencv.mockup.surface import quad
from gencv.mockup.template import LAYOUT, Template, derive, load, plain, save

SIDE = 96


def blank(**parts: Any) -> Template:
    photo = np.full((SIDE, SIDE, 3), 230, np.uint8)
    surface = quad([(16, 16), (80, 16), (80, 80), (16, 80)], SIDE, SIDE)
    return plain("card", photo, surface, print_mm=(50.8, 50.8), **parts)


def test_a_template_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    made = blank(
        mask=x,
        shading=0.2 + 1.3 * y,
        highlight=0.5 * x * y,
        displacement=np.stack([4 * np.sin(6 * x), 2 * y], axis=2),
    )
    save(made, str(tmp_path))
    found = load(str(tmp_path))
    assert (found.name, found.print_mm, found.dpi, found.print_px) == ("card", (50.8, 50.8), 300, (600, 600))
    assert np.array_equal(found.photo, made.photo) and np.array_equal(found.surface, made.surface)
    for name, tolerance in (("mask", 0.51 / 255), ("shading", 0.01), ("highlight", 0.01), ("displacement", 4 / 128)):
        assert np.abs(getattr(found, name) - getattr(made, name)).max() <= tolerance, name
    assert found.digest() != made.digest() and load(str(tmp_path)).digest() == found.digest()


def test_only_the_layout_and_the_photo_are_needed(tmp_path: Path) -> None:
    save(blank(), str(tmp_path))
    for name in ("mask", "shading", "highlight", "displacement"):
        (tmp_path / f"{name}.png").unlink()
    found = load(str(tmp_path))
    assert (found.mask == 1).all() and (found.shading == 1).all()
    assert not found.highlight.any() and not found.displacement.any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"surface": [[[16, 16], [80, 80]], [[16, 80], [80, 16]]]}, "crosses itself"),
        ({"surface": [[[16, 16], [200, 16]], [[16, 80], [80, 80]]]}, "outside"),
        ({"surface": [[16, 16], [80, 80]]}, "rows of points"),
        ({"dpi": 150}, "does not agree at 150 DPI: 50.8 mm are 300 px"),
        ({"print_mm": [0, 50]}, "above 0"),
        ({"print_mm": [50.8, float("nan")]}, "above 0"),
        ({"shading_gain": float("nan")}, "above 0"),
        ({"displacement_px": float("inf")}, "none over 1,000,000"),
        ({"print_px": [600]}, "numbers"),
        ({"dpi": "fine"}, "numbers"),
        ({"name": "../up"}, "letters, digits"),
        ({"nmae": "card"}, "known: name"),
    ],
)
def test_a_layout_that_cannot_be_is_one_sentence(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    save(blank(), str(tmp_path))
    values = json.loads((tmp_path / LAYOUT).read_text())
    (tmp_path / LAYOUT).write_text(json.dumps(values | change))
    with pytest.raises(BadInput, match=r"^[^\n]+\.$") as caught:
        load(str(tmp_path))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        (LAYOUT, b"{", "cannot be read as JSON"),
        (LAYOUT, b"[]", "no JSON object"),
        (LAYOUT, None, "template.json is not there"),
        (LAYOUT, b"[" * 100_000, "cannot be read as JSON"),
        ("photo.png", None, "photo.png is not there"),
        ("photo.png", encode_png(np.zeros((1, 40_000, 3), np.uint8)), "has 40000x1 px; sides of up to 32,766"),
        ("mask.png", b"no picture", "mask.png cannot be read"),
        ("shading.png", encode_png(np.zeros((5, 9, 3), np.uint8)), "has 9x5 px, the photo 96x96"),
    ],
)
def test_a_folder_that_is_no_template_is_one_sentence(tmp_path: Path, file: str, data: bytes | None, says: str) -> None:
    save(blank(), str(tmp_path))
    (tmp_path / file).unlink() if data is None else (tmp_path / file).write_bytes(data)
    with pytest.raises(BadInput, match=r"^[^\n]+\.$") as caught:
        load(str(tmp_path))
    assert says in str(caught.value)


def folded(grey: float, *, deep: float = 0.3, noise: float = 0.0) -> np.ndarray:
    """A photo of cloth with one vertical fold in its middle, brighter at its left side and darker at its right one."""
    x = np.arange(200, dtype=np.float32)[None].repeat(200, 0) - 100
    light = grey * (1 - deep * x / 12 * np.exp(-((x / 12) ** 2)))
    rng = np.random.default_rng(0)
    coded = 255 * np.clip(light, 0, 1) ** (1 / 2.2) + rng.normal(0, noise, light.shape)
    return np.repeat(np.clip(coded, 0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


CORNERS = [(40, 40), (160, 40), (160, 160), (40, 160)]


@pytest.mark.parametrize("grey", [0.08, 0.3, 0.8])
def test_what_is_derived_from_a_photo_does_not_depend_on_the_colour_of_the_cloth(grey: float) -> None:
    found = derive(folded(grey), CORNERS, name="cloth")
    inside = found.mask > 0.99
    assert np.median(found.shading[inside]) == pytest.approx(1, abs=0.01)
    left, right = found.shading[100, 91], found.shading[100, 109]
    assert left > 1.08 and right < 0.92
    slopes = found.displacement[..., 0][inside]
    # Light falls from one side of the fold to the other: there the print is drawn to the left, and nowhere up or down.
    assert found.displacement[100, 100, 0] == slopes.min() < -0.5
    assert np.abs(found.displacement[..., 1][inside]).max() < 0.1


def test_a_flat_photo_moves_and_shades_nothing_even_if_it_is_noisy() -> None:
    found = derive(folded(0.5, deep=0.0, noise=1.5), CORNERS, name="paper")
    inside = found.mask > 0.99
    assert np.abs(found.shading[inside] - 1).max() < 0.06 and np.abs(found.displacement[inside]).max() < 0.5


def test_the_print_has_the_shape_of_the_quad() -> None:
    found = derive(folded(0.5), [(40, 40), (160, 40), (160, 100), (40, 100)], name="wide", width_mm=100)
    assert found.print_mm == pytest.approx((100, 50)) and found.print_px == (1181, 591)


def test_a_photo_that_shows_no_light_is_refused() -> None:
    with pytest.raises(BadInput, match="black in its photo"):
        derive(np.zeros((200, 200, 3), np.uint8), CORNERS, name="night")
    with pytest.raises(BadInput, match="crosses itself"):
        derive(folded(0.5), [CORNERS[0], CORNERS[2], CORNERS[1], CORNERS[3]], name="knot")


def test_a_derived_template_is_a_template(tmp_path: Path) -> None:
    save(derive(folded(0.5), CORNERS, name="cloth"), str(tmp_path))
    assert load(str(tmp_path)).name == "cloth"
    assert cv2.imread(str(tmp_path / "displacement.png"))[5, 5].tolist() == [127, 127, 127]
