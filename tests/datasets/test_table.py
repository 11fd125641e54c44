from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from gencv.core.errors import BadSource, UnknownName
from gencv.core.record import Split
from gencv.datasets.sources import read_source

Jpeg = Callable[[int], bytes]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)
    else:
        book = openpyxl.Workbook()
        for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
            book.active.append(line)
        book.save(path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    path = write(
        tmp_path / f"faces.{suffix}",
        [
            {
                "path": "a/0.jpg",
                "label": "live",
                "generator": None,
                "identity": "007",
                "split": "train",
                "caption": "x",
            },
            {
                "path": "/b/1.jpg",
                "label": "spoof",
                "generator": "print",
                "identity": "008",
                "split": None,
                "caption": None,
            },
            {
                "path": "s3://c/2.jpg",
                "label": None,
                "generator": None,
                "identity": None,
                "split": "valid",
                "caption": "",
            },
        ],
    )
    first, second, third = read_source(f"table:{path}")
    assert (first.uri, first.label, first.generator, first.family) == (f"{tmp_path}/a/0.jpg", 0, "camera", "real")
    assert (first.group, first.split, first.caption, first.source) == (
        "007",
        Split.TRAIN,
        ("x",),
        f"table:faces.{suffix}",
    )
    assert (second.uri, second.label, second.generator, second.family) == ("/b/1.jpg", 1, "print", "print")
    assert (second.split, second.caption, second.group) == (None, (), "008")
    assert (third.uri, third.label, third.split, third.group) == ("s3://c/2.jpg", None, Split.VAL, "")


@pytest.mark.parametrize("value", [1, True, 1.0, "1", "FAKE", " Spoof "])
def test_labels_as_numbers_and_words(tmp_path: Path, value: Any) -> None:
    path = write(tmp_path / "t.parquet", [{"uri": "/a.jpg", "labels": value}])
    assert [record.label for record in read_source(f"table:{path}")] == [1]


@pytest.mark.parametrize("as_struct", [True, False])
def test_bytes_travel_with_the_record(tmp_path: Path, jpeg: Jpeg, as_struct: bool) -> None:
    rows = [{"image": {"bytes": jpeg(i), "path": "0.jpg"}} if as_struct else {"bytes": jpeg(i)} for i in range(150)]
    path = write(tmp_path / "t.parquet", rows)
    records = list(read_source(f"table:{path}"))
    assert [record.data for record in records] == [jpeg(i) for i in range(150)]
    assert records[149].uri == f"{path}#149"


def test_a_folder_of_parts_is_one_table(tmp_path: Path, jpeg: Jpeg) -> None:
    for part in (1, 0):
        write(tmp_path / "parts" / f"part-{part}.parquet", [{"path": f"{part}.jpg", "bytes": jpeg(part)}])
    records = list(read_source(f"table:{tmp_path}/parts"))
    assert [record.uri for record in records] == [f"{tmp_path}/parts/{part}.jpg" for part in (0, 1)]
    assert records[1].data == jpeg(1)


def test_columns_and_positive_labels_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"f": "a.jpg", "y": "mask", "who": "p"}, {"f": "b.jpg", "y": "face", "who": "q"}])
    options = "path=f&label_column=y&group_column=who"
    records = list(read_source(f"table:{path}?{options}&positive=Mask"))
    assert [(r.label, r.group) for r in records] == [(1, "p"), (0, "q")]
    with pytest.raises(BadSource, match=r"row 0.*'mask'"):
        read_source(f"table:{path}?{options}")
    with pytest.raises(BadSource, match="no label 'masks'"):
        list(read_source(f"table:{path}?{options}&positive=masks"))


def test_groups_from_paths(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"path": "anna/1.jpg"}, {"path": "ben/1.jpg"}])
    assert [record.group for record in read_source(f"table:{path}?group=folder")] == ["anna", "ben"]


def test_a_row_without_a_picture_is_not_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", [{"path": "a.jpg"}, {"path": None}])
    assert [record.uri for record in read_source(f"table:{path}")] == [f"{tmp_path}/a.jpg", f"{path}#1"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"picture": "a.jpg"}, "columns picture.*image_path"),
        ({"path": "a.jpg", "target": 1}, "convention=faceauth"),
        ({"path": "a.jpg", "label": 2}, "row 0.*label 2"),
        ({"path": "a.jpg", "split": "dev"}, "row 0.*'dev'.*faceauth"),
        ({"image": 3}, "row 0.*'image' holds int"),
    ],
)
def test_a_table_that_cannot_be_understood(tmp_path: Path, row: dict[str, Any], sentence: str) -> None:
    path = write(tmp_path / "t.parquet", [row])
    with pytest.raises(BadSource, match=sentence):
        read_source(f"table:{path}")


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "t.csv", "t.txt"])
def test_a_file_that_is_no_table(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00nonsense")
    with pytest.raises(BadSource, match=name):
        read_source(f"table:{tmp_path / name}")


def test_a_family_must_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"path": "a.jpg", "family": "dog"}])
    with pytest.raises(UnknownName, match="family 'dog'"):
        read_source(f"table:{path}")
