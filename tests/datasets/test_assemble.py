from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadInput
from gencv.core.manifest import SCHEMA, Manifest
from gencv.datasets.assemble import EXCLUDED_SCHEMA, build_manifest


def row(number: int, **columns: Any) -> dict[str, Any]:
    # Hashes drawn at random differ in about 32 of 64 bits: no near-duplicates unless a test wants them.
    phash = int(np.random.default_rng(number).integers(0, 2**64, dtype=np.uint64))
    base = {"id": f"{number:04d}", "uri": f"/{number}.jpg", "label": number % 2, "phash": phash, "group": "",
            "generator": "sd" if number % 2 else "camera"}  # fmt: skip
    return base | columns


def build(rows: list[dict[str, Any]], **options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    table, excluded = build_manifest(pa.Table.from_pylist(rows, SCHEMA), **options)
    assert table.schema == SCHEMA and excluded.schema == EXCLUDED_SCHEMA
    assert table.num_rows + excluded.num_rows == len(rows)
    Manifest(table).check()
    return table.to_pylist(), excluded.to_pylist()


def test_every_good_row_gets_a_split_and_a_group() -> None:
    rows, excluded = build([row(number) for number in range(100)])
    assert [r["id"] for r in rows] == [f"{number:04d}" for number in range(100)] and not excluded
    assert [sum(r["split"] == split for r in rows) for split in ("train", "val", "test")] == [80, 10, 10]
    assert all(r["group"] == r["id"] for r in rows)


def test_of_the_same_bytes_the_first_stays() -> None:
    rows, excluded = build([row(0), row(1), row(2, id="0000")])
    assert [r["uri"] for r in rows] == ["/0.jpg", "/1.jpg"]
    assert excluded == [{"uri": "/2.jpg", "id": "0000", "reason": "same bytes as /0.jpg"}]


def test_the_same_bytes_with_two_labels_are_a_contradiction() -> None:
    with pytest.raises(BadInput, match=r"/0\.jpg and /3\.jpg.* 0 and 1"):
        build([row(0), row(2, id="0000", label=None), row(3, id="0000")])


def test_a_dropped_copy_in_the_test_set_keeps_its_twin_out_of_training() -> None:
    rows, _ = build([row(0, split="train"), row(2, id="0000", split="test", group="g"), row(4, group="g")])
    assert [(r["split"], r["group"]) for r in rows] == [("test", "g")] * 2


def test_near_duplicates_share_a_group_and_the_strictest_split() -> None:
    near = row(0)["phash"] ^ 0b11
    rows, _ = build([row(0, split="train"), row(1, phash=near, split="test"), row(2)])
    assert rows[0]["group"] == rows[1]["group"] and [r["split"] for r in rows[:2]] == ["test", "test"]
    rows, _ = build([row(0, split="train"), row(1, phash=near, split="test"), row(2)], max_distance=1)
    assert [r["split"] for r in rows[:2]] == ["train", "test"]


def test_an_explicit_group_in_two_official_splits_is_an_error() -> None:
    with pytest.raises(BadInput, match=r"'g'.*train.*test"):
        build([row(0, group="g", split="train"), row(1, group="g", split="test")])


def test_rows_with_an_error_stay_and_are_spread_over_the_splits() -> None:
    broken = [row(n, id=f"broken {n}", error="empty", phash=None) for n in range(100, 120)]
    rows, excluded = build([*(row(n) for n in range(20)), *broken], fractions=(0.5, 0.25, 0.25))
    splits = [found["split"] for found in rows if found["error"]]
    assert not excluded and len(splits) == 20
    assert min(splits.count(split) for split in ("train", "val", "test")) >= 3
    fixed, _ = build([row(0, split="test"), row(1, id="b", error="empty", phash=None, split="test")])
    assert [found["split"] for found in fixed] == ["test", "test"]


def test_balance_drops_with_a_reason() -> None:
    rows, excluded = build([row(n, label=int(n >= 60), generator="sd" if n >= 60 else "camera") for n in range(90)],
                           balance=True)  # fmt: skip
    for split in ("train", "val", "test"):
        labels = [r["label"] for r in rows if r["split"] == split]
        assert labels.count(0) == labels.count(1) > 0
    assert len(rows) == 60 and {line["reason"] for line in excluded} == {"balanced out"}


def test_nothing_in_nothing_out() -> None:
    assert build([]) == ([], [])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(["", "", "g", "h"]), st.integers(0, 6), st.booleans()),
        max_size=40,
    ),
    st.integers(0, 2),
)
def test_no_row_is_lost_and_no_group_crosses(parts: list[tuple[int, str, int, bool]], seed: int) -> None:
    rows = [
        row(number, uri=f"/{place}", group=group, phash=phash * 2**40, error="corrupt" if bad and number > 12 else None)
        for place, (number, group, phash, bad) in enumerate(parts)
    ]
    kept, excluded = build(rows, seed=seed)
    assert sorted([r["uri"] for r in kept] + [line["uri"] for line in excluded]) == sorted(r["uri"] for r in rows)
    assert len({r["id"] for r in rows}) == len(kept)


def test_the_order_of_rows_changes_no_split() -> None:
    rows = [row(number, group=str(number // 3)) for number in range(60)]
    forward, backward = build(rows, seed=3)[0], build(rows[::-1], seed=3)[0]
    assert forward == backward[::-1]


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(BadInput, match="dev"):
        build([row(0, split="dev")])
