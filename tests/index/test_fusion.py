import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.index.fusion import COPY_COSINE, Originals, fuse

rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=3)


def test_fused_scores_are_sums_of_reciprocal_ranks() -> None:
    found = fuse(["a", "b", "c"], ["c", "d"])
    assert found == [
        ("c", pytest.approx(1 / 63 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("b", pytest.approx(1 / 62)),
        ("d", pytest.approx(1 / 62)),
    ]


@given(rankings)
def test_fusing_loses_nothing_and_orders_by_score_then_id(some: list[list[str]]) -> None:
    found = fuse(*some)
    assert {name for name, _ in found} == {name for ranking in some for name in ranking}
    assert found == sorted(found, key=lambda item: (-item[1], item[0]))
    for name, score in found:
        assert score == pytest.approx(sum(1 / (61 + one.index(name)) for one in some if name in one))


@given(st.integers(0, 10_000), st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_copies_are_told_as_one_by_one_however_they_come(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 8))
    vectors = centres[rng.integers(5, size=sum(sizes))] + rng.normal(size=(sum(sizes), 8)) * 0.15
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    expected: list[int | None] = []
    kept: list[int] = []
    for row in range(len(vectors)):
        near = [place for place, other in enumerate(kept) if vectors[row] @ vectors[other] >= COPY_COSINE]
        expected.append(near[0] if near else None)
        if not near:
            kept.append(row)
    originals = Originals(8)
    ends = np.cumsum(sizes)
    found = [one for end, size in zip(ends, sizes, strict=True) for one in list(originals(vectors[end - size : end]))]
    assert found == expected
