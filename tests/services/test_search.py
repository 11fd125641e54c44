"""A searcher over a table of plain colours."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import COLOURS, ColourEncoder, GreenReranker, colour_index, colour_png

from gencv.core.errors import BadImage, BadInput, Gone, NotFound, NotSupported, UnknownName
from gencv.images.decode import Limits, decode
from gencv.images.preprocess import Preprocessing
from gencv.index.query import Query
from gencv.index.table import Index, edit
from gencv.services import search
from gencv.services.search import Searcher

NAMES = [name for name in COLOURS for _ in range(4)]


class CountingEncoder(ColourEncoder):
    """Notes how many texts and pictures came in each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def texts(self, texts: list[str]) -> np.ndarray:
        self.calls.append(("texts", len(texts)))
        return super().texts(texts)

    def images(self, pixels: np.ndarray) -> np.ndarray:
        self.calls.append(("images", len(pixels)))
        return super().images(pixels)


class PictureEncoder(CountingEncoder):
    """Takes no texts."""

    def texts(self, texts: list[str]) -> np.ndarray:
        raise NotSupported("It takes no texts.")


def searcher(folder: Path, **how: Any) -> Searcher:
    return Searcher(str(folder), **{"encoder": CountingEncoder(), **how})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    colour_index(tmp_path / "index", NAMES)
    return tmp_path / "index"


def generators(found: search.Answer) -> list[str]:
    return found.rows["generator"].to_pylist()


def test_a_text_a_picture_and_both_with_less_of_something(folder: Path) -> None:
    here = searcher(folder)
    assert set(generators(here.answer(Query(text="a red wall somewhere", k=4)))) == {"red"}
    pixels = here.prepare(colour_png("blue", 99))
    assert set(generators(here.answer(Query(pixels=pixels, k=4)))) == {"blue"}
    both = Query(pixels=pixels, text="a green wall somewhere", text_weight=3, negative="blue", k=4)
    assert set(generators(here.answer(both))) == {"green"}
    one = here.answer(Query(text="a red wall somewhere", k=1), columns=("id", "caption"))
    assert one.rows.column_names == ["id", "caption", "score", "copies"]


def test_questions_that_wait_are_one_call_and_a_page_later_none(folder: Path) -> None:
    here = searcher(folder)
    pixels = here.prepare(colour_png("blue", 99))
    asked = [Query(text=f"a {name} wall somewhere", k=2) for name in COLOURS]
    asked += [Query(pixels=pixels), Query(text="a red wall somewhere", pixels=pixels, negative="green")]
    together = here.encode(asked)
    assert here.encoder.calls == [("texts", 4 * 7), ("images", 2)]  # the words of all, once, and the templates
    first = here.answer(asked[0], together[0])
    here.encode([Query(text="a red wall somewhere", k=2, cursor=first.hits.cursor)])
    assert len(here.encoder.calls) == 2
    for query, encoded in zip(asked, together, strict=True):
        alone = searcher(folder).answer(query)
        assert alone.hits.hits == here.answer(query, encoded).hits.hits


def test_what_one_question_cannot_be_asked_with_is_its_own_error(folder: Path) -> None:
    here = searcher(folder, encoder=PictureEncoder())
    pixels = here.prepare(colour_png("blue", 99))
    text, picture = here.encode([Query(text="red"), Query(pixels=pixels, k=1)])
    assert isinstance(text, NotSupported)
    assert generators(here.answer(Query(pixels=pixels, k=1), picture)) == ["blue"]


def test_a_new_version_is_seen_and_a_cursor_keeps_to_its_own(folder: Path) -> None:
    here = searcher(folder)
    asked = {"text": "a red wall somewhere", "k": 2}
    first = here.answer(Query(**asked))
    second = here.answer(Query(**asked, cursor=first.hits.cursor))
    edit(Index.open(str(folder)), None, [hit.id for hit in first.hits.hits + second.hits.hits])
    assert "red" not in generators(here.answer(Query(**asked)))
    again = here.answer(Query(**asked, cursor=first.hits.cursor))
    assert again.hits == second.hits and again.index.num_rows == 12
    assert here.index().num_rows == 8


