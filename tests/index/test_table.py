"""The table of an index: what is asked comes back, an update is one step, and damage is named."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from fakes import index_rows, index_space

from gencv.core.embeddings import matrix
from gencv.core.errors import BadInput, BrokenIndex
from gencv.index import layout, table, upkeep
from gencv.index.filters import parse_filter
from gencv.index.lock import writing
from gencv.index.table import Index, update


def build(folder: Path, rows: pa.Table, keep: set[str] | None = None) -> table.Changes:
    dim = rows.schema.field("vector").type.list_size
    return update(str(folder), index_space(dim), [rows], keep or set(rows["id"].to_pylist()))


def vectors_of(rows: pa.Table) -> np.ndarray:
    return matrix(rows["vector"], rows.schema.field("vector").type.list_size)


def test_a_table_gives_back_what_was_written(tmp_path: Path) -> None:
    rows = index_rows(300)
    changes = build(tmp_path, rows)
    assert (changes.added, changes.changed, changes.removed, changes.kept) == (300, 0, 0, 0)
    index = Index.open(str(tmp_path))
    assert (index.space, index.num_rows, index.version) == (index_space(), 300, changes.version)
    assert list(index.columns) == [
        "id", "uri", "width", "height", "label", "generator", "family", "source", "split"
    ]  # fmt: skip
    asked = rows["id"].to_pylist()[7:3:-1]
    found = index.rows(asked, ["id", "vector", "thumbnail"])
    assert found.column_names == ["id", "vector", "thumbnail"]
    assert found["id"].to_pylist() == asked
    np.testing.assert_array_equal(vectors_of(found), vectors_of(rows)[7:3:-1])
    assert "vector" not in index.rows(asked[:1]).column_names
    assert index.rows([]).num_rows == 0


def test_nearest_is_the_order_of_cosines_and_ties_go_by_id(tmp_path: Path) -> None:
    rows = index_rows(200)
    twice = rows.slice(0, 1).set_column(0, "id", pa.array(["0" * 31 + "/"]))
    build(tmp_path, pa.concat_tables([rows, twice]))
    query = np.random.default_rng(1).normal(size=8)
    scores = vectors_of(rows) @ query / np.linalg.norm(query)
    found = Index.open(str(tmp_path)).nearest(query, 10)
    without_twin = [one for one in found["id"].to_pylist() if one != "0" * 31 + "/"]
    assert without_twin == [rows["id"][int(i)].as_py() for i in np.argsort(-scores)[: len(without_twin)]]
    np.testing.assert_allclose(found["score"].to_numpy(), np.sort(found["score"].to_numpy())[::-1])
    twins = Index.open(str(tmp_path)).nearest(vectors_of(rows)[0], 2)
    assert twins["id"].to_pylist() == sorted(["0" * 31 + "/", rows["id"][0].as_py()])
    np.testing.assert_allclose(twins["score"].to_numpy(), 1, atol=1e-5)


def test_a_filter_comes_before_the_nearest(tmp_path: Path) -> None:
    rows = index_rows(200, label=[1] * 3 + [0] * 197)
    build(tmp_path, rows)
    index = Index.open(str(tmp_path))
    found = index.nearest(np.ones(8), 10, where=parse_filter("label = 1", index.columns))
    assert set(found["id"].to_pylist()) == set(rows["id"].to_pylist()[:3])


def test_captions_are_found_by_their_words(tmp_path: Path) -> None:
    captions = [["A red shoe on a table", "Footwear"], ["A cat", "A cat asleep"], ["Two dogs"], []]
    rows = index_rows(4, caption=captions)
    build(tmp_path, rows)
    index = Index.open(str(tmp_path))
    ids = rows["id"].to_pylist()
    assert index.match("cat", 10)["id"].to_pylist() == [ids[1]]
    assert index.match("shoe cat", 10)["id"].to_pylist()[:2] in ([ids[0], ids[1]], [ids[1], ids[0]])
    assert index.match("footwear", 10, where="(label = 1)")["id"].to_pylist() == []
    assert index.match("zebra", 10).num_rows == 0


@pytest.mark.parametrize("vector", [np.ones(7), np.ones((1, 8)), np.full(8, np.nan), np.zeros(8)])
def test_a_vector_that_is_none_is_refused(tmp_path: Path, vector: np.ndarray) -> None:
    build(tmp_path, index_rows(3))
    with pytest.raises(BadInput, match="this index takes 8 finite numbers"):
        Index.open(str(tmp_path)).nearest(vector, 1)


def test_an_update_adds_changes_and_removes_in_one_version(tmp_path: Path) -> None:
    old = index_rows(400)
    first = build(tmp_path, old)
    ids = old["id"].to_pylist()
    reader = Index.open(str(tmp_path))
    changed = index_rows(420, seed=1, source="new").slice(390, 30)  # ids 390 to 399 are there, 400 to 419 are not
    keep = set(ids[10:]) | set(changed["id"].to_pylist())
    second = update(str(tmp_path), index_space(), [changed.slice(0, 15), changed.slice(15)], keep)
    assert (second.added, second.changed, second.removed, second.kept) == (20, 10, 10, 380)
    assert second.version == first.version + 1
    index = Index.open(str(tmp_path))
    assert set(index.digests()) == keep
    assert set(index.rows(changed["id"].to_pylist())["source"].to_pylist()) == {"new"}
    assert reader.num_rows == 400
    assert reader.rows(ids[:1]).num_rows == 1
    assert Index.open(str(tmp_path), version=first.version).digests() == reader.digests()

    again = update(str(tmp_path), index_space(), [], keep)
    assert (again.added, again.changed, again.removed, again.kept) == (0, 0, 0, 410)
    assert again.version == second.version


def test_an_index_can_be_emptied_and_filled_again(tmp_path: Path) -> None:
    build(tmp_path, index_rows(10))
    assert update(str(tmp_path), index_space(), [], set()).removed == 10
    index = Index.open(str(tmp_path))
    assert index.num_rows == index.nearest(np.ones(8), 5).num_rows == index.match("a", 5).num_rows == 0
    assert build(tmp_path, index_rows(10)).added == 10
    assert Index.open(str(tmp_path)).nearest(np.ones(8), 5).num_rows == 5


def test_a_reader_never_sees_a_half_of_an_update(tmp_path: Path) -> None:
    generations = [index_rows(60, seed=seed, source=f"{seed}") for seed in range(6)]
    build(tmp_path, generations[0])
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = lance.dataset(layout.table_path(str(tmp_path))).to_table(columns=["id", "source"])
            seen.add(
                (found.num_rows, len(set(found["id"].to_pylist())), tuple(sorted(set(found["source"].to_pylist()))))
            )

    reader = threading.Thread(target=read)
    reader.start()
    for rows in generations[1:]:
        update(str(tmp_path), index_space(), [rows.slice(0, 30), rows.slice(30)], set(rows["id"].to_pylist()))
    stop.set()
    reader.join()
    assert {(rows, ids, len(sources)) for rows, ids, sources in seen} == {(60, 60, 1)}
    assert len(seen) > 1


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from fakes import index_rows, index_space
from gencv.index.table import update

def slowly():
    rows = index_rows(400, seed=1)
    for start in range(0, 400, 100):
        yield rows.slice(start, 100)
        print("written", flush=True)
        if start == 200: time.sleep(60)

update({folder!r}, index_space(), slowly(), set(index_rows(400)["id"].to_pylist()))
"""


