"""The catalogue page: what it says first, what it shows, and what it says where something is not there."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
from fakes import picture
from PIL import Image

from gencv.pipelines.made import PICTURES_SCHEMA
from gencv.plots.mockup import MAX_NOTES, MAX_PRODUCTS, figures_of, mockup_report, tile_of

PRINT = {"kind": "template", "colour_shift": 4.0, "coverage": 1.0, "sharpness": 0.9, "dpi": 150.0, "watermarked": True}
SCENE_ROW = {
    "kind": "scene",
    "colour_shift": 0.0,
    "interior_difference": 0,
    "halo": 0.25,
    "growth": 0.004,
    "tries": 1,
    "watermarked": True,
}


def row(folder: Path, product: str, template: str, **facts: Any) -> dict[str, Any]:
    """Write a picture unless the row has an error, and return its row."""
    made = dict.fromkeys(PICTURES_SCHEMA.names) | {"product": product, "template": template} | facts
    if made["error"]:
        return made
    path = f"pictures/{product}--{template}.png"
    (folder / "pictures").mkdir(exist_ok=True)
    Image.fromarray(picture(1, 16, 16)).save(folder / path)
    return made | {"path": path}


def page_of(folder: Path, rows: list[dict[str, Any]], **how: Any) -> str:
    return mockup_report(pa.Table.from_pylist(rows, PICTURES_SCHEMA), str(folder), **how).html()


def text_of(page: str) -> str:
    """Return what a reader sees, with one space between all words."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|img).*?>", " ", page)))


def test_prints_have_their_medians_by_template_and_coarse_ones_a_note(tmp_path: Path) -> None:
    shifts = {"mug": (2.0, 4.0, 9.0), "poster": (1.0, 1.0, 1.0)}
    rows = [
        row(tmp_path, f"p{number}", name, **PRINT | {"colour_shift": shift, "dpi": 40.0 if number == 2 else 150.0})
        for name, values in shifts.items()
        for number, shift in enumerate(values)
    ]
    text = text_of(page_of(tmp_path, rows))
    assert "3 products on 2 templates: mug, poster" in text and "scenes:" not in text
    assert "mug 3 4.000 1.000 0.900 150" in text and "poster 3 1.000 1.000 0.900 150" in text
    assert "2 of 6 prints would have less than 100 DPI" in text and "Fidelity of scenes" not in text
    assert figures_of(pa.Table.from_pylist(rows, PICTURES_SCHEMA))["median_colour_shift"] == 1.5


def test_scenes_have_their_worst_and_their_notes_once(tmp_path: Path) -> None:
    rows = [
        row(
            tmp_path, f"p{number}", "studio", **SCENE_ROW | {"tries": number + 1, "notes": f"Note {number % 8}.\nSoft."}
        )
        for number in range(10)
    ]
    rows[3]["interior_difference"], rows[4]["growth"] = 7, 0.5
    page = page_of(tmp_path, rows, notes=["starter: Apache-2.0."])
    text = text_of(page)
    assert "10 products in 1 scene: studio" in text and "studio 10 7 0.000 0.250 0.500 10" in text
    assert "starter: Apache-2.0." in text and "Fidelity of prints" not in text
    assert "10 of 10: Soft." in text and "2 of 10: Note 0." in text
    assert sum(text.count(f"Note {number}.") for number in range(8)) == MAX_NOTES - 1


def test_figures_of_prints_and_of_scenes_do_not_mix_and_what_was_not_measured_is_none(tmp_path: Path) -> None:
    rows = [row(tmp_path, "p", "mug", **PRINT)] + [
        row(tmp_path, "p", name, **SCENE_ROW | {"interior_difference": None, "growth": None}) for name in ("a", "b")
    ]
    figures = figures_of(pa.Table.from_pylist(rows, PICTURES_SCHEMA))
    assert (figures["median_colour_shift"], figures["median_halo"]) == (4.0, 0.25)
    assert figures["most_interior_difference"] is None and figures["most_growth"] is None
    text = text_of(page_of(tmp_path, rows))
    assert "not measured: no product has an inside" in text and "a 1 – 0.000 0.250 – 1" in text
    rows[1]["growth"] = 0.2
    assert "a 1 – 0.000 0.250 0.200 1" in text_of(page_of(tmp_path, rows))


def test_what_is_not_there_is_said_in_its_place(tmp_path: Path) -> None:
    good, gone, damaged = (row(tmp_path, name, "mug", **PRINT) for name in ("good", "gone", "damaged"))
    failed = row(tmp_path, "failed", "mug", kind="template", error="missing", detail="the file is not there")
    (tmp_path / gone["path"]).unlink()
    (tmp_path / damaged["path"]).write_bytes(b"no picture")
    captions = [tile_of(each, str(tmp_path)).caption for each in (good, gone, damaged, failed)]
    assert captions == ["mug", "mug\ngone", "mug\nnot_an_image", "mug\nmissing"]
    assert tile_of(good, str(tmp_path)).image.shape == (16, 16, 3)
    text = text_of(page_of(tmp_path, [good, gone, damaged, failed]))
    assert "Mockups 3 of 4" in text and "Failed 1 rows with an error" in text


def test_a_folder_that_moved_shows_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    made = row(tmp_path / "old", "p", "mug", **PRINT)
    (tmp_path / "old").rename(tmp_path / "new")
    assert tile_of(made, str(tmp_path / "new")).image.shape == (16, 16, 3)


def test_a_page_shows_so_many_products_and_says_so(tmp_path: Path) -> None:
    rows = [row(tmp_path, f"p{number:02}", "mug", **PRINT) for number in range(MAX_PRODUCTS + 2)]
    page = page_of(tmp_path, rows)
    assert f"The first {MAX_PRODUCTS} of {len(rows)} products." in page
    assert page.count("<img") == page.count('class="half"') == MAX_PRODUCTS, "two beside each other"
    assert f"p{MAX_PRODUCTS - 1:02}: mug" in page and f"p{MAX_PRODUCTS:02}" not in page


def test_a_mark_that_cannot_be_read_and_a_page_without_a_picture(tmp_path: Path) -> None:
    rows = [row(tmp_path, "p", "mug", **PRINT | {"watermarked": False})]
    assert "The watermark of 1 of 1 mockups cannot be read" in page_of(tmp_path, rows)
    failed = [row(tmp_path, "p", name, kind="scene", error="ContentFiltered", detail="x") for name in ("a", "b")]
    text = text_of(page_of(tmp_path, failed))
    assert "Mockups 0 of 2" in text and "a 0 – – – – –" in text
