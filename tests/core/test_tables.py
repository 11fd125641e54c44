from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core import tables
from gencv.core.embeddings import matrix, vector_column
from gencv.core.errors import BadInput


def test_parts_come_back_in_order(tmp_path: Path) -> None:
    for part in (10, 2, 0):
        tables.write_table(pa.table({"id": [str(part)]}), tables.part_path(str(tmp_path), part))
    (tmp_path / "part-notes.txt").write_text("no part")
    assert tables.parts_in(str(tmp_path)) == [0, 2, 10]
    assert tables.read_parts(str(tmp_path))["id"].to_pylist() == ["0", "2", "10"]


def test_what_is_no_table_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="no Parquet"):
        tables.read_table(str(tmp_path / "x.parquet"))
    with pytest.raises(BadInput, match="is not there"):
        tables.read_table(str(tmp_path / "y.parquet"))
    with pytest.raises(BadInput, match="holds no part"):
        tables.read_parts(str(tmp_path / "none"))
    schema = pa.schema([("id", pa.string()), ("label", pa.int8())])
    with pytest.raises(BadInput, match="The manifest lacks the columns label; it has id"):
        tables.conform(pa.table({"id": ["a"]}), schema, "manifest")
    with pytest.raises(BadInput, match="another type"):
        tables.conform(pa.table({"id": ["a"], "label": ["spoof"]}), schema, "manifest")


@given(st.permutations(range(6)), st.integers(1, 5))
def test_a_content_digest_sees_rows_and_not_their_layout(order: list[int], cut: int) -> None:
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4)
    vectors[3] = np.nan
    table = pa.table(
        {
            "id": [f"i{index}" for index in range(6)],
            "vector": vector_column(vectors),
            "bytes": pa.array([b"x" * index for index in range(5)] + [None], pa.binary()),
            "caption": [["a"], [], ["b", "c"], None, [], []],
        }
    )
    shuffled = pa.concat_tables([table.take(order[:cut]), table.take(order[cut:])])
    assert tables.content_digest(shuffled) == tables.content_digest(table)
    vectors = vectors.copy()  # Arrow may share the memory
    vectors[0, 0] += 1e-6
    changed = table.set_column(1, "vector", vector_column(vectors))
    assert tables.content_digest(changed) != tables.content_digest(table)


def test_vectors_come_back_with_nan_for_failures() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    vectors[1] = np.nan
    back = matrix(pa.chunked_array([vector_column(vectors)]), 3)
    np.testing.assert_array_equal(back, vectors)
    assert back.dtype == np.float32


def test_a_content_digest_of_rows_that_several_keys_tell_apart() -> None:
    table = pa.table({"id": ["a", "a", "a", "b"], "cell": ["x", None, "y", "x"], "score": [0.1, 0.2, 0.3, 0.4]})
    digests = {tables.content_digest(table.take(order), keys=("id", "cell")) for order in ([0, 1, 2, 3], [3, 2, 1, 0])}
    assert len(digests) == 1