@pytest.mark.slow
def test_after_a_killed_writer_no_row_is_lost_or_there_twice(tmp_path: Path) -> None:
    old = index_rows(50)
    build(tmp_path, old)
    code = KILLED.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(3):
        assert writer.stdout.readline() == "written\n"
    with pytest.raises(BadInput, match=f"is being written by process {writer.pid}"):
        build(tmp_path, old)
    assert Index.open(str(tmp_path)).digests() == dict(
        zip(old["id"].to_pylist(), old["digest"].to_pylist(), strict=True)
    )
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    new = index_rows(400, seed=1)
    changes = build(tmp_path, new)
    assert (changes.added, changes.changed, changes.kept) == (350, 50, 0)
    found = lance.dataset(layout.table_path(str(tmp_path))).to_table(columns=["id", "digest"]).sort_by("id")
    assert found["id"].to_pylist() == new["id"].to_pylist()
    assert found["digest"].to_pylist() == new["digest"].to_pylist()


def test_without_a_lock_the_later_commit_fails_and_the_table_stays_whole(tmp_path: Path) -> None:
    build(tmp_path, index_rows(10))
    folder, more = str(tmp_path), index_rows(30)
    mine = layout.open_table(folder)
    theirs = layout.open_table(folder)
    keep = set(more["id"].to_pylist())
    table.commit(folder, index_space(), mine, [more.slice(10, 10)], keep)
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), theirs, [more.slice(10, 20)], keep)
    assert sorted(Index.open(folder).digests()) == more["id"].to_pylist()[:20]


