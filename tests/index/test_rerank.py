from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import GreenReranker, MemoryIndex, WordEncoder

from gencv.core.errors import BadImage, BadInput
from gencv.core.record import picture_id
from gencv.index.query import Hits, Query, run
from gencv.index.rerank import RERANKED, Rerank

ENCODER = WordEncoder()
GREENS = [(37 * row) % 101 for row in range(60)]
"""Another order than that of the rows, no green twice."""


def decode(data: bytes) -> np.ndarray:
    """A picture is the text "GREEN ROW"."""
    if not data or data == b"broken":
        raise BadImage("corrupt")
    return np.full((2, 3, 3), int(data.split()[0]), np.uint8)


def green(name: str = "green") -> Rerank:
    return Rerank(GreenReranker(name), decode)


def shelf(folder: Path, greens: Sequence[int] = GREENS, *, angle: float = 0.02) -> MemoryIndex:
    """Make a table whose row order is that of a search for red, of files in a folder and thumbnails of green 200."""
    angles = angle * np.arange(len(greens))
    vectors = np.zeros((len(greens), ENCODER.space.dim))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    data = [f"{one} {row}".encode() for row, one in enumerate(greens)]
    paths = [folder / str(row) for row in range(len(greens))]
    for path, one in zip(paths, data, strict=True):
        path.write_bytes(one)
    return MemoryIndex(
        vectors,
        ENCODER.space,
        id=[picture_id(one) for one in data],
        uri=[str(path) for path in paths],
        thumbnail=[b"200"] * len(greens),
        caption=[["red"] if row % 3 == 0 else [] for row in range(len(greens))],
        place=list(range(len(greens))),
    )


def rows(found: Hits, table: MemoryIndex) -> list[int]:
    return [table.ids.index(hit.id) for hit in found.hits]


def test_the_first_are_ordered_anew_and_the_others_stay_behind_them(tmp_path: Path) -> None:
    table = shelf(tmp_path)
    found = run(Query(text="red", k=60), table, ENCODER, rerank=green())
    assert rows(found, table) == [*np.argsort(GREENS[:RERANKED])[::-1], *range(RERANKED, 60)]
    assert [hit.reranked for hit in found.hits] == [True] * RERANKED + [False] * 10
    matches = sorted(GREENS[:RERANKED], reverse=True)
    assert [hit.score for hit in found.hits[:RERANKED]] == pytest.approx([one / 255 for one in matches])
    plain = {hit.id: hit for hit in run(Query(text="red", k=60), table, ENCODER).hits}
    assert all(hit.score == plain[hit.id].score for hit in found.hits[RERANKED:])
    assert {hit.id: hit.cosine for hit in found.hits} == pytest.approx({name: plain[name].cosine for name in plain})
    assert found.reranker == "green" and found.strength is None


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
def test_pages_across_the_border_make_one_listing(hybrid: bool, collapse: bool, tmp_path: Path) -> None:
    table = shelf(tmp_path)  # neighbours of up to nine rows away count as copies

    def pages(*sizes: int) -> list[tuple[int, float]]:
        listed, cursor = [], ""
        for size in (*sizes, *[1_000] * 2):
            asked = Query(text="red", k=size, cursor=cursor, hybrid=hybrid, collapse=collapse)
            found = run(asked, table, ENCODER, rerank=green())
            listed += [(row, hit.score) for row, hit in zip(rows(found, table), found.hits, strict=True)]
            cursor = found.cursor
            if not cursor:
                return listed
        raise AssertionError("the listing does not end")

    whole = pages()
    assert len(whole) == len(dict(whole)) and (len(whole) < 20 if collapse else len(whole) == 60)
    for sizes in ((1,) * 5, (3, 2), (49, 1, 1), (49, 2), (50,), (51,), (7,) * 8):
        assert pages(*sizes) == whole


