import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fakes import picture, write_pictures
from PIL import Image

from gencv.core.contracts import CONTENT_FILTERED, DONE, Recipe
from gencv.diffusion.sweep import sweep, varied
from gencv.pipelines.cells import PICTURES_SCHEMA, held
from gencv.plots import generate
from gencv.plots.generate import (
    MAX_COLUMNS,
    MAX_PICTURES,
    MAX_SHEETS,
    contact_sheet,
    generate_report,
    of_parents,
    sheets,
)

BASE = Recipe(prompt="a cat", strength=0.5, model="tiny")


def rows_of(folder: Path, recipes: list[Recipe], **changes: dict[int, Any]) -> list[dict[str, Any]]:
    """Write a picture for each recipe; changes: column = {cell: value}."""
    (folder / "pictures").mkdir(exist_ok=True)
    rows = []
    for cell, recipe in enumerate(recipes):
        path = f"pictures/{cell}.png"
        Image.fromarray(picture(cell, 8, 8)).save(folder / path)
        row = {"cell": cell, "path": path, "finish_reason": DONE, "error": None, "notes": "", "parent": None}
        row |= held(recipe)
        rows.append(row | {name: values[cell] for name, values in changes.items() if cell in values})
    return rows


def page_of(folder: Path, recipes: list[Recipe], *, init: bytes | None = None, **changes: dict[int, Any]) -> str:
    table = pa.Table.from_pylist(rows_of(folder, recipes, **changes), PICTURES_SCHEMA)
    return generate_report(table, varied(recipes), str(folder), init=init, notes=["tiny: its licence."]).html()


def titles(folder: Path, axes: dict[str, list[Any]]) -> list[str]:
    recipes = sweep(BASE, axes)
    return [title for title, _ in sheets(rows_of(folder, recipes), varied(recipes), str(folder))]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({}, ["All pictures"]),
        ({"seed": [1, 2, 3]}, ["All pictures"]),
        ({"strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5]}, ["strength by guidance scale"]),
        (
            {"seed": [1, 2], "strength": [0.3, 0.6], "num_inference_steps": [2, 3]},
            ["seed 1", "seed 2"],
        ),
        ({"prompt": ["a", "b"], "seed": list(range(MAX_COLUMNS + 1))}, ["All pictures"]),
    ],
)
def test_the_last_two_axes_are_a_sheet_and_the_others_sheets(
    tmp_path: Path, axes: dict[str, list[Any]], expected: list[str]
) -> None:
    assert titles(tmp_path, axes) == expected


