from typing import Any

import numpy as np
import pytest
from fakes import MemoryIndex, WordEncoder
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.errors import BadInput, UnknownName
from gencv.index.cursors import Cursor
from gencv.index.query import LEVELS, Hits, Query, run

ENCODER = WordEncoder()


def painted(*colours: tuple[float, float, float], **columns: Any) -> MemoryIndex:
    """Make a table of pictures of one colour each."""
    vectors = np.zeros((len(colours), ENCODER.space.dim), np.float32)
    vectors[:, :3] = colours
    return MemoryIndex(vectors, ENCODER.space, **columns)


def scattered(count: int, *, losses: float = 0.0, copies: bool = False) -> MemoryIndex:
    """Make a table of `count` pictures; with copies, every fourth is nearly the one before it."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(count, ENCODER.space.dim))
    if copies:
        vectors[3::4] = vectors[2::4][: len(vectors[3::4])] + 0.01
    captions = [["red thing"] if row % 7 == 0 else ["thing"] if row % 3 == 0 else [] for row in range(count)]
    return MemoryIndex(vectors, ENCODER.space, losses=losses, caption=captions, label=[row % 2 for row in range(count)])


def ids(found: Hits) -> list[str]:
    return [hit.id for hit in found.hits]


RED, GREEN, BLUE, PINK = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0.5, 0.5)
COLOURS = painted(RED, GREEN, BLUE, PINK)


def test_a_text_finds_its_pictures_best_first() -> None:
    found = run(Query(text="red", k=2), COLOURS, ENCODER)
    assert ids(found) == ["p00000", "p00003"]
    assert found.hits[0].score == found.hits[0].cosine > found.hits[1].score
    assert found.version == COLOURS.version and found.good is None


def test_a_vector_several_vectors_pixels_and_a_region_find_their_pictures() -> None:
    axes = np.eye(ENCODER.space.dim, dtype=np.float32)
    assert ids(run(Query(image=axes[2], k=1), COLOURS)) == ["p00002"]
    assert ids(run(Query(image=axes[2].astype(float) * 9, k=1), COLOURS)) == ["p00002"]
    assert ids(run(Query(image=np.stack([axes[0], axes[0], axes[1] + axes[2]]), k=1), COLOURS)) == ["p00003"]
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :6, 0] = pixels[:, 6:, 1] = 255
    assert ids(run(Query(pixels=pixels, k=1), COLOURS, ENCODER)) == ["p00000"]
    assert ids(run(Query(pixels=pixels[:, 6:], k=1), COLOURS, ENCODER)) == ["p00001"]


def test_weights_say_whether_the_text_or_the_picture_counts() -> None:
    blue = np.eye(ENCODER.space.dim, dtype=np.float32)[2]
    assert ids(run(Query(text="green", image=blue, text_weight=5, k=1), COLOURS, ENCODER)) == ["p00001"]
    assert ids(run(Query(text="green", image=blue, image_weight=5, k=1), COLOURS, ENCODER)) == ["p00002"]


def test_what_is_not_wanted_falls_behind() -> None:
    yellow_and_red = painted((1, 1, 0), RED, (1, 0.2, 0.1))
    assert ids(run(Query(text="a red and green thing"), yellow_and_red, ENCODER))[0] == "p00000"
    asked = Query(text="a red and green thing", negative="green", negative_weight=1.0)
    assert ids(run(asked, yellow_and_red, ENCODER)) == ["p00001", "p00002", "p00000"]


def test_more_like_this_leaves_the_picture_itself_out() -> None:
    assert ids(run(Query(like_id="p00000"), COLOURS)) == ["p00003", "p00001", "p00002"]
    assert ids(run(Query(like_id="p00000", text="blue", text_weight=3, k=1), COLOURS, ENCODER)) == ["p00002"]


def test_a_filter_holds_for_every_way_of_asking() -> None:
    table = scattered(200)
    for asked in ({"text": "red"}, {"like_id": "p00004"}, {"text": "red", "hybrid": True}):
        found = run(Query(where="label = 1", k=50, **asked), table, ENCODER)
        assert len(found.hits) == 50 and all(int(one[1:]) % 2 for one in ids(found))


def test_a_hybrid_query_fuses_cosines_with_words() -> None:
    table = painted(RED, GREEN, BLUE, caption=[["x"], ["red"], ["y"]])
    found = run(Query(text="red", hybrid=True), table, ENCODER)
    assert ids(found) == ["p00001", "p00000", "p00002"]
    # GREEN and BLUE tie by cosine, so that GREEN is second there by id.
    assert [hit.score for hit in found.hits] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 63])
    plain = {hit.id: hit.cosine for hit in run(Query(text="red"), table, ENCODER).hits}
    assert {hit.id: hit.cosine for hit in found.hits} == pytest.approx(plain)


def test_of_copies_the_best_stays_and_names_the_others() -> None:
    table = painted(BLUE, (1, 0.02, 0), RED, (1, 0, 0.03), GREEN)
    found = run(Query(text="red", k=2, collapse=True), table, ENCODER)
    assert [(hit.id, hit.copies) for hit in found.hits] == [("p00002", ("p00001", "p00003")), ("p00000", ())]
    assert found.num_collapsed == 2
    assert ids(run(Query(text="red", k=2), table, ENCODER)) == ["p00002", "p00001"]


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("losses", [0.0, 0.2])
def test_pages_of_any_size_make_one_listing(losses: float, hybrid: bool, collapse: bool) -> None:
    """Even through an index that loses other hits for every k that it is asked for."""
    table = scattered(700, losses=losses, copies=True)

    def pages(*sizes: int) -> list[str]:
        listed, cursor = [], ""
        for size in (*sizes, *[1_000] * 100):
            found = run(Query(text="red", k=size, cursor=cursor, hybrid=hybrid, collapse=collapse), table, ENCODER)
            listed += ids(found)
            cursor = found.cursor
            if not cursor:
                return listed
        raise AssertionError("the listing does not end")

    whole = pages()
    assert len(whole) == len(set(whole))
    if not losses:
        assert len(whole) == (525 if collapse else 700)
    for sizes in ((1, 2, 3), (99, 1, 1), (100,), (7,) * 40):
        assert pages(*sizes) == whole


@given(st.integers(1, 40), st.integers(0, 9_999))
def test_a_page_begins_at_its_cursor(k: int, offset: int) -> None:
    table = COLOURS
    cursor = str(Cursor(table.version, table.identity, Query(text="red").digest(), offset))
    found = run(Query(text="red", k=k, cursor=cursor), table, ENCODER)
    assert ids(found) == ids(run(Query(text="red", k=40), table, ENCODER))[offset : offset + k]


def test_the_last_page_has_no_cursor() -> None:
    assert run(Query(text="red", k=4), COLOURS, ENCODER).cursor == ""
    assert run(Query(text="red", k=3), COLOURS, ENCODER).cursor != ""


def test_a_listing_ends_with_the_deepest_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gencv.index.query.LEVELS", (5, 20))
    found = run(Query(text="red", k=1_000), scattered(50), ENCODER)
    assert len(found.hits) == 20 and found.cursor == ""


def test_a_first_page_asks_for_no_more_than_the_first_level() -> None:
    asked: list[int] = []
    table = scattered(5_000)
    search = table.nearest
    table.nearest = lambda vector, k, **more: (asked.append(k), search(vector, k, **more))[1]  # type: ignore
    run(Query(text="red", k=LEVELS[0] - 1, collapse=False), table, ENCODER)
    assert asked == [LEVELS[0]]


def test_a_cursor_of_another_query_or_version_is_refused() -> None:
    cursor = run(Query(text="red", k=1), COLOURS, ENCODER).cursor
    for other in (
        Query(text="blue", cursor=cursor),
        Query(text="red", negative="x", cursor=cursor),
        Query(text="red", where="id = 'x'", cursor=cursor),
        Query(text="red", image=np.ones(16), cursor=cursor),
        Query(text="red", collapse=True, cursor=cursor),
    ):
        with pytest.raises(BadInput, match="another query"):
            run(other, COLOURS, ENCODER)
    later = painted(RED, GREEN)
    later.version += 1
    with pytest.raises(BadInput, match="version 3 of the table, which is open at version 4"):
        run(Query(text="red", cursor=cursor), later, ENCODER)


def test_the_digest_sees_every_field_but_the_page() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    others = (
        {"text": "y"},
        {"negative": "n"},
        {"image": np.ones(3)},
        {"image": np.ones((1, 3))},
        {"image": np.ones(3, np.float32)},
        {"pixels": pixels},
        {"pixels": pixels + 1},
        {"like_id": "z"},
        {"text_weight": 2.0},
        {"image_weight": 2.0},
        {"negative_weight": 2.0},
        {"where": "label = 1"},
        {"hybrid": True},
        {"collapse": True},
    )
    digests = [Query(**{"text": "x", **other}).digest() for other in ({}, *others)]
    assert len(set(digests)) == len(digests)
    assert Query(text="x", k=3, cursor="c").digest() == digests[0]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "The query is empty; give a text"),
        ({"text": ""}, "The query is empty; give a text"),
        ({"text": " \n"}, "The text is empty"),
        ({"text": "x" * 10_000}, "The text has 10,000 characters; at most 1,000 are accepted"),
        ({"text": "x", "negative": "y" * 1_001}, "The negative has 1,001 characters"),
        ({"negative": "cat"}, "The query is empty"),
        ({"text": "x", "k": 0}, "k is 0; whole numbers from 1 to 1,000"),
        ({"text": "x", "k": 1_000_000}, "k is 1000000; whole numbers from 1 to 1,000"),
        ({"text": "x", "k": True}, "k is True"),
        ({"text": "x", "k": 1.5}, "k is 1.5"),
        ({"text": "x", "text_weight": -1.0}, "text_weight is -1.0; numbers from 0 to 1000"),
        ({"text": "x", "image_weight": 1e300}, "image_weight is 1e\\+300; numbers from 0 to 1000"),
        ({"text": "x", "negative_weight": float("nan")}, "negative_weight is nan"),
        ({"image": np.array([1, np.nan])}, "holds NaN, infinity, or nothing but zeros"),
        ({"image": np.zeros(16)}, "nothing but zeros"),
        ({"image": np.array([[1.0], [0.0]])}, "nothing but zeros"),
        ({"image": np.ones((2, 2, 2))}, r"numbers \[D\] or \[V, D\] are accepted"),
        ({"image": np.array(["x"])}, r"numbers \[D\] or \[V, D\] are accepted"),
        ({"image": np.empty(0)}, r"numbers \[D\] or \[V, D\] are accepted"),
        ({"like_id": "p00000", "hybrid": True}, "give a text"),
        ({"pixels": np.zeros((4, 4), np.uint8)}, r"uint8 \[4, 4\]; uint8 RGB \[H, W, 3\]"),
        ({"pixels": np.zeros((4, 4, 3))}, "float64"),
    ],
)
def test_a_query_that_no_table_can_answer_is_refused(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Query(**asked)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"image": np.ones(3)}, "has 3 numbers; this table's have 16"),
        ({"like_id": "nobody"}, "has no picture 'nobody'"),
        ({"like_id": "' OR 1 = 1"}, "has no picture"),
        ({"text": "x", "where": "id = 'a'; DROP TABLE pictures"}, "accepted|one condition"),
        ({"text": "x", "where": "id IN (SELECT id FROM pictures)"}, "accepted"),
        ({"text": "x", "cursor": "nonsense"}, "is no cursor"),
        ({"text": "red car", "negative": "red car", "negative_weight": 1.0}, "cancel each other out"),
    ],
)
def test_a_query_that_this_table_cannot_answer_is_refused(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        run(Query(**asked), COLOURS, ENCODER)


def test_a_filter_on_an_unknown_column_names_those_that_are_there() -> None:
    with pytest.raises(UnknownName, match="id, label"):
        run(Query(text="x", where="colour = 'red'"), scattered(5), ENCODER)


def test_another_space_is_refused_and_texts_need_the_encoder() -> None:
    with pytest.raises(BadInput, match="differ in weights and cannot be compared"):
        run(Query(text="red"), COLOURS, WordEncoder(weights="other"))
    with pytest.raises(BadInput, match="differ in dim and cannot be compared"):
        run(Query(text="red"), COLOURS, WordEncoder(dim=17))
    with pytest.raises(BadInput, match="need the table's encoder"):
        run(Query(text="red"), COLOURS)
    with pytest.raises(BadInput, match="need the table's encoder"):
        run(Query(pixels=np.full((2, 2, 3), 9, np.uint8)), COLOURS)
