"""Mockups without Ray: names, rows, and what fails alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakePainter, disc_layer, picture, write_pictures
from painters import make_sd, painter_of
from PIL import Image

from gencv.core import storage, tables
from gencv.core.errors import BadInput, ModelUnavailable, OutOfMemory
from gencv.images.decode import decode
from gencv.mockup.fidelity import Fidelity
from gencv.mockup.making import attempt, cutout_of, photo_of, stamped
from gencv.mockup.scene import make_scene
from gencv.mockup.scenes import Scene
from gencv.mockup.surface import quad
from gencv.mockup.template import plain, save
from gencv.pipelines.made import PICTURES_SCHEMA
from gencv.pipelines.mockup import (
    PREPARED_SCHEMA,
    PRODUCTS,
    Catalogue,
    MakeMockups,
    PaintScenes,
    bytes_of,
)
from gencv.pipelines.products import products_in
from gencv.provenance.parameters import Parameters, SourceType
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
    work = MakeMockups(str(out), Catalogue(templates=templates, art=art))
    parts = [work(part) for part in range(products.num_rows)]
    assert all(part.schema == PICTURES_SCHEMA for part in parts)
    return [row for part in parts for row in part.to_pylist()]


def shown(out: Path, row: dict) -> np.ndarray:
    return decode((out / row["path"]).read_bytes())


def test_a_mockup_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path, card: str) -> None:
    good = write_pictures(tmp_path / "p", 2)
    bad = tmp_path / "p" / "bad.png"
    bad.write_bytes(b"no picture")
    rows = make(tmp_path / "out", [*good, bad, tmp_path / "p" / "gone.jpg"], card)
    assert [(row["product"], row["template"], row["error"]) for row in rows] == [
        ("p-0000", "card", None),
        ("p-0001", "card", None),
        ("p-bad", "card", "not_an_image"),
        ("p-gone", "card", "missing"),
    ]
    assert all(row["detail"] and "\n" not in row["detail"] and row["path"] is None for row in rows if row["error"])
    made = rows[0]
    assert made["path"] == "pictures/p-0000--card.png" and shown(tmp_path / "out", made).shape == (64, 64, 3)
    assert (made["width"], made["height"], made["cut"], made["halo"]) == (64, 64, "", None)
    assert made["coverage"] == pytest.approx(1) and made["dpi"] == pytest.approx(25.4 * 72 / 48)


@pytest.mark.parametrize("what", ["storage", "folder", "identity"])
def test_what_is_no_fault_of_the_product_ends_the_part_and_is_no_row(
    tmp_path: Path, card: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    out = tmp_path / "out"
    products = products_in([str(write_pictures(tmp_path / "p", 1)[0])])
    if what == "storage":
        products = products.set_column(1, "uri", [["s3://bucket/cup.png"]])
        monkeypatch.setattr(storage, "read_bytes", lambda uri, read=storage.read_bytes: broken(uri, read))
    tables.write_table(products, str(out / PRODUCTS))
    if what == "folder":
        (out / "pictures").write_text("in the way")
    if what == "identity":
        monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "identity"))
        (tmp_path / "identity").mkdir()
        (tmp_path / "identity" / "key.pem").write_text("no key")
    says = {"storage": "cannot be read just now", "folder": "cannot be written", "identity": "chain.pem"}[what]
    with pytest.raises(BadInput, match=says):
        MakeMockups(str(out), Catalogue(templates=(card,)))(0)


def broken(uri: str, read: Callable[[str], bytes]) -> bytes:
    if storage.is_uri(uri):
        raise OSError("no answer")
    return read(uri)


def test_a_product_that_changed_meanwhile_is_not_printed(tmp_path: Path, card: str) -> None:
    (path,) = write_pictures(tmp_path / "p", 1)
    tables.write_table(products_in([str(path)]), str(tmp_path / "out" / PRODUCTS))
    write_pictures(tmp_path / "p", 1, size=(40, 40))
    (row,) = MakeMockups(str(tmp_path / "out"), Catalogue(templates=(card,)))(0).to_pylist()
    assert row["error"] == "changed"


def test_a_cutout_leaves_the_blank_thing_around_it(tmp_path: Path, card: str) -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    product = np.where((np.hypot(x, y) < 30)[..., None], (200, 40, 40), (240, 240, 240)).astype(np.uint8)
    Image.fromarray(product).save(tmp_path / "disc.png")
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(tmp_path / "empty.png")
    disc, empty = make(tmp_path / "out", [tmp_path / "disc.png", tmp_path / "empty.png"], card, art="cutout")
    made = shown(tmp_path / "out", disc)
    assert disc["cut"] == "key" and abs(int(made[10, 10, 0]) - 90) <= 4 and abs(int(made[32, 32, 0]) - 200) <= 6
    assert empty["error"] == "BadInput" and "no object" in empty["detail"]


def test_a_picture_with_transparency_is_printed_as_it_is(tmp_path: Path, card: str) -> None:
    layer = np.dstack([picture(0, 48, 48), np.zeros((48, 48), np.uint8)])
    Image.fromarray(layer).save(tmp_path / "clear.png")
    (row,) = make(tmp_path / "out", [tmp_path / "clear.png"], card)
    made = shown(tmp_path / "out", row).astype(int)
    assert np.abs(made - 90).max() <= 4 and row["coverage"] == 0, "nothing but the watermark"


BEACH = Scene(name="beach", prompt="a beach", width=128, height=128)


def make_scenes(out: Path, place: Path, *scenes: Scene, templates: tuple[str, ...] = ()) -> list[dict]:
    tables.write_table(products_in([str(place)]), str(out / PRODUCTS))
    catalogue = Catalogue(templates=templates, scenes=scenes, seed=3)
    prepared = MakeMockups(str(out), catalogue)(0)
    assert prepared.schema == PREPARED_SCHEMA
    made = PaintScenes(str(out), catalogue, FakePainter(128, grows=[3]), "digest")(prepared)
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
    assert [row["path"] is None for row in rows] == [False, True, True, False] and "forbidden" in rows[1]["detail"]
    made = rows[3]
    assert (made["seed"], made["tries"], made["prompt"], made["cut"]) == (4, 2, "a beach", "alpha"), "3 grew"
    assert made["interior_difference"] == 0 and made["halo"] < 1.5 and made["growth"] < 0.1
    assert made["path"] == "pictures/disc--beach.png" and made["coverage"] is None


def test_every_file_says_how_it_came_to_be(tmp_path: Path, card: str) -> None:
    place = tmp_path / "disc.png"
    Image.fromarray(disc_layer()).save(place)
    printed, scene = make_scenes(tmp_path / "out", place, BEACH, templates=(card,))
    for row, kind in ((printed, "composite"), (scene, "compositeWithTrainedAlgorithmicMedia")):
        found = read((tmp_path / "out" / row["path"]).read_bytes())
        assert found.credentials.source_type == kind and found.credentials.is_valid
        (part,) = found.credentials.ingredients
        assert part["relationship"] == "componentOf" and part["title"] == found.parameters.parameters.init_digest
        assert row["watermarked"] == found.watermark.found == bool(found.agree)
    stated = read((tmp_path / "out" / scene["path"]).read_bytes()).parameters.parameters
    assert stated is not None and (stated.prompt, stated.seed, stated.model) == ("a beach", 4, "fake")
    assert (stated.model_digest, stated.width, stated.extras["threads"]) == ("digest", 128, 1)
    assert Scene.from_dict(stated.extras["scene"]) == BEACH and stated.extras["tries"] == 2
    assert read((tmp_path / "out" / printed["path"]).read_bytes()).parameters.parameters.prompt == "", (
        "nothing was asked of a painter"
    )


def test_a_product_whose_kind_of_file_credentials_do_not_know_is_made_all_the_same(tmp_path: Path, card: str) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "photo.bmp")
    (row,) = make(tmp_path / "out", [tmp_path / "photo.bmp"], card)
    found = read((tmp_path / "out" / row["path"]).read_bytes())
    assert row["error"] is None and found.credentials.is_valid and found.credentials.ingredients == ()


def test_a_product_that_cannot_be_cut_out_is_printed_and_not_put_into_scenes(tmp_path: Path, card: str) -> None:
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(tmp_path / "empty.png")
    printed, scene = make_scenes(tmp_path / "out", tmp_path / "empty.png", BEACH, templates=(card,))
    assert printed["error"] is None and scene["error"] == "BadInput" and "no object" in scene["detail"]


@pytest.mark.parametrize("subject", ["shiny_sneaker/01.jpg", "backpack/02.jpg"])
def test_the_mark_around_a_large_product_is_read_and_leaves_it_as_it_is(shared: Path, subject: str) -> None:
    data = (shared / "products" / subject).read_bytes()
    scene = replace(BEACH, width=512, height=512, size=0.78)
    picture, fidelity, facts = make_scene(cutout_of(photo_of(data)).image, scene, FakePainter(64))
    assert 0.28 < facts.keep.mean() < 0.45
    made = stamped(picture, Parameters(), SourceType.PART_GENERATED, fidelity, product=data, keep=facts.keep)
    assert made.facts["watermarked"] and made.fidelity.interior_difference == 0
    image = decode(made.file)
    assert np.array_equal(image[facts.keep], picture[facts.keep]) and not np.array_equal(image, picture)


def test_a_figure_that_was_not_measured_is_none_in_the_row(tmp_path: Path) -> None:
    place = tmp_path / "disc.png"
    Image.fromarray(disc_layer()).save(place)
    (row,) = make_scenes(tmp_path / "out", place, BEACH)
    bare = Fidelity(halo=1.0)
    made = stamped(
        shown(tmp_path / "out", row),
        Parameters(),
        SourceType.PART_GENERATED,
        bare,
        product=b"",
        keep=np.ones((128, 128), bool),
    )
    assert (made.fidelity.interior_difference, made.fidelity.growth) == (None, None)


def test_a_painter_takes_twice_its_weights() -> None:
    one = painter_of(make_sd())
    count = sum(tensor.numel() for part in (one.pipeline.unet, one.pipeline.vae) for tensor in part.parameters())
    assert 2 * 4 * count < bytes_of(one) < 3 * 4 * count, "fp32, and the text encoder too"


def test_short_memory_is_a_row_and_an_environment_at_fault_is_none() -> None:
    def fail(with_: list[Exception]) -> None:
        raise with_[0]

    short = cv2.error("Insufficient memory")
    short.code = cv2.Error.StsNoMem
    assert isinstance(attempt(fail, [short]), OutOfMemory) and isinstance(attempt(fail, [MemoryError()]), OutOfMemory)
    for error in (ModelUnavailable("no weights"), cv2.error("another")):
        with pytest.raises(type(error)):
            attempt(fail, [error])