def test_a_page_has_a_limit(tmp_path: Path) -> None:
    three = {"seed": list(range(MAX_SHEETS + 2)), "strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5]}
    assert len(titles(tmp_path, three)) == MAX_SHEETS
    assert titles(tmp_path, {"seed": list(range(MAX_PICTURES + 4))}) == [
        f"{MAX_PICTURES} of {MAX_PICTURES + 4} pictures"
    ]


def test_a_sheet_without_a_picture_is_left_out(tmp_path: Path) -> None:
    recipes = sweep(BASE, {"seed": [1, 2], "strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5]})
    rows = rows_of(tmp_path, recipes, path=dict.fromkeys(range(3), None) | dict.fromkeys(range(4, 8), None))
    assert [title for title, _ in sheets(rows, varied(recipes), str(tmp_path))] == ["seed 1"]


def test_variants_that_share_their_axes_are_all_shown(tmp_path: Path) -> None:
    recipes = sweep(BASE, {"strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5]}) * 2
    ((title, sheet),) = sheets(rows_of(tmp_path, recipes), varied(recipes), str(tmp_path))
    assert title == "All pictures" and sheet.startswith(b"\x89PNG")


def test_the_variants_of_a_manifest_have_their_parents_as_rows(tmp_path: Path) -> None:
    recipes = [replace(BASE, seed=seed, strength=strength) for strength in (0.3, 0.6) for seed in (5, 9, 7)]
    parents = {cell: f"{cell % 3}" * 32 for cell in range(6)}
    rows = rows_of(tmp_path, recipes, parent=parents)
    ((title, sheet),) = sheets(rows, varied(recipes), str(tmp_path))
    assert title == "parent by strength" and sheet.startswith(b"\x89PNG")
    captioned = [replace(one, prompt=f"a cat, {cell % 3}") for cell, one in enumerate(recipes)]
    assert of_parents(rows_of(tmp_path, captioned, parent=parents), varied(captioned)) == {
        "parent": [f"{parent}" * 32 for parent in range(3)],
        "strength": [0.3, 0.6],
    }
    assert "strength over 2 values; parent. All else is the same." in page_of(tmp_path, recipes, parent=parents)


def test_what_changes_beside_the_axes_is_said(tmp_path: Path) -> None:
    recipes = [replace(BASE, negative_prompt="text"), replace(BASE, width=128)]
    assert "What changes: negative prompt; width. All else is the same." in page_of(tmp_path, recipes)


def test_the_page_says_what_changes_and_what_was_not_painted(tmp_path: Path) -> None:
    recipes = sweep(BASE, {"strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5]})
    (start,) = write_pictures(tmp_path / "in", 1)
    page = page_of(
        tmp_path,
        recipes,
        init=start.read_bytes(),
        path={1: None, 2: None},
        finish_reason={1: CONTENT_FILTERED, 2: None},
        notes={1: "Not painted: the prompt asks for 'x'.", 3: "The prompt is cut off."},
        error={2: "OutOfMemory"},
    )
    assert "strength over 2 values; guidance scale over 2 values" in page and "of 4" in page
    assert page.count("<img") == 2 and "tiny: its licence." in page and "The prompt is cut off." in page
    assert page.count("Not painted: the prompt asks for &#39;x&#39;.") == 1 and "rows with an error" in page
    assert re.search(r"Failed.*?1", page, re.DOTALL)


def test_one_recipe_and_no_picture_at_all_are_pages(tmp_path: Path) -> None:
    assert "All pictures have one recipe." in page_of(tmp_path, [BASE])
    page = page_of(tmp_path, [BASE], path={0: None}, error={0: "OutOfMemory"})
    assert "Failed" in page and "0 of 1 pictures" in page


def test_a_picture_that_is_gone_leaves_a_grey_place(tmp_path: Path) -> None:
    assert "<img" in page_of(tmp_path, [BASE, replace(BASE, seed=1)], path={0: "pictures/gone.png"})


@pytest.mark.parametrize(
    ("axes", "said", "rows", "columns"),
    [
        ({"seed": [1, 2]}, ("", "seed"), [""], ["1", "2"]),
        ({}, ("", "seed"), [""], ["0"]),
        (
            {"seed": [1, 2], "strength": [0.3, 0.6], "guidance_scale": [2.0, 7.5, 9.0]},
            ("seed and strength", "guidance scale"),
            ["seed 1, strength 0.3", "seed 1, strength 0.6", "seed 2, strength 0.3", "seed 2, strength 0.6"],
            ["2", "7.5", "9"],
        ),
    ],
)
def test_one_sheet_has_all_of_a_sweep_with_its_rows_and_columns_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: dict[str, list[Any]], said: Any, rows: Any, columns: Any
) -> None:
    drawn: list[Any] = []
    draw = generate.draw_grid
    monkeypatch.setattr(generate, "draw_grid", lambda *given: drawn.append(given) or draw(*given))
    recipes = sweep(BASE, axes)
    data = contact_sheet(rows_of(tmp_path, recipes, path={0: None}), varied(recipes), str(tmp_path))
    ((cells, titles, labels),) = drawn
    assert (titles, labels) == (said, (rows, columns)) and data.startswith(b"\x89PNG")
    tiles = [tile for line in cells for tile in line]
    assert [len(line) for line in cells] == [len(columns)] * len(rows)
    assert (tiles[0].image == 240).all() and all(
        (tile.image == picture(cell, 8, 8)).all() for cell, tile in enumerate(tiles) if cell
    )


def test_one_sheet_of_many_columns_has_captions(tmp_path: Path) -> None:
    recipes = sweep(BASE, {"seed": list(range(MAX_COLUMNS + 1))})
    rows = rows_of(tmp_path, recipes)
    ((_, expected),) = sheets(rows, varied(recipes), str(tmp_path))
    assert contact_sheet(rows, varied(recipes), str(tmp_path)) == expected
