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


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be written"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")
    with pytest.raises(BadInput, match="no location"):
        storage.read_bytes("nowhere://x/y")