@pytest.mark.parametrize("removed", [[], [0], [15]])
def test_of_two_commits_at_the_same_moment_one_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: list[int]
) -> None:
    folder, rows = str(tmp_path), index_rows(40)
    ids = rows["id"].to_pylist()
    update(folder, index_space(), [rows.slice(0, 10), rows.slice(10, 10)], set(ids))
    mine, theirs = layout.open_table(folder), layout.open_table(folder)
    keep = set(ids) - {ids[place] for place in removed}
    table.commit(folder, index_space(), mine, [rows.slice(20, 10)], keep)
    monkeypatch.setattr(layout, "open_table", lambda folder: theirs)  # as if both had looked before either wrote
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), theirs, [rows.slice(20, 20)], set(ids))
    monkeypatch.undo()
    found = layout.open_table(folder).to_table(columns=["id"])["id"].to_pylist()
    assert sorted(found) == sorted(keep & set(ids[:30]))


def test_two_first_writers_do_not_both_win(tmp_path: Path) -> None:
    folder, rows = str(tmp_path), index_rows(10)
    early = table.write_rows(folder, rows, is_new=True)
    table.commit(folder, index_space(), None, [rows], set(rows["id"].to_pylist()))
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), None, [rows], set(rows["id"].to_pylist()))
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), None, [early], set(rows["id"].to_pylist()))
    assert Index.open(folder).num_rows == 10


def test_another_space_is_refused(tmp_path: Path) -> None:
    build(tmp_path, index_rows(5))
    with pytest.raises(BadInput, match="two spaces never mix"):
        update(str(tmp_path), index_space(weights="other"), [index_rows(5)], set())


def test_what_is_no_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no index; run `index` into it"):
        Index.open(str(tmp_path / "none"))
    with pytest.raises(BadInput, match="nothing to index"):
        update(str(tmp_path), index_space(), [], set())
    lance.write_dataset(pa.table({"x": [1]}), layout.table_path(str(tmp_path)))
    with pytest.raises(BadInput, match="is a table of something else"):
        Index.open(str(tmp_path))


def test_an_unknown_row_column_or_version_is_said(tmp_path: Path) -> None:
    build(tmp_path, index_rows(5))
    index = Index.open(str(tmp_path))
    with pytest.raises(BadInput, match="has no picture \"x' OR 'a'='a\""):
        index.rows(["x' OR 'a'='a"])
    with pytest.raises(BadInput, match="no column 'camera'; known: id, digest"):
        index.rows([], ["camera"])
    with pytest.raises(BadInput, match=r"Version 99 of the index is not there; the newest is"):
        Index.open(str(tmp_path), version=99)


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted((folder / layout.TABLE).glob(pattern))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path: Path) -> None:
    path.write_bytes(b"\x5a" * path.stat().st_size)


@pytest.mark.parametrize("damage", [cut, scramble, Path.unlink])
def test_a_damaged_data_file_is_named(tmp_path: Path, damage) -> None:
    build(tmp_path, index_rows(50))
    path = files(tmp_path, "data/*.lance")[0]
    damage(path)
    with pytest.raises(BrokenIndex, match=path.name):
        Index.open(str(tmp_path)).nearest(np.ones(8), 3)


@pytest.mark.parametrize("damage", [cut, scramble])
def test_a_damaged_manifest_is_named(tmp_path: Path, damage) -> None:
    build(tmp_path, index_rows(50))
    path = files(tmp_path, "_versions/*.manifest")[0]
    damage(path)
    with pytest.raises(BrokenIndex, match=path.name):
        Index.open(str(tmp_path))


def test_lost_manifests_are_no_missing_index(tmp_path: Path) -> None:
    build(tmp_path, index_rows(50))
    for path in files(tmp_path, "_versions/*"):
        path.unlink()
    with pytest.raises(BrokenIndex, match="_versions is empty"):
        Index.open(str(tmp_path))
    with pytest.raises(BrokenIndex, match="_versions is empty"):
        build(tmp_path, index_rows(50))


def test_a_damaged_index_file_is_an_error_that_names_where(tmp_path: Path) -> None:
    build(tmp_path, index_rows(50))
    for path in files(tmp_path, "_indices/**/*.*"):
        scramble(path)
    with pytest.raises(BrokenIndex, match=r"_indices/.*\.lance cannot be read"):
        Index.open(str(tmp_path)).rows(index_rows(1)["id"].to_pylist())


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EXACT_ROWS", 500)
    monkeypatch.setattr(upkeep, "UNINDEXED_ROWS", 100)
    monkeypatch.setattr(upkeep, "MANY_SMALL", 3)
    monkeypatch.setattr(upkeep, "FRAGMENT_ROWS", 400)