def test_a_page_behind_the_first_ones_asks_the_reranker_nothing(tmp_path: Path) -> None:
    table, rerank = shelf(tmp_path), green()
    first = run(Query(text="red", k=RERANKED), table, ENCODER, rerank=rerank)
    assert rerank.reranker.num_seen == RERANKED  # type: ignore[attr-defined]
    run(Query(text="red", cursor=first.cursor), table, ENCODER, rerank=rerank)
    assert rerank.reranker.num_seen == RERANKED  # type: ignore[attr-defined]


def test_equals_stay_as_they_stood(tmp_path: Path) -> None:
    table = shelf(tmp_path, [5, 9, 5, 9, 9, 5])
    assert rows(run(Query(text="red"), table, ENCODER, rerank=green()), table) == [1, 3, 4, 0, 2, 5]


def test_of_copies_the_one_that_matches_best_is_shown(tmp_path: Path) -> None:
    table = shelf(tmp_path, [1, 9, 5, 3], angle=0.05)  # 0.98 is the cosine of .2
    (hit,) = run(Query(text="red", collapse=True), table, ENCODER, rerank=green()).hits
    assert table.ids.index(hit.id) == 1 and [table.ids.index(name) for name in hit.copies] == [2, 3, 0]


def test_only_candidates_that_pass_the_filter_are_seen(tmp_path: Path) -> None:
    table, rerank = shelf(tmp_path), green()
    found = run(Query(text="red", where="place < 4", like_id=table.ids[2]), table, ENCODER, rerank=rerank)
    assert rows(found, table) == [1, 3, 0] and rerank.reranker.num_seen == 3  # type: ignore[attr-defined]
    assert run(Query(text="red", where="place < 0"), table, ENCODER, rerank=rerank).hits == []


def test_a_picture_that_is_gone_is_seen_by_its_thumbnail_and_one_without_either_is_last(tmp_path: Path) -> None:
    table = shelf(tmp_path)
    (tmp_path / "7").unlink()
    (tmp_path / "8").write_bytes(b"250 8")  # another picture than the one that was indexed
    for row, thumbnail in ((0, b"broken"), (1, None)):
        (tmp_path / str(row)).unlink()
        table.pictures["thumbnail"][row] = thumbnail
    found = run(Query(text="red", k=60), table, ENCODER, rerank=green())
    assert rows(found, table)[:2] == [7, 8] and found.hits[0].score == pytest.approx(200 / 255)
    assert rows(found, table)[RERANKED - 2 : RERANKED + 1] == [0, 1, RERANKED]
    assert [hit.score for hit in found.hits[RERANKED - 2 : RERANKED]] == [0, 0]


def test_of_preprocessed_pictures_the_thumbnail_is_seen(tmp_path: Path) -> None:
    table = shelf(tmp_path, [1, 2, 3])
    table.pictures["thumbnail"] = [b"10", b"30", b"20"]
    table.space = replace(table.space, preprocessing={"size_px": 64})
    found = run(Query(text="red"), table, ENCODER, rerank=green())
    assert rows(found, table) == [1, 2, 0] and found.hits[0].score == pytest.approx(30 / 255)


def test_a_cursor_does_not_go_on_under_another_reranker(tmp_path: Path) -> None:
    table = shelf(tmp_path)
    asked = Query(text="red", k=3)
    ways = [green(), green("other"), None]
    for way in ways:
        asked_on = replace(asked, cursor=run(asked, table, ENCODER, rerank=way).cursor)
        for other in ways:
            if other is way:
                assert len(run(asked_on, table, ENCODER, rerank=other).hits) == 3
            else:
                with pytest.raises(BadInput, match="another query"):
                    run(asked_on, table, ENCODER, rerank=other)


def test_a_query_without_a_text_is_refused(tmp_path: Path) -> None:
    table = shelf(tmp_path, [1, 2])
    with pytest.raises(BadInput, match="compares pictures with a text; give a text"):
        run(Query(like_id=table.ids[0]), table, ENCODER, rerank=green())
