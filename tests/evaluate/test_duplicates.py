from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fakes import index_rows, index_space

from gencv.evaluate import duplicates
from gencv.evaluate.duplicates import find_duplicates, join, near_pairs
from gencv.index.table import Index, update


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


def test_a_large_table_is_looked_through_by_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = index_rows(60)
    twice = [{**row, "id": row["id"] + "x"} for row in rows.slice(0, 7).to_pylist()]
    rows = pa.concat_tables([rows, pa.Table.from_pylist(twice, rows.schema)])
    update(str(tmp_path), index_space(), [rows], set(rows["id"].to_pylist()))
    index = Index.open(str(tmp_path))
    ids, exact = find_duplicates(index)
    monkeypatch.setattr(duplicates, "COMPARED_ROWS", 10)
    _, through = find_duplicates(index)
    assert sorted(sorted(ids[row] for row in group) for group in through.groups) == sorted(
        [row["id"][:-1], row["id"]] for row in twice
    )
    assert [group.tolist() for group in through.groups] == [group.tolist() for group in exact.groups]
    np.testing.assert_allclose(through.nearest, exact.nearest, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_table_of_hardly_any_rows_has_none(count: int) -> None:
    assert join(near_pairs(np.eye(4, dtype=np.float32)[:count]), count).groups == []
