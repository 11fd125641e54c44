from pathlib import Path

import pyarrow as pa
import pytest
from fakes import manifest, rows

from gencv.core import tables
from gencv.core.errors import BadImage, BadInput
from gencv.core.manifest import IMAGE_SCHEMA, Manifest, PictureReader, read_image, read_part
from gencv.core.record import Split, picture_id


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    made = manifest(600, split=["train"] * 400 + ["val"] * 100 + ["test"] * 100)
    made.save(str(tmp_path))
    back = Manifest.load(str(tmp_path))
    assert back.table.equals(made.table)
    assert back.digest() == made.digest()
    assert back.num_parts == 3
    assert [len(read_part(str(tmp_path), part)[0]) for part in range(3)] == [256, 256, 88]
    assert back.counts()["split"] == {"test": 100, "train": 400, "val": 100}
    assert len(back.where(split=Split.VAL)) == 100


def test_the_digest_is_of_what_the_rows_say_and_not_of_where_they_lie() -> None:
    base = manifest(10)
    assert manifest(10, uri="/elsewhere").digest() == base.digest()
    assert manifest(10, label=0).digest() != base.digest()
    assert manifest(10, split="test").digest() != base.digest()
    assert Manifest(base.table, preprocessing={"size_px": 224}).digest() != base.digest()


def test_bytes_are_found_packed_or_at_their_uri(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"at the uri")
    images = tmp_path / "run" / "images"
    packed = pa.table([[b"zero", b"one"], [None, None]], schema=IMAGE_SCHEMA)
    tables.write_table(packed, tables.part_path(str(images), 7))
    columns = {"part": [7, None, None, None], "row": [1, None, None, None], "error": [None, None, None, "empty"]}
    ids = ["a" * 32, picture_id(b"at the uri"), "c" * 32, "d" * 32]
    table = rows(4, id=ids, uri=["x", str(tmp_path / "a.jpg"), str(tmp_path / "gone.jpg"), "y"], **columns)
    Manifest(table, images_dir=str(images)).save(str(tmp_path / "run"))
    images = read_part(str(tmp_path / "run"), 0)[1]
    assert images[:2] == [b"one", b"at the uri"] and images[3] is None  # the error was known before
    assert isinstance(images[2], BadImage) and images[2].code == "missing"
    (tmp_path / "a.jpg").write_bytes(b"another picture by now")
    changed = read_part(str(tmp_path / "run"), 0)[1][1]
    assert isinstance(changed, BadImage) and changed.code == "changed"
    (tmp_path / "run").rename(tmp_path / "moved")  # a packed run can travel
    assert read_part(str(tmp_path / "moved"), 0)[1][0] == b"one"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": "same"}, "names 3 pictures twice"),
        ({"label": 2}, r"labels \[2\]"),
        ({"split": "dev"}, "split 'dev'"),
        ({"split": None}, "split None"),
        ({"group": "g", "split": ["train", "test", "test", "test"]}, "more than one split, 'g'"),
    ],
)
def test_a_manifest_that_leaks_or_lies_is_refused(columns: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        manifest(4, **columns).check()


def test_the_order_of_rows_is_part_of_the_digest_for_parts_are_cut_by_it() -> None:
    base = manifest(10)
    assert Manifest(base.table.take(list(reversed(range(10))))).digest() != base.digest()


def test_a_file_that_cannot_be_opened_is_told_apart_from_one_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    uris = [str(tmp_path / "folder.jpg"), str(tmp_path / "gone.jpg"), "http://example.org/a.jpg"]
    faults = [fault.code for fault in map(read_image, uris) if isinstance(fault, BadImage)]
    assert faults == ["unreadable", "missing", "unreadable"]


def test_a_folder_without_a_manifest_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give the folder"):
        Manifest.load(str(tmp_path))


def test_a_reader_finds_single_pictures_packed_in_any_order(tmp_path: Path) -> None:
    counts = {0: 3 * tables.PICTURES_PER_GROUP + 3, 4: 5}  # several row groups, the last one short; and less than one
    for part, count in counts.items():
        packed = pa.table([[f"{part} {row}".encode() for row in range(count)], [None] * count], schema=IMAGE_SCHEMA)
        tables.write_table(packed, tables.part_path(str(tmp_path / "images"), part))
    places = [(part, row) for part, count in counts.items() for row in reversed(range(count))]
    columns = {"part": [part for part, _ in places], "row": [row for _, row in places]}
    Manifest(rows(len(places), **columns), images_dir=str(tmp_path / "images")).save(str(tmp_path))
    reader = PictureReader(str(tmp_path))
    for number in (*range(len(places)), 0, len(places) - 1, 7):
        part, row = places[number]
        assert reader.read(number) == f"{part} {row}".encode()
    assert [reader.read(number) for number in range(len(places))] == read_part(str(tmp_path), 0)[1]


def test_a_reader_raises_where_a_picture_has_an_error_is_gone_or_has_changed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    ids = [picture_id(b"a"), picture_id(b"b"), "c" * 32, "d" * 32]
    uris = [str(tmp_path / name) for name in ("a", "b", "gone", "d")]
    Manifest(rows(4, id=ids, uri=uris, error=[None, None, None, "empty"])).save(str(tmp_path))
    reader = PictureReader(str(tmp_path))
    (tmp_path / "b").write_bytes(b"another picture by now")
    assert reader.read(0) == b"a"
    for row, code in ((1, "changed"), (2, "missing"), (3, "empty")):
        with pytest.raises(BadImage) as caught:
            reader.read(row)
        assert caught.value.code == code


def test_a_reader_needs_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give the folder"):
        PictureReader(str(tmp_path))
