"""Mockups without Ray: names, rows, and what fails alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakePainter, disc_layer, picture, write_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gencv.core import tables
from gencv.core.errors import BadInput
from gencv.images.decode import decode
from gencv.mockup.cutout import cut_out
from gencv.mockup.scene import make_scene
from gencv.mockup.scenes import Scene
from gencv.mockup.surface import quad
from gencv.mockup.template import plain, save
from gencv.pipelines.mockup import (
    PICTURES_SCHEMA,
    PREPARED_SCHEMA,
    PRODUCTS,
    SCENE,
    MakeMockups,
    PaintScenes,
    parameters_of,
    products_in,
    unique,
    write,
)
from gencv.provenance.stamp import read


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
    work = MakeMockups(str(out), templates, (), "cover", art)
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
    assert made["uri"].endswith("pictures/0000--card.png") and decode(Path(made["uri"]).read_bytes()).shape == (
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
    (row,) = MakeMockups(str(tmp_path / "out"), (card,), (), "cover", "photo")(0).to_pylist()
    assert row["error"] == "changed"


def test_a_cutout_leaves_the_blank_thing_around_it(tmp_path: Path, card: str) -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    product = np.where((np.hypot(x, y) < 30)[..., None], (200, 40, 40), (240, 240, 240)).astype(np.uint8)
    Image.fromarray(product).save(tmp_path / "disc.png")
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(tmp_path / "empty.png")
    disc, empty = make(tmp_path / "out", [tmp_path / "disc.png", tmp_path / "empty.png"], card, art="cutout")
    made = decode(Path(disc["uri"]).read_bytes())
    assert disc["cut"] == "key" and abs(int(made[10, 10, 0]) - 90) <= 4 and abs(int(made[32, 32, 0]) - 200) <= 6
    assert empty["error"] == "BadInput" and "no object" in empty["detail"]


def test_a_picture_with_transparency_is_printed_as_it_is(tmp_path: Path, card: str) -> None:
    layer = np.dstack([picture(0, 48, 48), np.zeros((48, 48), np.uint8)])
    Image.fromarray(layer).save(tmp_path / "clear.png")
    (row,) = make(tmp_path / "out", [tmp_path / "clear.png"], card)
    made = decode(Path(row["uri"]).read_bytes()).astype(int)
    assert np.abs(made - 90).max() <= 4 and row["coverage"] == 0, "nothing but the watermark"


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


BEACH = Scene(name="beach", prompt="a beach", width=128, height=128)


def make_scenes(out: Path, place: Path, *scenes: Scene, templates: tuple[str, ...] = ()) -> list[dict]:
    tables.write_table(products_in([str(place)]), str(out / PRODUCTS))
    prepared = MakeMockups(str(out), templates, scenes, "cover", "photo")(0)
    assert prepared.schema == PREPARED_SCHEMA
    made = PaintScenes(str(out), scenes, FakePainter(128, grows=[3]), 3)(prepared)
    assert made.schema == PICTURES_SCHEMA
    return made.to_pylist()


def test_prints_and_scenes_of_a_product_are_rows_beside_each_other(tmp_path: Path, card: str) -> None:
    place = tmp_path / "disc.png"
    Image.fromarray(disc_layer()).save(place)
    forbidden = replace(BEACH, name="no", prompt="forbidden")
    small = replace(BEACH, name="small", place=(0.01, 0.9))
    rows = make_scenes(tmp_path / "out", place, forbidden, small, BEACH, templates=(card,))
    told = [(row["template"], row["kind"], row["error"], row["finish_reason"]) for row in rows]
    assert told == [
        ("card", "template", None, None),
        ("no", "scene", "ContentFiltered", "content_filtered"),
        ("small", "scene", "BadInput", None),
        ("beach", "scene", None, "done"),
    ]
    assert [row["uri"] is None for row in rows] == [False, True, True, False] and "forbidden" in rows[1]["detail"]
    made = rows[3]
    assert (made["seed"], made["tries"], made["prompt"], made["cut"]) == (4, 2, "a beach", "alpha"), "3 grew"
    assert made["interior_difference"] == 0 and made["halo"] < 1.5 and made["growth"] < 0.1
    assert made["uri"].endswith("pictures/disc--beach.png") and made["coverage"] is None


def test_every_file_says_how_it_came_to_be(tmp_path: Path, card: str) -> None:
    place = tmp_path / "disc.png"
    Image.fromarray(disc_layer()).save(place)
    printed, scene = make_scenes(tmp_path / "out", place, BEACH, templates=(card,))
    for row, kind in ((printed, "composite"), (scene, "compositeWithTrainedAlgorithmicMedia")):
        found = read(Path(row["uri"]).read_bytes())
        assert found.credentials.source_type == kind and found.credentials.is_valid
        (part,) = found.credentials.ingredients
        assert part["relationship"] == "componentOf" and part["title"] == found.parameters.parameters.init_digest
        assert row["watermarked"] == found.watermark.found == bool(found.agree)
    stated = read(Path(scene["uri"]).read_bytes()).parameters.parameters
    assert stated is not None and (stated.prompt, stated.seed, stated.model) == ("a beach", 4, "fake")
    assert Scene.from_dict(stated.extras["scene"]) == BEACH and stated.extras["tries"] == 2
    assert read(Path(printed["uri"]).read_bytes()).parameters.parameters.prompt == "", "nothing was asked of a painter"


def test_a_product_whose_kind_of_file_credentials_do_not_know_is_made_all_the_same(tmp_path: Path, card: str) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "photo.bmp")
    (row,) = make(tmp_path / "out", [tmp_path / "photo.bmp"], card)
    found = read(Path(row["uri"]).read_bytes())
    assert row["error"] is None and found.credentials.is_valid and found.credentials.ingredients == ()


def test_a_product_that_cannot_be_cut_out_is_printed_and_not_put_into_scenes(tmp_path: Path, card: str) -> None:
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(tmp_path / "empty.png")
    printed, scene = make_scenes(tmp_path / "out", tmp_path / "empty.png", BEACH, templates=(card,))
    assert printed["error"] is None and scene["error"] == "BadInput" and "no object" in scene["detail"]


@pytest.mark.parametrize("subject", ["shiny_sneaker/01.jpg", "backpack/02.jpg"])
def test_the_mark_around_a_large_product_is_read_and_leaves_it_as_it_is(
    shared: Path, tmp_path: Path, subject: str
) -> None:
    data = (shared / "products" / subject).read_bytes()
    scene = replace(BEACH, width=512, height=512, size=0.78)
    made, fidelity, facts = make_scene(cut_out(decode(data)).layer(), scene, FakePainter(64))
    assert 0.28 < facts.keep.mean() < 0.45
    parameters = parameters_of(made, data, scene=scene, facts=facts, painter="fake")
    row = write(str(tmp_path), "p", scene.name, SCENE, made, parameters, fidelity, data, keep=facts.keep)
    assert row["watermarked"] and row["interior_difference"] == 0
    shown = decode(Path(row["uri"]).read_bytes())
    assert np.array_equal(shown[facts.keep], made[facts.keep]) and not np.array_equal(shown, made)
