import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import MonkeyPatch

from gencv.evaluate import neighbours
from gencv.evaluate.neighbours import Neighbours, nearest, without_copies


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 23), st.integers(1, 5), st.integers(1, 30))
def test_it_is_what_looking_at_every_pair_gives(seed: int, queries: int, rows: int, count: int, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    asked, gallery = rng.normal(size=(queries, 4)), rng.normal(size=(rows, 4)) * rng.uniform(0.1, 9, (rows, 1))
    gallery[rng.random(rows) < 0.2] = np.nan
    ids, gallery_ids = [str(k) for k in range(queries)], [str(k) for k in rng.integers(0, 9, rows)]
    with MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "ROWS_AT_ONCE", at_once)
        found = nearest(asked, gallery, ids, gallery_ids, count)
    assert found.rows.shape == found.cosines.shape == (queries, count)
    for query in range(queries):
        norms = np.linalg.norm(gallery, axis=1) * np.linalg.norm(asked[query])
        known = {
            row: float(gallery[row] @ asked[query] / norms[row])
            for row in range(rows)
            if gallery_ids[row] != ids[query] and not np.isnan(gallery[row]).any()
        }
        best = sorted(known.values(), reverse=True)[:count]
        there = found.rows[query] >= 0
        assert there.sum() == len(best) and np.isnan(found.cosines[query][~there]).all()
        np.testing.assert_allclose(found.cosines[query][there], best, atol=1e-5)
        np.testing.assert_allclose([known[row] for row in found.rows[query][there]], best, atol=1e-5)


def test_a_picture_without_a_direction_has_no_neighbours_and_is_none() -> None:
    gallery = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = nearest(np.array([[0.0, 0.0], [1.0, 1.0]]), gallery, ["a", "b"], ["c", "d"], 2)
    assert found.rows.tolist() == [[-1, -1], [1, -1]]


def test_copies_under_another_id_are_passed_over() -> None:
    found = Neighbours(np.array([[4, 2, 7, -1], [1, 4, -1, -1]]), np.array([[0.9, 0.8, 0.7, np.nan]] * 2, np.float32))
    asked: list[int] = []

    def digest_of(row: int) -> str:
        asked.append(row)
        return {4: "same", 2: "two", 7: "seven", 1: "one"}[row]

    kept = without_copies(found, ["same", "other"], digest_of, 2)
    assert kept.rows.tolist() == [[2, 7], [1, 4]] and asked == [4, 2, 7, 1, 4]
    np.testing.assert_allclose(kept.cosines[0], [0.8, 0.7])
    assert without_copies(found, ["two", "one"], digest_of, 3).rows.tolist() == [[4, 7, -1], [4, -1, -1]]
