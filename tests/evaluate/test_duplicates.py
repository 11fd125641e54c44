import numpy as np
import pytest

from gencv.evaluate import duplicates
from gencv.evaluate.duplicates import join, near_pairs


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("cells", [1, 1000, 2**26])
def test_groups_are_those_of_a_plain_loop(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_CELLS", cells)
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(15, 8))
    vectors = unit(np.concatenate([seeds, seeds[:6] + 0.05 * rng.normal(size=(6, 8)), seeds[:2]]))
    found = join(near_pairs(vectors), len(vectors))
    cosines = vectors @ vectors.T
    group_of = list(range(len(vectors)))
    for one in range(len(vectors)):
        for other in range(one):
            if cosines[one, other] >= 0.98:
                old, new = group_of[one], group_of[other]
                group_of = [new if group == old else group for group in group_of]
    expected = {frozenset(np.flatnonzero(np.array(group_of) == g).tolist()) for g in set(group_of)}
    assert {frozenset(rows.tolist()) for rows in found.groups} == {group for group in expected if len(group) > 1}
    assert [len(rows) for rows in found.groups] == sorted((len(rows) for rows in found.groups), reverse=True)
    np.fill_diagonal(cosines, -1)
    near = cosines.max(axis=1)
    assert np.allclose(found.nearest, np.where(near >= 0.98, near, np.nan), atol=1e-6, equal_nan=True)


def test_many_copies_of_one_picture_are_one_group() -> None:
    found = join(near_pairs(unit(np.ones((300, 4)))), 300)
    assert [len(rows) for rows in found.groups] == [300]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_table_of_hardly_any_rows_has_none(count: int) -> None:
    assert join(near_pairs(np.eye(4, dtype=np.float32)[:count]), count).groups == []
