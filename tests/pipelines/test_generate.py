"""Painting without Ray: a single part is done in this process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from fakes import manifest_of, write_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gencv.core import tables
from gencv.core.contracts import CONTENT_FILTERED, DONE, Recipe
from gencv.core.errors import BadInput, NotSupported
from gencv.core.record import picture_id
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.replay import How, replay
from gencv.images.decode import decode
from gencv.pipelines import generate as module
from gencv.pipelines.cells import PICTURES_SCHEMA, Asked, Start, of_manifest, plan
from gencv.pipelines.generate import (
    CELLS,
    Painting,
    PaintParts,
    ReadStarts,
    generate,
    pictures_per_part,
    shared_column,
    shared_values,
)
from gencv.pipelines.parts import from_ipc, to_ipc
from gencv.provenance import parameters, watermark

BASE = Recipe(prompt="cat", num_inference_steps=2)


@pytest.fixture
def painting(sd_folder: Path) -> Painting:
    return Painting(painter=str(sd_folder), how=How(watermark=False))


def run(painting: Painting, asked: Sequence[Asked], out: Path) -> list[dict[str, Any]]:
    """Paint in this process; returns the rows in the order of their cells, those that were refused among them."""
    cells, refused = plan(painting.load("cpu"), asked, has_mask=bool(painting.mask))
    made, done = generate(painting, cells, str(out))
    assert made.schema == PICTURES_SCHEMA and done["parts"] + done["resumed_parts"] == min(1, cells.num_rows)
    return pa.concat_tables([made, refused]).sort_by("cell").to_pylist()


def start_of(path: Path) -> Start:
    return Start(picture_id(path.read_bytes()), uri=str(path))


def test_a_denied_prompt_is_no_file_and_says_why(painting: Painting, tmp_path: Path) -> None:
    rows = run(painting, [(BASE, None), (replace(BASE, prompt="a naked child"), None)], tmp_path)
    assert [(row["finish_reason"], row["error"]) for row in rows] == [(DONE, None), (CONTENT_FILTERED, None)]
    assert rows[1]["path"] is None and "the prompt asks for" in rows[1]["notes"]
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["000000.png"]
    first = rows[0]
    data = (tmp_path / first["path"]).read_bytes()
    assert first["id"] == picture_id(data) and decode(data).shape == (16, 16, 3)
    assert (first["width"], first["row"], first["batch"]) == (16, 0, 1) and len(first["weights"]) >= 16


def test_what_does_not_fit_into_memory_fails_alone(
    painting: Painting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DiffusionPainter._pixels

    def tight(self: DiffusionPainter, recipes: list[Recipe], *rest: Any) -> np.ndarray:
        found = whole(self, recipes, *rest)
        for number, recipe in enumerate(recipes):
            if recipe.prompt == "big":
                raise MemoryError
            if recipe.prompt == "broken":
                found[number] = np.nan  # as of an overflow
        return found

    monkeypatch.setattr(DiffusionPainter, "_pixels", tight)
    monkeypatch.setattr(module, "_loaded", module._loaded.__wrapped__)  # its batch size shrinks, and is nobody else's
    asked = [(replace(BASE, prompt=prompt), None) for prompt in ("a", "big", "b", "broken", "c")]
    rows = run(painting, asked, tmp_path)
    assert [row["error"] for row in rows] == [None, "OutOfMemory", None, "BadInput", None]
    assert "16 x 16 px does not fit" in rows[1]["detail"] and "overflowed" in rows[3]["detail"]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"000000.png", "000002.png", "000004.png"}


def test_a_picture_that_cannot_be_stamped_fails_alone(painting: Painting, tmp_path: Path) -> None:
    marked = replace(painting, how=How(format="jpeg"))
    rows = run(marked, [(BASE, None), (replace(BASE, width=64, height=64), None)], tmp_path)
    assert [row["error"] for row in rows] == ["BadInput", None] and "64 px" in rows[0]["detail"]
    assert rows[1]["path"] == "pictures/000001.jpeg"


def test_a_start_that_is_none_or_goes_missing_fails_alone(painting: Painting, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "in", 4)
    starts = [start_of(path) for path in paths]
    paths[1].unlink()
    paths[2].write_bytes(paths[0].read_bytes())
    none = tmp_path / "in" / "none.png"
    none.write_bytes(b"no picture")
    rows = run(painting, [(BASE, start) for start in [*starts, start_of(none)]], tmp_path / "out")
    assert [row["error"] for row in rows] == [None, "missing", "changed", None, "not_an_image"]
    assert rows[1]["detail"] == "The picture to start from cannot be read: the file is not there."
    assert rows[1]["prompt"] == "cat" and rows[0]["strength"] == 0.8
    first, last = (decode((tmp_path / "out" / rows[number]["path"]).read_bytes()) for number in (0, 3))
    assert (first != last).any()


def masked(painting: Painting, folder: Path, where: np.ndarray) -> tuple[Painting, Path, bytes]:
    """Return a painting into a mask with the watermark on, a photograph of its size, and the mask's file."""
    (photo,) = write_pictures(folder / "in", 1, size=where.shape[::-1])
    place = folder / "mask.png"
    Image.fromarray(np.where(where, np.uint8(255), np.uint8(0))).save(place)
    mask = place.read_bytes()
    return replace(painting, mask=str(place), how=How(mask=picture_id(mask))), photo, mask


