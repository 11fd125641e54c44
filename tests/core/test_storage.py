from pathlib import Path

import pytest

from gencv.core import storage
from gencv.core.errors import BadInput


def test_bytes_come_back_by_path_and_by_uri(tmp_path: Path) -> None:
    place = storage.join(str(tmp_path), "a", "b.bin")
    storage.write_bytes(place, b"one")
    assert storage.read_bytes(place) == storage.read_bytes(f"file://{place}") == b"one"
    storage.write_bytes(f"file://{place}", b"two")
    assert storage.read_bytes(place) == b"two"
    assert storage.names_in(str(tmp_path / "a")) == ["b.bin"]
    assert storage.names_in(str(tmp_path / "absent")) == []
    assert not storage.exists(str(tmp_path / "absent"))


@pytest.mark.parametrize("name", ["a b.jpg", "a%41#1.jpg", "what?.jpg", "ü.jpg"])
def test_a_name_in_a_uri_stands_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert storage.names_in(f"file://{tmp_path}") == [name]
    assert storage.read_bytes(storage.join(f"file://{tmp_path}", name)) == b"x"


def test_the_options_of_a_uri_stay_behind_the_path() -> None:
    assert storage.join("s3://bucket/a/?region=x", "b", "c") == "s3://bucket/a/b/c?region=x"
    assert storage.join("/", "b") == "/b"


@pytest.mark.parametrize(
    ("location", "has_keys"),
    [
        ("s3://bucket/a:b@c?region=x", False),
        ("hdfs://host:8020/a", False),
        ("s3://bucket/a?endpoint_override=localhost:9000&scheme=http", False),
        ("/local/a:b@c", False),
        ("folder:s3://bucket/a?label=0", False),
        ("s3://key:hush@bucket/a", True),
        ("folder:s3://key:hu/sh@bucket/a?label=0", True),
        ("s3://bucket/a?region=x&secret_key=hush", True),
        ("s3://bucket/a?access_key=key", True),
    ],
)
def test_a_uri_with_access_keys_is_refused_and_not_repeated(location: str, has_keys: bool) -> None:
    if not has_keys:
        storage.require_no_keys(location)
        return
    with pytest.raises(BadInput, match="access keys is not accepted") as told:
        storage.open_at(location)
    assert "hu" not in str(told.value)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "file"
    storage.write_bytes(str(place), b"old")
    with pytest.raises(TypeError):
        storage.write_bytes(str(place), "text")  # type: ignore[arg-type]
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_neighbour_that_a_crash_left_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".part-000001.parquet.ab12").write_bytes(b"half")
    assert storage.names_in(str(tmp_path)) == []


def test_the_size_of_a_folder_counts_what_lies_below(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "a"), b"123")
    storage.write_bytes(str(tmp_path / "b" / "c"), b"4567")
    assert storage.size_of(str(tmp_path)) == 7 and storage.size_of(str(tmp_path / "none")) == 0


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be written"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")
    with pytest.raises(BadInput, match="is a file"):
        storage.names_in(str(tmp_path / "file"))
    with pytest.raises(BadInput, match="no location"):
        storage.read_bytes("nowhere://x/y")
