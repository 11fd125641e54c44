"""What is asked for becomes cells, and a cell that cannot be is a row."""

from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pytest
from fakes import manifest

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.sweep import MAX_CELLS
from gencv.pipelines.cells import (
    PICTURES_SCHEMA,
    SOURCE_SCHEMA,
    Start,
    gathered,
    held,
    of_entries,
    of_manifest,
    plan,
    recipe_in,
    source_of,
)

BASE = Recipe(prompt="a cat", num_inference_steps=2)
START = Start("0" * 32, uri="cat.png", group="cats")


@pytest.fixture(scope="module")
def painter(sd_folder: Path) -> DiffusionPainter:
    return load_painter(str(sd_folder), device="cpu")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"width": 20}, "BadInput", "A size of 20 x 16 px; sides that 8 divides"),
        ({"height": -8}, "BadInput", "A size of 16 x -8 px"),
        ({"width": 2**40}, "BadInput", "A size of 1099511627776 x 16 px; sides of up to 4,096 px"),
        ({"strength": 1.5}, "BadInput", "A strength of 1.5; from 0 to 1"),
        ({"strength": -0.1}, "BadInput", "A strength of -0.1; from 0 to 1"),
        ({"strength": 0.1}, "BadInput", "leaves none of 2 steps"),
        ({"num_inference_steps": 0}, "BadInput", "0 steps; a whole number from 1"),
        ({"scheduler": "eulr"}, "UnknownName", "Unknown scheduler 'eulr'; known: ddim"),
        ({"prompt": "x" * 10_001}, "BadInput", "A prompt of 10,001 characters; at most 10,000"),
        ({"negative_prompt": "x" * 10_001}, "BadInput", "A negative prompt of 10,001 characters"),
        ({"prompt": "half \ud800"}, "BadInput", "half a character"),
        ({"seed": 2**70}, "BadInput", "A seed of 1180591620717411303424"),
        ({"guidance_scale": float("nan")}, "BadInput", "A guidance scale of nan"),
        ({"model": "sdxl"}, "BadInput", "The recipe is for the painter 'sdxl'"),
        ({"model": "\ud800"}, "BadInput", "The recipe is for the painter "),
        ({"guidance_scale": 10**400}, "BadInput", "A guidance scale of"),
    ],
)
def test_a_cell_that_cannot_be_fails_alone(painter: DiffusionPainter, changes: dict, error: str, says: str) -> None:
    cells, refused = plan(painter, [(BASE, START), (replace(BASE, **changes), START), (BASE, START)])
    assert cells["cell"].to_pylist() == [0, 2]
    (row,) = refused.to_pylist()
    assert refused.schema == PICTURES_SCHEMA and (row["cell"], row["error"]) == (1, error) and says in row["detail"]
    assert (row["parent"], row["group"]) == (START.id, "cats") and "\n" not in row["detail"]


def test_a_strength_needs_a_start_and_a_mask_has_its_own(painter: DiffusionPainter) -> None:
    _, refused = plan(painter, [(replace(BASE, strength=0.5), None)])
    assert "without a picture to start from" in refused["detail"][0].as_py()
    for has_mask, strength in ((False, '"strength": 0.8'), (True, '"strength": 1.0')):
        cells, _ = plan(painter, [(BASE, START)], has_mask=has_mask)
        assert strength in cells["recipe"][0].as_py()


def test_a_run_has_a_limit_whatever_its_cells_are_of() -> None:
    assert len(gathered(repeat((BASE, None), MAX_CELLS))) == MAX_CELLS
    with pytest.raises(BadInput, match="More than 1,000,000 pictures"):
        gathered(repeat((BASE, None)))


def test_cells_that_can_share_a_batch_stand_together(painter: DiffusionPainter) -> None:
    asked = [(replace(BASE, num_inference_steps=steps), None) for steps in (2, 3, 2, 3)]
    cells, refused = plan(painter, asked)
    assert cells["cell"].to_pylist() == [0, 2, 1, 3] and not refused.num_rows
    nothing, _ = plan(painter, [])
    assert not nothing.num_rows


def test_an_entry_is_swept_over_what_it_leaves_open() -> None:
    entries = [{"prompt": "a", "strength": 0.5, "seed": 100}, {"prompt": 5}, {"prompt": "b"}]
    asked = list(of_entries(entries, replace(BASE, seed=7), {"seed": [7, 8], "strength": (0.3, 0.6)}, START))
    recipes = [one for one, _ in asked if isinstance(one, Recipe)]
    told = [(one.prompt, one.seed, one.strength) for one in recipes]
    assert told[:2] == [("a", 100, 0.5), ("a", 101, 0.5)]
    assert told[2:] == [("b", 7, 0.3), ("b", 7, 0.6), ("b", 8, 0.3), ("b", 8, 0.6)]
    assert isinstance(asked[2][0], BadInput) and {start for _, start in asked} == {START}
    styled = [one.prompt for one, _ in of_entries(entries[2:], BASE, {"style": ("pixel art",)})]  # type: ignore[union-attr]
    assert styled == ["b, as pixel art"]


def test_every_picture_of_a_manifest_is_a_start_with_seeds_of_its_own() -> None:
    pictures = manifest(
        3, id=["0000001" + "0" * 25, "0000005" + "0" * 25, "f" * 32], caption=[["a tree", "wood"], [], ["x"]]
    )
    table = pictures.table.set_column(
        pictures.table.column_names.index("error"), "error", pa.array([None, None, "truncated"])
    )
    asked = list(of_manifest(replace(pictures, table=table), replace(BASE, prompt=""), {"seed": [0, 1], "prompt": ()}))
    told = [(one.prompt, one.seed) for one, _ in asked if isinstance(one, Recipe)]
    assert told == [("a tree", 1), ("a tree", 2), ("", 5), ("", 6)]
    assert [start.place for _, start in asked if start] == [0, 0, 1, 1, 2] and asked[0][1].group == "g0"  # type: ignore[union-attr]
    assert "breaks off" in str(asked[-1][0])
    own = of_manifest(pictures, BASE, {"seed": [0], "prompt": ("a dog",)})
    assert {one.prompt for one, _ in own if isinstance(one, Recipe)} == {"a dog"}


def test_what_no_column_holds_is_left_out() -> None:
    told = held(replace(BASE, prompt="\ud800", width=2**40, seed=2**70))
    assert (told["prompt"], told["width"], told["seed"]) == (None, None, None)
    assert told["num_inference_steps"] == 2


def test_pictures_are_a_source_in_the_group_of_what_they_began_with() -> None:
    recipe = held(BASE)
    rows = [
        {"path": "pictures/0.png", "id": "a", "parent": "p", "group": "g", **recipe},
        {"path": "pictures/1.png", "id": "b", "parent": "p", "group": None, **recipe},
        {"path": "pictures/2.png", "id": "c", "parent": None, "group": None, **recipe},
        {"path": None, "error": "BadInput", **recipe},
    ]
    found = source_of(pa.Table.from_pylist(rows, PICTURES_SCHEMA), "org/painter")
    assert found.schema == SOURCE_SCHEMA and found["group"].to_pylist() == ["g", "p", "c"]
    first = found.to_pylist()[0]
    assert (first["label"], first["family"], first["generator"]) == (1, "diffusion", "painter")
    assert (first["caption"], first["parent"], first["recipe"]) == ("a cat", "p", recipe_in(rows[0]).digest())
