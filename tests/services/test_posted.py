"""Single pictures into an index and out of it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import COLOURS, ColourEncoder, colour_index, colour_png

from gencv.core.embeddings import Space, matrix
from gencv.core.errors import BadImage, BadInput, InUse, NotFound
from gencv.core.record import picture_id
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.images.thumbnail import thumbnail
from gencv.index.layout import row_digests
from gencv.index.lock import writing
from gencv.index.query import Query
from gencv.index.table import Index
from gencv.services import posted
from gencv.services.posted import About, Done, Writer
from gencv.services.search import Searcher

NAMES = [name for name in COLOURS for _ in range(4)]


def writer(folder: Path | str, **how: Any) -> Writer:
    return Writer(Searcher(str(folder), encoder=ColourEncoder()), **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    colour_index(tmp_path / "index", NAMES)
    return tmp_path / "index"


def test_a_posted_picture_is_a_row_like_those_of_a_manifest(folder: Path) -> None:
    here, data = writer(folder), colour_png("blue", 99)
    about = About(caption=("a blue door",), label=1, generator="sd21", split="test")
    (done,) = here.write([here.examine(data, about)])
    id = picture_id(data)
    assert done == Done(id=id, changed=True, version=Index.open(str(folder)).version)
    index = here.searcher.index()
    rows = index.rows([id], [*index.columns, "caption", "vector", "thumbnail", "digest"])
    (row,) = rows.drop_columns("vector").to_pylist()
    assert row["digest"] == row_digests(rows)[id] and row["thumbnail"] == thumbnail(decode(data))
    told = {name: row[name] for name in ("uri", "caption", "width", "height", "label", "generator", "source", "split")}
    assert told == {
        "uri": f"posted:{id}",
        "caption": ["a blue door"],
        "width": 64,
        "height": 48,
        "label": 1,
        "generator": "sd21",
        "source": "posted",
        "split": "test",
    }
    assert row["family"] == "diffusion"
    vector = ColourEncoder().images(ColourEncoder.transform(decode(data))[None])
    np.testing.assert_array_equal(matrix(rows["vector"], 4), vector)
    assert here.searcher.answer(Query(text="a blue wall", where="label = 1 AND split = 'test'")).hits.hits[0].id == id


def test_wishes_are_done_in_order_and_by_one_commit(folder: Path) -> None:
    here = writer(folder)
    new, there = (here.examine(data, About()) for data in (colour_png("blue", 99), colour_png("red", 0)))
    other = here.examine(colour_png("green", 98), About())
    before = Index.open(str(folder))
    done = here.write([new, new, there, "nobody", other, other.id, there.id, there, before_last := picture_id(b"x")])
    changed = [one.changed if isinstance(one, Done) else type(one) for one in done]
    assert changed == [True, False, False, NotFound, True, True, True, True, NotFound] and before_last != there.id
    after = Index.open(str(folder))
    assert after.version == before.version + 1 and after.num_rows == 13
    assert after.holds([new.id, there.id, other.id]) == {new.id, there.id}
    assert after.rows([there.id])["source"].to_pylist() == ["posted"], "deleted and added again"


def test_nothing_new_is_no_new_version(folder: Path) -> None:
    here = writer(folder)
    before = Index.open(str(folder)).version
    (one, other) = here.write([here.examine(colour_png("red", 0), About(label=1)), "nobody"])
    assert one == Done(id=picture_id(colour_png("red", 0)), changed=False, version=before)
    assert isinstance(other, NotFound) and Index.open(str(folder)).version == before


def test_an_index_can_be_emptied_and_filled_again(folder: Path) -> None:
    here = writer(folder)
    here.write(list(Index.open(str(folder)).digests()))
    assert here.searcher.index().num_rows == 0
    assert here.searcher.answer(Query(text="a red wall")).hits.hits == []
    here.write([here.examine(colour_png("red", 7), About())])
    assert here.searcher.answer(Query(text="a red wall")).rows["width"].to_pylist() == [64]


def test_a_picture_is_prepared_as_those_of_the_index(tmp_path: Path) -> None:
    prepared = Preprocessing(size_px=40, jpeg_quality=(30,))
    colour_index(tmp_path / "index", NAMES, preprocessing=prepared.to_dict())
    here, data = writer(tmp_path / "index"), colour_png("red", 99)
    done = here.examine(data, About())
    image = prepared.apply(decode(data))
    assert (done.pixels == ColourEncoder.transform(image)).all() and done.row["thumbnail"] == thumbnail(image)
    assert (done.row["width"], done.row["height"]) == (64, 48)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"label": 2}, "label is 2"),
        ({"generator": ""}, "generator has 0"),
        ({"source": "x" * 101}, "source has 101"),
        ({"family": "cat"}, "Unknown family"),
        ({"split": "all"}, "Unknown split"),
        ({"caption": ("",)}, "captions of 1 to"),
        ({"caption": ("a",) * 17}, "At most 16 captions"),
    ],
)
def test_what_cannot_be_said_of_a_picture(about: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        About(**about)


def test_bytes_that_are_no_picture(folder: Path) -> None:
    with pytest.raises(BadImage, match="no JPEG"):
        writer(folder).examine(b"text", About())


def test_an_index_of_another_space_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = writer(folder)
    wish = here.examine(colour_png("red", 99), About())
    monkeypatch.setattr(ColourEncoder, "space", Space(encoder="fake", weights="v", dim=4, transform={}))
    with pytest.raises(BadInput, match="cannot be compared"):
        here.write([wish])
    assert Index.open(str(folder)).num_rows == 12


def at_once(*calls: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_writers_wait_for_each_other_and_none_is_lost(folder: Path) -> None:
    writers = [writer(folder) for _ in range(4)]
    wishes = [
        [one.examine(colour_png("red", 10 * at + n), About()) for n in range(1, 4)] for at, one in enumerate(writers)
    ]

    def write(one: Writer, some: list[Any]) -> Callable[[], None]:
        return lambda: [one.write([wish]) for wish in some] and None

    at_once(*(write(one, some) for one, some in zip(writers, wishes, strict=True)))
    assert Index.open(str(folder)).holds(wish.id for some in wishes for wish in some) == {
        wish.id for some in wishes for wish in some
    }


def test_a_pen_that_is_held_for_long_is_said(folder: Path) -> None:
    here = writer(folder, wait_s=0.2)
    wish = here.examine(colour_png("red", 99), About())
    with writing(str(folder)), pytest.raises(InUse, match="is being written by"):
        here.write([wish])
    (done,) = here.write([wish])
    assert isinstance(done, Done) and done.changed


def test_in_an_object_store_the_second_of_two_tries_again(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = s3.replace("?", "/index?", 1)
    colour_index(place, NAMES)
    here, other = writer(place), writer(place)
    first, second = here.examine(colour_png("red", 98), About()), here.examine(colour_png("red", 99), About())
    edit, met = posted.edit, []

    def meanwhile(*args: Any) -> Any:
        if not met:
            met.append(True)
            other.write([first])
        return edit(*args)

    monkeypatch.setattr(posted, "edit", meanwhile)
    (done,) = here.write([second])
    assert (
        isinstance(done, Done)
        and done.changed
        and Index.open(place).holds([first.id, second.id])
        == {
            first.id,
            second.id,
        }
    )