def test_into_a_mask_at_every_size(painting: Painting, tmp_path: Path) -> None:
    where = np.zeros((256, 256), np.bool_)
    where[:, :224] = True
    into, photo, mask = masked(painting, tmp_path, where)
    asked = [(replace(BASE, width=side, height=side), start_of(photo)) for side in (256, 128)]
    rows = run(into, asked, tmp_path / "out")
    assert [(row["error"], row["strength"], row["notes"]) for row in rows] == [(None, 1.0, "")] * 2
    files = [(tmp_path / "out" / row["path"]).read_bytes() for row in rows]
    made, was = decode(files[0]), decode(photo.read_bytes())
    assert (made[~where] == was[~where]).all() and (made[where] != was[where]).any()
    for file in files:
        stated = parameters.read(file).parameters
        assert stated is not None and watermark.detect(decode(file)).payload == stated.payload
        assert replay(file, painter=painting.painter, init=photo.read_bytes(), mask=mask).is_identical


def test_a_mask_too_small_for_a_watermark_is_said_and_one_of_which_nothing_is_left_fails_alone(
    painting: Painting, tmp_path: Path
) -> None:
    where = np.zeros((64, 128), np.bool_)
    where[:16, :16] = True
    into, photo, _ = masked(painting, tmp_path, where)
    asked = [(replace(BASE, width=width, height=64), start_of(photo)) for width in (128, 64)]
    rows = run(into, asked, tmp_path / "out")
    assert [row["error"] for row in rows] == [None, "BadInput"]
    assert rows[0]["notes"] == "The mask is too small for a watermark that can be read."
    assert rows[1]["detail"].startswith("The mask is empty at 64 x 64 px")
    made, was = decode((tmp_path / "out" / rows[0]["path"]).read_bytes()), decode(photo.read_bytes())
    assert (made[~where] == was[~where]).all() and (made[where] != was[where]).any()


def test_it_paints_where_it_was_planned_and_nowhere_else(painting: Painting, tmp_path: Path) -> None:
    """A run that began on a CPU stays there beside a GPU; one that began on a GPU says that there is none."""
    before = torch.get_num_threads()
    build = PaintParts(str(tmp_path), painting)
    assert callable(build("cuda", 1))
    with pytest.raises(NotSupported, match="painted on a GPU, and a worker has none"):
        replace(build, painting=replace(painting, how=How(device="cuda")))("cpu", 1)
    torch.set_num_threads(before)


@given(st.lists(st.none() | st.binary(max_size=2)))
def test_a_shared_column_holds_each_value_once(values: list[bytes | None]) -> None:
    table = from_ipc(to_ipc(pa.table({"file": shared_column(values)})))
    assert shared_values(table["file"]) == values
    assert sum(len(chunk.dictionary) for chunk in table["file"].chunks) == len({*values} - {None})


def test_what_is_done_stays_and_what_is_not_is_painted_to_the_same_pixels(painting: Painting, tmp_path: Path) -> None:
    asked = [(replace(BASE, seed=seed), None) for seed in range(3)]
    run(painting, asked, tmp_path)
    files = sorted((tmp_path / "pictures").iterdir())
    before, times = [decode(path.read_bytes()) for path in files], [path.stat().st_mtime_ns for path in files]
    run(painting, asked, tmp_path)
    assert [path.stat().st_mtime_ns for path in files] == times
    (tmp_path / "painted" / "part-000000.parquet").unlink()  # as if it had been killed before the part was done
    files[1].unlink()
    rows = run(painting, asked, tmp_path)
    assert sorted((tmp_path / "pictures").iterdir()) == files and [row["cell"] for row in rows] == [0, 1, 2]
    assert all(path.stat().st_mtime_ns != time for path, time in zip(files, times, strict=True))
    assert all((decode(path.read_bytes()) == was).all() for path, was in zip(files, before, strict=True))


def test_cells_that_begin_with_one_picture_read_it_once(
    painting: Painting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_pictures(tmp_path / "in", 2)
    pictures = manifest_of(paths)
    pictures.save(str(tmp_path / "manifest"))
    given = replace(painting, manifest=str(tmp_path / "manifest"))
    cells, _ = plan(painting.load("cpu"), list(of_manifest(pictures, BASE, {"seed": range(4)})))
    tables.write_table(cells, str(tmp_path / "out" / CELLS))
    calls: list[bytes] = []
    whole = module.read_start

    def count(init: bytes, *rest: Any) -> Any:
        calls.append(init)
        return whole(init, *rest)

    monkeypatch.setattr(module, "read_start", count)
    part = ReadStarts(str(tmp_path / "out"), given)(0)
    assert calls == [path.read_bytes() for path in paths]
    assert [len(chunk.dictionary) for chunk in part["start"].chunks] == [2]
    files = shared_values(part["file"])
    assert files[0] is files[3] and files[4] == paths[1].read_bytes() and len(files) == 8


def test_no_cells_are_no_pictures(painting: Painting, tmp_path: Path) -> None:
    (row,) = run(painting, [(replace(BASE, num_inference_steps=0), None)], tmp_path)
    assert row["error"] == "BadInput"


@pytest.mark.parametrize(("side", "per_part"), [(16, 64), (512, 8), (256, 32), (1024, 8)])
def test_a_part_has_fewer_pictures_where_they_are_large(painting: Painting, side: int, per_part: int) -> None:
    recipe = replace(BASE, width=side, height=side)
    assert pictures_per_part(plan(painting.load("cpu"), [(BASE, None), (recipe, None)])[0]) == per_part


def test_an_identity_of_no_use_and_other_weights_end_the_part(
    painting: Painting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="other weights"):
        PaintParts(str(tmp_path), replace(painting, weights="others"))("cpu", 1)
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "key.pem").write_text("none")
    monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "identity"))
    with pytest.raises(BadInput, match=r"chain\.pem"):
        PaintParts(str(tmp_path), painting)("cpu", 1)
