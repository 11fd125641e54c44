import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import MemoryIndex
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.embeddings import Space
from gencv.core.errors import BadInput
from gencv.evaluate import retrieval
from gencv.evaluate.retrieval import (
    Captioned,
    approximation,
    drawn_captions,
    image_ranks,
    image_to_text,
    ranks_through,
    text_ranks,
    text_to_image,
    through_index,
)


def units(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def captioned(num: int, per_picture: int, *, noise: float = 2.0, seed: int = 0, dim: int = 16) -> Captioned:
    rng = np.random.default_rng(seed)
    pictures = units(rng, num, dim)
    owners = np.repeat(np.arange(num), per_picture)
    captions = pictures[owners] + noise * units(rng, len(owners), dim)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    return Captioned(pictures, captions.astype(np.float32), owners)


@given(st.integers(0, 1_000), st.integers(2, 12), st.integers(1, 30), st.integers(1, 40))
def test_ranks_are_those_of_a_plain_loop(seed: int, num: int, count: int, cells: int) -> None:
    """On a grid of few values, so that ties are common, and in blocks of any size."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(-1, 2, (num, 3)).astype(np.float32)
    captions = rng.integers(-1, 2, (count, 3)).astype(np.float32)
    owners = rng.integers(num, size=count)
    data = Captioned(pictures, captions, owners)
    of_texts = []
    for caption, owner in zip(captions, owners, strict=True):
        own = caption @ pictures[owner]
        of_texts.append(1 + sum(caption @ pictures[other] >= own for other in range(num) if other != owner))
    of_pictures = []
    for picture in sorted(set(owners.tolist())):
        best = max(captions[place] @ pictures[picture] for place in range(count) if owners[place] == picture)
        foreign = [place for place in range(count) if owners[place] != picture]
        of_pictures.append(1 + sum(captions[place] @ pictures[picture] >= best for place in foreign))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_CELLS", cells)
        assert text_ranks(data).tolist() == of_texts
        assert image_ranks(data).tolist() == of_pictures


def test_figures_are_those_of_their_ranks() -> None:
    data = captioned(80, 3)
    found = text_to_image(data, text_ranks(data), num_replicates=200)
    ranks = text_ranks(data)
    for depth in (1, 5, 10):
        metric = found.figures[f"recall@{depth}"]
        assert metric.value == pytest.approx((ranks <= depth).mean())
        assert metric.low is not None and metric.high is not None and metric.low < metric.value < metric.high
    assert found.figures["median rank"].value == np.median(ranks)
    assert (found.num_queries, found.num_candidates) == (240, 80)
    other = image_to_text(data, num_replicates=200)
    assert (other.num_queries, other.num_candidates) == (80, 240)
    assert other.figures["recall@1"].value == pytest.approx((image_ranks(data) == 1).mean())


def test_a_perfect_encoder_finds_all_with_the_exact_interval() -> None:
    easy = captioned(40, 2, noise=0.0)
    found = text_to_image(easy, text_ranks(easy), num_replicates=50)
    metric = found.figures["recall@1"]
    assert (metric.value, metric.high) == (1.0, 1.0)
    assert metric.low == pytest.approx(0.025 ** (1 / 40))
    assert found.figures["median rank"].value == 1


def test_random_vectors_score_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    per_picture = 5
    data = Captioned(units(rng, 300, 64), units(rng, 1_500, 64), np.repeat(np.arange(300), per_picture))
    texts, pictures = text_to_image(data, text_ranks(data), num_replicates=20), image_to_text(data, num_replicates=20)
    assert texts.chance["recall@10"] == pytest.approx(10 / 300)
    assert pictures.chance["recall@1"] == pytest.approx(5 / 1_500)
    for found, spread in ((texts, (0.033 * 0.967 / 1_500) ** 0.5), (pictures, (0.033 * 0.967 / 300) ** 0.5)):
        value = found.figures["recall@10"].value
        assert value == pytest.approx(found.chance["recall@10"], abs=4 * spread)
    assert texts.figures["median rank"].value == pytest.approx(150, abs=15)


def test_the_chance_of_image_to_text_is_that_of_draws() -> None:
    rng = np.random.default_rng(0)
    data = Captioned(np.ones((2, 1), np.float32), np.ones((30, 1), np.float32), np.array([0] * 4 + [1] * 26))
    drawn = [rng.permutation(30)[:5] for _ in range(20_000)]
    expected = np.mean([[(places < 4).any(), (places >= 4).any()] for places in drawn])
    assert image_to_text(data, num_replicates=5).chance["recall@5"] == pytest.approx(expected, abs=0.01)


def test_a_constant_encoder_finds_nothing() -> None:
    data = Captioned(np.ones((20, 4), np.float32) / 2, np.ones((40, 4), np.float32) / 2, np.repeat(np.arange(20), 2))
    assert text_ranks(data).tolist() == [20] * 40
    assert image_ranks(data).tolist() == [39] * 20


def test_captions_of_one_picture_make_the_interval_wider() -> None:
    data = captioned(60, 1, noise=3.0)
    repeated = Captioned(data.pictures, np.repeat(data.captions, 5, axis=0), np.repeat(data.owners, 5))
    one, five = (text_to_image(each, text_ranks(each)).figures["recall@5"] for each in (data, repeated))
    assert one.value == five.value
    assert one.high is not None and one.low is not None and five.high is not None and five.low is not None
    assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.1)


def test_five_captions_at_most_and_pictures_without_one_are_candidates_only() -> None:
    texts, owners = drawn_captions([["a", " ", "b", "c", "d", "e", "f"], [], ["g"]])
    assert texts == ["a", "b", "c", "d", "e", "g"] and owners.tolist() == [0, 0, 0, 0, 0, 2]
    data = Captioned(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[owners], owners)
    assert text_to_image(data, text_ranks(data), num_replicates=5).num_candidates == 3
    assert image_to_text(data, num_replicates=5).num_queries == 2


@pytest.mark.parametrize("empty", [(0, 3), (3, 0)])
def test_nothing_to_measure_is_refused(empty: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="these have none"):
        Captioned(np.ones((empty[0], 2)), np.ones((empty[1], 2)), np.zeros(empty[1], int))
    with pytest.raises(BadInput, match="NaN"):
        Captioned(np.full((1, 2), np.nan), np.ones((1, 2)), np.zeros(1, int))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_cocos_size_fits_memory(traced: None) -> None:
    rng = np.random.default_rng(0)
    data = Captioned(units(rng, 5_000, 4), units(rng, 25_000, 4), np.repeat(np.arange(5_000), 5))
    assert len(text_ranks(data)) == 25_000 and len(image_ranks(data)) == 5_000
    assert tracemalloc.get_traced_memory()[1] < 200e6  # the whole matrix takes 500 MB


def indexed(data: Captioned, losses: float = 0.0) -> MemoryIndex:
    space = Space(encoder="fake", weights="w", dim=data.pictures.shape[1], transform={})
    return MemoryIndex(data.pictures, space, losses=losses)


def test_through_an_exact_index_the_ranks_are_the_same() -> None:
    data = captioned(120, 2)
    table = indexed(data)
    names = [table.ids[owner] for owner in data.owners]
    ranks = text_ranks(data)
    assert np.array_equal(ranks_through(table, data.captions, names), np.where(ranks < 20, ranks, np.inf))
    exact = text_to_image(data, text_ranks(data), num_replicates=50)
    found = through_index(table, data.captions, names, num_candidates=120, num_replicates=50)
    for name in ("recall@1", "recall@5", "recall@10"):
        assert found.figures[name] == exact.figures[name]
    assert found.figures["median rank"].value == exact.figures["median rank"].value


def test_a_median_beyond_what_was_asked_for_is_not_told() -> None:
    data = captioned(400, 1, noise=50.0)
    table = indexed(data)
    found = through_index(table, data.captions, table.ids, num_candidates=400, num_replicates=20)
    assert found.figures["median rank"].value is None and "first 20" in found.figures["median rank"].reason


def test_an_index_that_loses_hits_shows_it_with_its_times() -> None:
    data = captioned(300, 1)
    whole, lossy = (approximation(indexed(data, losses), data.captions[:100]) for losses in (0.0, 0.3))
    assert whole.recall.value == 1.0 and whole.num_queries == 100 and whole.k == 10
    assert lossy.recall.value == pytest.approx(0.7, abs=0.1)
    assert lossy.recall.low is not None and lossy.recall.low <= lossy.recall.value
    times = whole.milliseconds
    assert set(times) == {"p50", "p99", "exact p50", "exact p99"}
    assert 0 < times["p50"] <= times["p99"] and 0 < times["exact p50"] <= times["exact p99"]


def test_equal_scores_at_the_end_count_as_found() -> None:
    vectors = np.ones((30, 4), np.float32)
    found = approximation(indexed(Captioned(vectors, vectors, np.arange(30)), 0.4), vectors[:2])
    assert found.recall.value == 1.0