def test_a_filter_that_leaves_few_rows_loses_none_in_lists_that_are_not_read(
    tmp_path: Path, small_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = index_rows(1500, dim=32, seed=3, source=["rare" if row % 150 == 0 else "shop" for row in range(1500)])
    build(tmp_path, rows)
    table = layout.open_table(str(tmp_path))
    table.create_index(
        "vector", "IVF_RQ", upkeep.VECTOR_INDEX, metric="cosine", num_partitions=30, num_bits=5, replace=True
    )
    monkeypatch.setattr(upkeep, "probes", lambda num_rows: 1)
    where = "source = 'rare'"
    assert Index.open(str(tmp_path)).nearest(vectors_of(rows)[7], 100, where=where).num_rows == 10
    monkeypatch.setattr(upkeep, "EXACT_ROWS", 5)  # now the filter leaves too many for a scan
    assert Index.open(str(tmp_path)).nearest(vectors_of(rows)[7], 100, where=where).num_rows < 10


def test_the_index_comes_with_size_catches_up_and_finds_what_a_scan_finds(tmp_path: Path, small_limits: None) -> None:
    rows = index_rows(1500, dim=32, seed=3)
    folder, space, ids = str(tmp_path), index_space(32), rows["id"].to_pylist()
    update(folder, space, [rows.slice(0, 400)], set(ids[:400]))
    assert not upkeep.is_indexed(layout.open_table(folder))
    update(folder, space, [rows.slice(400, 800)], set(ids[:1200]))
    assert upkeep.is_indexed(layout.open_table(folder))
    update(folder, space, [rows.slice(1200, 50)], set(ids[:1250]))
    waiting = layout.open_table(folder)
    assert upkeep.num_unindexed(waiting, upkeep.VECTOR_INDEX) == 50
    assert Index.open(folder).nearest(vectors_of(rows)[1220], 1)["id"].to_pylist() == [ids[1220]]
    update(folder, space, [rows.slice(1250, 250)], set(ids[10:]))
    caught_up = layout.open_table(folder)
    assert upkeep.num_unindexed(caught_up, upkeep.VECTOR_INDEX) == 0
    index = Index.open(folder)
    queries = np.random.default_rng(4).normal(size=(40, 32))
    shared = [
        len(
            set(index.nearest(query, 10)["id"].to_pylist())
            & set(index.nearest(query, 10, exact=True)["id"].to_pylist())
        )
        for query in queries
    ]
    assert np.mean(shared) >= 9.5
    assert not set(ids[:10]) & set(index.nearest(vectors_of(rows)[3], 50)["id"].to_pylist())
    assert update(folder, space, [], set(ids[10:])).version == index.version


def test_many_small_files_are_put_together_and_deleted_rows_dropped(tmp_path: Path, small_limits: None) -> None:
    rows = index_rows(400, dim=32)
    folder, ids = str(tmp_path), rows["id"].to_pylist()
    update(folder, index_space(32), [rows.slice(start, 100) for start in range(0, 400, 100)], set(ids))
    assert len(layout.open_table(folder).get_fragments()) == 1
    before = Index.open(folder).nearest(np.ones(32), 20)
    keep = set(ids) - {before["id"][0].as_py()}
    update(folder, index_space(32), [], keep)
    assert layout.open_table(folder).get_fragments()[0].metadata.num_deletions == 1
    update(folder, index_space(32), [], set(sorted(keep)[:300]))
    assert layout.open_table(folder).get_fragments()[0].metadata.num_deletions == 0
    assert sorted(Index.open(folder).digests()) == sorted(keep)[:300]


def test_a_version_stays_for_an_hour_after_the_next_one(tmp_path: Path) -> None:
    folder, rows = str(tmp_path), index_rows(30)
    first = build(tmp_path, rows)
    second = update(folder, index_space(), [], set(rows["id"].to_pylist()[1:]))
    newest = layout.open_table(folder)
    garbage = tmp_path / layout.TABLE / "data" / "of-a-dead-writer.lance"
    garbage.write_bytes(files(tmp_path, "data/*.lance")[0].read_bytes())
    upkeep.remove_old(newest, now=datetime.now(UTC) + timedelta(minutes=59), alone=True)
    assert Index.open(folder, version=first.version).num_rows == 30
    upkeep.remove_old(newest, now=datetime.now(UTC) + timedelta(minutes=61), alone=True)
    with pytest.raises(BadInput, match="is not there"):
        Index.open(folder, version=first.version)
    assert Index.open(folder, version=second.version).num_rows == 29
    assert not garbage.exists()


def test_lancedb_opens_the_same_table(tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    rows = index_rows(50)
    build(tmp_path, rows)
    found = lancedb.connect(str(tmp_path)).open_table("table").search(vectors_of(rows)[9]).limit(1).to_list()
    assert found[0]["id"] == rows["id"][9].as_py()


def test_nobody_writes_while_another_does(tmp_path: Path) -> None:
    build(tmp_path, index_rows(5))
    with writing(str(tmp_path)), pytest.raises(BadInput, match="is being written by"):
        build(tmp_path, index_rows(6))
    assert Index.open(str(tmp_path)).num_rows == 5
