import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.findings import Level
from gencv.datasets import leaks

SPLITS = ["train", "train", "test", "val"]


def test_what_is_the_same_in_two_splits() -> None:
    found = leaks.same_in_two_splits("groups", ["a", "b", "b", "c"], SPLITS)
    assert found.count == 1 and found.pairs == ((1, 2, None),)
    assert leaks.same_in_two_splits("groups", ["a", "a", None, None], SPLITS).count == 0
    assert leaks.same_in_two_splits("groups", ["a", "a", "", ""], SPLITS).count == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["train", "val", "test"])), max_size=30))
def test_every_value_in_two_splits_is_counted_once(rows: list[tuple[str, str]]) -> None:
    values, splits = [row[0] for row in rows], [row[1] for row in rows]
    expected = sum(len({split for name, split in rows if name == value}) > 1 for value in set(values))
    assert leaks.same_in_two_splits("groups", values, splits).count == expected


def test_copies_are_found_by_id_or_else_by_their_bytes() -> None:
    same_id, same_bytes = leaks.copies_in_two_splits(["i", "j", "i", "k"], ["x", "y", "x", "y"], SPLITS)
    assert same_id.pairs == ((0, 2, None),) and same_bytes.pairs == ((1, 3, None),)
    raw = leaks.copies_in_two_splits(["i", "j", "i", "k"], ["i", "j", "i", None], SPLITS)
    assert [leak.count for leak in raw] == [1, 0]


def test_near_duplicates_are_found_across_splits_only() -> None:
    base = 0x0123456789ABCDEF
    hashes = [base, base ^ 0b11, base ^ 0b111, ~base & (2**64 - 1)]
    found = leaks.near_duplicates_in_two_splits(hashes, SPLITS)
    assert found.count >= 1 and all({SPLITS[one], SPLITS[other]} == {"train", "test"} for one, other, _ in found.pairs)
    assert found.pairs[0][2] is not None and found.pairs[0][2] <= 4
    assert leaks.near_duplicates_in_two_splits([base, base, None, None], SPLITS).count == 0
    assert leaks.near_duplicates_in_two_splits([None] * 4, SPLITS).count == 0


def test_neighbours_are_found_across_splits_only() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 16)).astype(np.float32)
    vectors[7] = vectors[31] + 0.01 * rng.normal(size=16)
    vectors[8] = vectors[9]
    vectors[5] = np.nan
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    splits = ["train"] * 30 + ["test"] * 6 + ["val"] * 4
    found = leaks.neighbours_in_two_splits(vectors, splits)
    assert found.count == 1
    one, other, cosine = found.pairs[0]
    assert {one, other} == {7, 31} and cosine is not None and cosine > 0.98
    assert leaks.neighbours_in_two_splits(vectors, splits, 0.0).count > 1
    assert leaks.neighbours_in_two_splits(np.full((4, 2), np.nan, np.float32), SPLITS).count == 0


def test_leaks_fail_neighbours_warn_and_generators_are_a_remark() -> None:
    uris = [f"{row}.jpg" for row in range(4)]
    pair = ((0, 2, None),)
    found = leaks.findings_of([leaks.Leak(kind=kind, count=1, pairs=pair) for kind in leaks.SENTENCES], uris, SPLITS)
    assert [finding.level for finding in found] == [Level.FAIL] * 4 + [Level.WARN]
    assert found[0].examples == ("train: 0.jpg = test: 2.jpg",)
    assert leaks.findings_of([leaks.Leak(kind="groups", count=0, pairs=())], uris, SPLITS) == []
    (remark,) = leaks.remarks_on_generators(["sd", "gan", "sd", "camera"], [1, 1, 1, 0], SPLITS)
    assert remark.level == Level.REMARK and "1 of 2 generators" in remark.sentence and "(sd)" in remark.sentence
    assert leaks.remarks_on_generators(["sd", "gan", "x", "camera"], [1, 1, 1, 0], SPLITS) == []
