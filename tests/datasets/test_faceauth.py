from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from gencv.core.errors import BadSource
from gencv.core.manifest import SCHEMA, Manifest
from gencv.datasets.faceauth import COLUMNS, ours, write_spreadsheet
from gencv.datasets.sources import read_source


def manifest() -> Manifest:
    def row(
        number: int, label: int | None, generator: str, split: str | None, error: str | None = None
    ) -> dict[str, Any]:
        return {"id": f"{number:032x}", "uri": f"/faces/{number}.jpg", "label": label, "generator": generator,
                "split": split, "error": error}  # fmt: skip

    rows = [row(0, 0, "camera", "train"), row(1, 1, "insight", "val"), row(2, 1, "lm_faces_00", "test"),
            row(3, None, "unknown", "train"), row(4, 1, "insight", None, "truncated")]  # fmt: skip
    return Manifest(pa.Table.from_pylist(rows, SCHEMA))


def test_the_sheet_says_both_conventions(tmp_path: Path) -> None:
    write_spreadsheet(manifest(), f"{tmp_path}/faces.xlsx", "/train data")
    book = openpyxl.load_workbook(tmp_path / "faces.xlsx")
    header, *rows = book["pictures"].iter_rows(values_only=True)
    assert header == COLUMNS and len(rows) == 4
    name = f"{1:032x}.jpg"
    assert rows[0][2:] == ("camera", "train", "real", 1, 0)
    assert rows[1] == ("/faces/1.jpg", f"/train data/test/insight/{name}", "insight", "test", "fake", 0, 1)
    assert rows[2][3] == "dev" and rows[3][4:] == (None, None, None)
    text = " ".join(str(cell) for line in book["conventions"].iter_rows(values_only=True) for cell in line)
    assert "1 = real" in text and "1 = fake" in text and "gencv: test" in text


def test_what_goes_out_comes_back(tmp_path: Path) -> None:
    write_spreadsheet(manifest(), f"{tmp_path}/faces.xlsx", "/data")
    records = list(read_source(f"table:{tmp_path}/faces.xlsx?convention=faceauth"))
    back = [(r.uri, r.label, r.generator, r.split) for r in records]
    table = manifest().table.slice(0, 4).select(["uri", "label", "generator", "split"]).to_pylist()
    assert back == [tuple(row.values()) for row in table]


def test_faceauths_own_sheet_without_our_column() -> None:
    row = {"image_path": "a", "folder": "camera", "split": "dev", "target_class": "real", "target": 1}
    assert ours(row) | {"image_path": 0} == {**row, "image_path": 0, "label": 0, "split": "test"}


@pytest.mark.parametrize(
    "row",
    [{"target": 1, "target_class": "fake"}, {"target": 1, "label": 1}, {"target": 3}, {"target": 1, "split": "val"}],
)
def test_a_contradiction_is_named(row: dict[str, Any]) -> None:
    with pytest.raises(BadSource):
        ours(row)