def test_a_version_that_is_gone_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = searcher(folder)
    asked = {"text": "a red wall somewhere", "k": 2}
    cursor = here.answer(Query(**asked)).hits.cursor
    monkeypatch.setattr("gencv.index.upkeep.READERS_KEEP", timedelta(hours=-1))
    edit(Index.open(str(folder)), None, [here.answer(Query(**asked)).hits.hits[0].id])
    with pytest.raises(Gone, match=r"Version \d+ of the index is not there"):
        here.answer(Query(**asked, cursor=cursor))


def test_a_cursor_of_another_index_is_refused(folder: Path, tmp_path: Path) -> None:
    """Of the same version, of the same pictures, and asked the same."""
    colour_index(tmp_path / "other", NAMES)
    asked = {"text": "a red wall somewhere", "k": 2}
    first = searcher(folder).answer(Query(**asked))
    other = searcher(tmp_path / "other")
    assert other.answer(Query(**asked)).hits.version == first.hits.version
    with pytest.raises(BadInput, match="another table"):
        other.answer(Query(**asked, cursor=first.hits.cursor))


def test_a_hidden_column_is_neither_told_nor_asked_for(folder: Path) -> None:
    here = searcher(folder, hidden=("uri",))
    found = here.answer(Query(text="red", k=1))
    assert "uri" not in found.rows.column_names and "uri" not in here.item(found.hits.hits[0].id)
    with pytest.raises(UnknownName, match="Unknown column 'uri'"):
        here.answer(Query(text="red", where="uri LIKE '/pictures/%'"))
    assert searcher(folder).answer(Query(text="red", where="uri LIKE '/pictures/%'")).rows.num_rows == 10


def test_a_picture_is_prepared_as_those_of_the_index(tmp_path: Path) -> None:
    prepared = Preprocessing(size_px=40, jpeg_quality=(30,))
    colour_index(tmp_path / "index", NAMES, preprocessing=prepared.to_dict())
    here, data = searcher(tmp_path / "index"), colour_png("red", 5)
    assert (here.prepare(data) == prepared.apply(decode(data))).all()
    part = decode(data)[10:30, 5:45]
    assert (here.prepare(data, (5, 10, 45, 30)) == prepared.apply(part)).all()
    with pytest.raises(BadInput, match="does not lie in the picture"):
        here.prepare(data, (0, 0, 65, 10))
    with pytest.raises(BadImage, match="more pixels"):
        searcher(tmp_path / "index", limits=Limits(max_pixels=100)).prepare(data)


def test_one_picture_and_its_thumbnail(folder: Path) -> None:
    here = searcher(folder)
    one = here.answer(Query(text="red", k=1)).rows["id"][0].as_py()
    assert here.item(one)["caption"] == ["a red wall"]
    assert decode(here.thumbnail(one, 256)).shape == (48, 64, 3)
    assert decode(here.thumbnail(one, 32)).shape == (24, 32, 3)
    for ask in (here.item, lambda id: here.thumbnail(id, 64)):
        with pytest.raises(NotFound, match="no picture 'nobody'"):
            ask("nobody")


def test_a_reranker_is_asked_where_there_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "load_reranker", lambda name, **how: GreenReranker(name))
    query = Query(text="a red wall somewhere", k=2)
    assert generators(searcher(folder, reranker="some/blip").answer(query, rerank=True)) == ["green"] * 2
    with pytest.raises(NotSupported, match="no reranker"):
        searcher(folder).answer(query, rerank=True)


def test_the_last_cut_off_stands_until_the_next_is_measured(folder: Path) -> None:
    here, query = searcher(folder), Query(text="a red wall somewhere", k=12)
    assert here.answer(query).hits.good is None
    assert here.measure_cutoff() == "" and here.answer(query).hits.good is not None
    ids = here.answer(query).rows["id"].to_pylist()
    edit(Index.open(str(folder)), None, ids[:1])
    assert here.answer(query).hits.good is not None
    assert searcher(folder).answer(query).hits.good is None
    edit(Index.open(str(folder)), None, ids[1:6])
    assert here.answer(query).hits.good is None
    here.measure_cutoff()
    assert here.answer(query).hits.good is not None
    said = searcher(folder, encoder=PictureEncoder()).measure_cutoff()
    assert said == "It takes no texts." and searcher(folder).answer(query).hits.good is None
