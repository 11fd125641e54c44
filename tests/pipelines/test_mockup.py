"""Mockups without Ray: names, rows, and what fails alone."""

from pathlib import Path

import numpy as np
import pytest
from fakes import picture, write_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gencv.core import tables
from gencv.core.errors import BadInput
from gencv.diffusion.surface import quad
from gencv.diffusion.template import plain, save
from gencv.images.decode import decode
from gencv.pipelines.mockup import PICTURES_SCHEMA, PRODUCTS, MakeMockups, products_in, unique


@pytest.fixture
def card(tmp_path: Path) -> str:
    """The folder of a small template."""
    photo = np.full((64, 64, 3), 90, np.uint8)
    save(
        plain("card", photo, quad([(8, 8), (56, 8), (56, 56), (8, 56)], 64, 64), print_mm=(48, 48)), str(tmp_path / "t")
    )
    return str(tmp_path / "t")


def make(out: Path, places: list[Path], *templates: str, art: str = "photo") -> list[dict]:
    products = products_in([str(place) for place in places])
    tables.write_table(products, str(out / PRODUCTS))
    work = MakeMockups(str(out), templates, "cover", art)
    parts = [work(part) for part in range(products.num_rows)]
    assert all(part.schema == PICTURES_SCHEMA for part in parts)
    return [row for part in parts for row in part.to_pylist()]


def test_a_mockup_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path, card: str) -> None:
    good = write_pictures(tmp_path / "p", 2)
    bad = tmp_path / "p" / "bad.png"
    bad.write_bytes(b"no picture")
    rows = make(tmp_path / "out", [*good, bad, tmp_path / "p" / "gone.jpg"], card, str(tmp_path / "nowhere"))
    assert [(row["product"], row["template"], row["error"]) for row in rows] == [
        ("0000", "card", None),
        ("0000", "nowhere", "BadInput"),
        ("0001", "card", None),
        ("0001", "nowhere", "BadInput"),
        ("bad", "card", "not_an_image"),
        ("bad", "nowhere", "not_an_image"),
        ("gone", "card", "missing"),
        ("gone", "nowhere", "missing"),
    ]
    assert all(row["detail"] and "\n" not in row["detail"] for row in rows if row["error"])
    made = rows[0]
    assert made["uri"].endswith("pictures/0000-card.png") and decode(Path(made["uri"]).read_bytes()).shape == (
        64,
        64,
        3,
    )
    assert (made["width"], made["height"], made["cut"], made["halo"]) == (64, 64, "", None)
    assert made["coverage"] == pytest.approx(1) and made["dpi"] == pytest.approx(25.4 * 72 / 48)


def test_a_product_that_changed_meanwhile_is_not_printed(tmp_path: Path, card: str) -> None:
    (path,) = write_pictures(tmp_path / "p", 1)
    tables.write_table(products_in([str(path)]), str(tmp_path / "out" / PRODUCTS))
    write_pictures(tmp_path / "p", 1, size=(40, 40))
    (row,) = MakeMockups(str(tmp_path / "out"), (card,), "cover", "photo")(0).to_pylist()
    assert row["error"] == "changed"


def test_a_cutout_leaves_the_blank_thing_around_it(tmp_path: Path, card: str) -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    product = np.where((np.hypot(x, y) < 30)[..., None], (200, 40, 40), (240, 240, 240)).astype(np.uint8)
    Image.fromarray(product).save(tmp_path / "disc.png")
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(tmp_path / "empty.png")
    disc, empty = make(tmp_path / "out", [tmp_path / "disc.png", tmp_path / "empty.png"], card, art="cutout")
    made = decode(Path(disc["uri"]).read_bytes())
    assert disc["cut"] == "key" and made[10, 10].tolist() == [90] * 3 and abs(int(made[32, 32, 0]) - 200) <= 3
    assert empty["error"] == "BadInput" and "no object" in empty["detail"]


def test_a_picture_with_transparency_is_printed_as_it_is(tmp_path: Path, card: str) -> None:
    layer = np.dstack([picture(0, 48, 48), np.zeros((48, 48), np.uint8)])
    Image.fromarray(layer).save(tmp_path / "clear.png")
    (row,) = make(tmp_path / "out", [tmp_path / "clear.png"], card)
    assert (decode(Path(row["uri"]).read_bytes()) == 90).all() and row["coverage"] == 0


def test_products_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    for name in ("teapot", "vase"):
        write_pictures(tmp_path / name, 1)
    one = [str(tmp_path / name / "0000.jpg") for name in ("teapot", "vase")]
    assert products_in(one)["product"].to_pylist() == ["teapot-0000", "vase-0000"]
    assert products_in([str(tmp_path)])["product"].to_pylist() == ["teapot-0000", "vase-0000"]
    assert products_in(one[:1])["product"].to_pylist() == ["0000"]
    assert products_in([one[0], one[0]])["product"].to_pylist() == ["0000", "0000-2"]
    with pytest.raises(BadInput, match="is not there"):
        products_in([str(tmp_path / "gone")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no pictures of products"):
        products_in([str(tmp_path / "empty")])


@given(st.lists(st.sampled_from(["a", "a-2", "a-3", "b", "a-2-2"]), max_size=12))
def test_names_are_told_apart_and_first_ones_stay(names: list[str]) -> None:
    found = unique(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(made.startswith(name) for made, name in zip(found, names, strict=True))
