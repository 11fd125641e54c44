"""Which products a run is given, and what they are called."""

from pathlib import Path

import pytest
from fakes import write_pictures
from hypothesis import given
from hypothesis import strategies as st

from gencv.core import storage
from gencv.core.errors import BadInput
from gencv.pipelines.products import MAX_NAME_BYTES, names_of, products_in, unique


def test_products_are_pictures_and_folders_of_them_by_name(tmp_path: Path) -> None:
    for name in ("teapot", "vase"):
        write_pictures(tmp_path / name, 1)
    one = [str(tmp_path / name / "0000.jpg") for name in ("teapot", "vase")]
    assert products_in(one)["product"].to_pylist() == ["teapot-0000", "vase-0000"]
    assert products_in(one[::-1]).equals(products_in([str(tmp_path)])), "in another order and as a folder"
    assert products_in([one[0], str(tmp_path / "teapot"), one[0]])["product"].to_pylist() == ["teapot-0000"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (first, second) = write_pictures(tmp_path / "a", 2)
    first, second = first.rename(tmp_path / "a" / "mug.jpg"), second.rename(tmp_path / "b" / "hat.jpg")
    before = products_in([str(first), str(second)])
    moved = first.rename(tmp_path / "b" / "mug.jpg"), second.rename(tmp_path / "a" / "hat.jpg")
    after = products_in([str(place) for place in moved])
    assert before["product"].to_pylist() == after["product"].to_pylist() == ["hat", "mug"]
    assert before["id"].equals(after["id"]), "a part is a row: it stays the same product's"
    with pytest.raises(BadInput, match="is not there"):
        products_in([str(tmp_path / "gone")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no pictures of products"):
        products_in([str(tmp_path / "empty")])


@pytest.mark.parametrize(
    ("uris", "names"),
    [
        (["/data/a.png", "/usr/lib/python/site-packages/skimage/data/coffee.png"], ["a", "coffee"]),
        (["/p/hat/front.jpg", "/p/hat/back.jpg", "/p/shoe/front.jpg"], ["hat-front", "hat-back", "shoe-front"]),
        (["/p/backpack/00.jpg", "/p/backpack/01.jpg"], ["backpack-00", "backpack-01"]),
        (["/p/red/1/0.jpg", "/p/blue/1/0.jpg"], ["red-1-0", "blue-1-0"]),
        (["/p/cup.jpg", "/p/cup.png"], ["cup", "cup-2"]),
        (["/0.jpg"], ["0"]),
        (["/p/a -- b.jpg", "/p/.jpg.jpg"], ["a-b", "jpg"]),
        (["s3://b/new/Cup.JPG?endpoint_override=h:9000&scheme=http"], ["Cup"]),
        (["s3://b/1.png?region=x", "s3://b/2.png?region=x"], ["b-1", "b-2"]),
    ],
)
def test_products_are_called_by_the_shortest_ends_of_their_paths_that_say_which(
    uris: list[str], names: list[str]
) -> None:
    assert names_of(uris) == names


def test_a_uri_with_options_is_a_picture_and_no_folder(s3: str, tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, 1)
    uri = storage.join(s3, "new", "cup.jpg")
    storage.write_bytes(uri, path.read_bytes())
    rows = products_in([uri]).to_pylist()
    assert [(row["product"], row["uri"]) for row in rows] == [("cup", uri)] and rows == products_in([s3]).to_pylist()


NAMES = st.text(st.characters(blacklist_characters="/\0\ud800", blacklist_categories=("Cs",)), min_size=1, max_size=80)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=5))
def test_any_path_gives_a_name_that_is_a_file_of_its_own(paths: list[list[str]]) -> None:
    names = names_of(["/" + "/".join(path) + ".png" for path in paths])
    assert len(set(names)) == len(names) == len(paths)
    assert all("/" not in name and "--" not in name for name in names)
    assert all(0 < len(name.encode()) <= MAX_NAME_BYTES + 4 for name in names)


@given(st.lists(st.sampled_from(["a", "a-2", "a-3", "b", "a-2-2"]), max_size=12))
def test_names_are_told_apart_and_first_ones_stay(names: list[str]) -> None:
    found = unique(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(made.startswith(name) for made, name in zip(found, names, strict=True))
