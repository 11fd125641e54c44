from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadInput
from gencv.core.record import Split
from gencv.datasets.splits import assign_splits, balance, group_rows, settle_fixed

TRAIN, VAL, TEST = Split.TRAIN, Split.VAL, Split.TEST
ROWS = st.lists(st.tuples(st.integers(0, 12).map(str), st.sampled_from("abc")), min_size=1, max_size=80)
FRACTIONS = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.7, 0.3, 0.0), (0.0, 0.0, 1.0), (1 / 3, 1 / 3, 1 / 3)]
)


def test_groups_join_by_name_by_edge_and_in_chains() -> None:
    groups = ["b", "", "", "a", "", "b"]
    edges = np.array([[1, 2], [2, 3], [3, 5]])
    assert group_rows(groups, edges, list("uvwxyz")) == ["a", "a", "a", "a", "y", "a"]
    assert group_rows(["", "", ""], np.empty((0, 2)), list("cba")) == ["c", "b", "a"]
    assert group_rows(["", "", ""], np.array([[0, 2]]), list("cba")) == ["a", "b", "a"]


@given(st.data(), st.integers(1, 20))
def test_groups_do_not_depend_on_the_order_of_rows(data: st.DataObject, count: int) -> None:
    groups = data.draw(st.lists(st.sampled_from(["", "g", "h", "i"]), min_size=count, max_size=count))
    edges = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=12)), np.int64).reshape(
        -1, 2
    )
    order = np.array(data.draw(st.permutations(range(count))))
    ids = [f"{row:02d}" for row in range(count)]
    names = group_rows(groups, edges, ids)
    place = np.argsort(order)
    moved = group_rows([groups[i] for i in order], place[edges], [ids[i] for i in order])
    assert moved == [names[i] for i in order]


@settings(deadline=None)
@given(ROWS, FRACTIONS, st.integers(0, 3), st.randoms())
def test_splits(rows: list[tuple[str, str]], fractions: tuple[float, float, float], seed: int, random: object) -> None:
    groups, strata = [group for group, _ in rows], [stratum for _, stratum in rows]
    splits = assign_splits(groups, strata, fractions=fractions, seed=seed)
    assert len(splits) == len(rows)
    assert len(set(zip(groups, splits, strict=True))) == len(set(groups)), "a group is cut"
    largest = max(Counter(groups).values())
    for split, fraction in zip((TRAIN, VAL, TEST), fractions, strict=True):
        assert abs(splits.count(split) - fraction * len(rows)) <= largest + 1e-6
        assert fraction > 0 or split not in splits
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = assign_splits([groups[i] for i in order], [strata[i] for i in order], fractions=fractions, seed=seed)
    assert moved == [splits[i] for i in order]


def test_strata_are_spread_over_the_splits() -> None:
    groups = [str(row) for row in range(1000)]
    strata = ["rare" if row % 10 == 0 else "often" for row in range(1000)]
    counts = Counter(zip(strata, assign_splits(groups, strata, seed=1), strict=True))
    for stratum, total in (("rare", 100), ("often", 900)):
        for split, fraction in ((TRAIN, 0.8), (VAL, 0.1), (TEST, 0.1)):
            assert abs(counts[stratum, split] - fraction * total) <= 2


def test_large_and_small_groups_go_everywhere() -> None:
    groups = [f"{size}-{index}" for size in (1, 2, 5) for index in range(100) for _ in range(size)]
    found = {
        (group.partition("-")[0], split) for group, split in zip(groups, assign_splits(groups, groups), strict=True)
    }
    # Each group is a stratum of its own here, which is the hardest case: nothing says where it is lacking.
    assert {split for _, split in found} == {TRAIN, VAL, TEST}
    found = {(g.partition("-")[0], s) for g, s in zip(groups, assign_splits(groups, [0] * len(groups)), strict=True)}
    assert len(found) == 9


def test_another_seed_is_another_draw() -> None:
    groups = [str(row) for row in range(100)]
    assert assign_splits(groups, [0] * 100, seed=0) != assign_splits(groups, [0] * 100, seed=1)


def test_fixed_rows_stay_and_count() -> None:
    groups = [str(row) for row in range(100)]
    fixed = [TEST if row < 30 else None for row in range(100)]
    splits = assign_splits(groups, [0] * 100, fixed=fixed)
    assert splits[:30] == [TEST] * 30 and splits.count(TEST) == 30, "the test set is full, so nothing is added"
    assert 7 <= splits.count(VAL) <= 10
    with pytest.raises(BadInput, match=r"'g'.*train.*test"):
        assign_splits(["g", "g"], [0, 0], fixed=[TRAIN, TEST])


def test_near_duplicates_across_official_splits_go_to_the_strictest() -> None:
    explicit, joined = ["a", "", "c", ""], ["a", "a", "c", "d"]
    assert settle_fixed(explicit, joined, [TRAIN, TEST, VAL, None]) == [TEST, TEST, VAL, None]
    assert settle_fixed(explicit, joined, [VAL, TRAIN, None, None]) == [VAL, VAL, None, None]
    with pytest.raises(BadInput, match=r"'a'.*train.*test"):
        settle_fixed(["a", "a"], ["a", "a"], [TRAIN, TEST])


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_must_sum_to_one(fractions: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="sum 1"):
        assign_splits(["a"], [0], fractions=fractions)


@settings(deadline=None)
@given(st.lists(st.sampled_from([None, "", "", "", "sd", "gan"]), min_size=1, max_size=60), st.randoms())
def test_balance(kinds: list[str | None], random: object) -> None:
    labels = [None if kind is None else int(kind != "") for kind in kinds]
    generators = [kind or "camera" for kind in kinds]
    ids = [f"{row:03d}" for row in range(len(kinds))]
    num_genuine, num_generators = labels.count(0), len({kind for kind in kinds if kind})
    if set(labels) == {None}:
        assert balance(labels, generators, ids=ids).all()
        return
    if not num_generators or num_genuine < num_generators:
        with pytest.raises(BadInput, match="cannot be balanced"):
            balance(labels, generators, ids=ids)
        return
    keep = balance(labels, generators, ids=ids)
    kept = Counter(kind for kind, stays in zip(kinds, keep, strict=True) if stays)
    sizes = {kept[kind] for kind in kinds if kind}
    assert len(sizes) == 1 and min(sizes) > 0
    assert kept[""] == num_generators * sizes.pop() and kept[None] == labels.count(None)
    order = list(range(len(kinds)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = balance([labels[i] for i in order], [generators[i] for i in order], ids=[ids[i] for i in order])
    assert moved.tolist() == keep[order].tolist()


def test_each_split_is_balanced_by_itself() -> None:
    labels = [0] * 6 + [1] * 4 + [0] * 2 + [1] * 9
    splits = ["train"] * 10 + ["test"] * 11
    keep = balance(labels, ["x"] * 21, ids=[str(i) for i in range(21)], splits=splits)
    assert Counter(zip(np.array(splits)[keep], np.array(labels)[keep], strict=True)) == {
        ("train", 0): 4, ("train", 1): 4, ("test", 0): 2, ("test", 1): 2}  # fmt: skip
