"""The same table in an object store, where no lock holds and nothing is renamed: a real server answers here."""

import os

import lance
import numpy as np
import pytest
from fakes import index_rows, index_space

from gencv.core import storage
from gencv.core.errors import BadInput, BrokenIndex
from gencv.index import layout, table, upkeep
from gencv.index.filters import parse_filter
from gencv.index.table import Index, update

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def folder(s3: str) -> str:
    return storage.join(s3, "runs", "index")


def ids_in(folder: str) -> list[str]:
    """Return every id that Lance itself finds, sorted."""
    found = lance.dataset(**layout.lance_address(layout.table_path(folder)))
    return sorted(found.to_table(columns=["id"])["id"].to_pylist())


@pytest.mark.parametrize(
    ("options", "lance_options"),
    [
        ("", None),
        ("?region=eu-west-1", {"aws_region": "eu-west-1"}),
        ("?endpoint_override=localhost:9000", {"aws_endpoint": "https://localhost:9000", "allow_http": "false"}),
        ("?endpoint_override=h:9&scheme=http", {"aws_endpoint": "http://h:9", "allow_http": "true"}),
        ("?endpoint_override=http%3A%2F%2Fh%3A9", {"aws_endpoint": "http://h:9", "allow_http": "true"}),
    ],
)
def test_arrows_options_are_lances_too(options: str, lance_options: dict[str, str] | None) -> None:
    address = layout.lance_address(f"s3://bucket/a{options}")
    assert address == {"uri": "s3://bucket/a", "storage_options": lance_options}
    assert layout.lance_address("/a?region=x") == {"uri": "/a?region=x", "storage_options": None}


def test_what_is_written_is_found_filtered_matched_and_read(folder: str) -> None:
    rows = index_rows(60, label=[1] * 5 + [0] * 55, caption=[["a red shoe"]] * 3 + [["a cat"]] * 57)
    ids = rows["id"].to_pylist()
    changes = update(folder, index_space(), [rows.slice(0, 30), rows.slice(30)], set(ids))
    assert (changes.added, changes.kept) == (60, 0)
    index = Index.open(folder)
    query = np.array(rows["vector"][7].as_py())
    assert index.nearest(query, 1)["id"].to_pylist() == [ids[7]]
    labelled = index.nearest(query, 60, where=parse_filter("label = 1", index.columns))
    assert set(labelled["id"].to_pylist()) == set(ids[:5])
    assert set(index.match("shoe", 10)["id"].to_pylist()) == set(ids[:3])
    assert index.rows(ids[9:6:-1], ["id", "thumbnail"])["id"].to_pylist() == ids[9:6:-1]
    assert index.digests() == dict(zip(ids, rows["digest"].to_pylist(), strict=True))
    assert storage.size_of(layout.table_path(folder)) > 60 * 8 * 4


def test_an_update_is_one_version_and_older_ones_stay(folder: str) -> None:
    old = index_rows(40)
    first = update(folder, index_space(), [old], set(old["id"].to_pylist()))
    reader = Index.open(folder)
    new = index_rows(50, seed=1).slice(35)  # 35 to 39 are there, 40 to 49 are not
    keep = {*old["id"].to_pylist()[4:], *new["id"].to_pylist()}
    second = update(folder, index_space(), [new], keep)
    assert (second.added, second.changed, second.removed, second.kept) == (10, 5, 4, 31)
    assert ids_in(folder) == sorted(keep)
    assert reader.digests() == Index.open(folder, version=first.version).digests()
    assert reader.num_rows == 40

    again = update(folder, index_space(), [], keep)
    assert (again.added, again.changed, again.removed, again.kept) == (0, 0, 0, 46)
    assert again.version == second.version
    with pytest.raises(BadInput, match="Version 99"):
        Index.open(folder, version=99)

    assert update(folder, index_space(), [], set()).removed == 46
    assert Index.open(folder).nearest(np.ones(8), 3).num_rows == 0
    assert update(folder, index_space(), [old], set(old["id"].to_pylist())).added == 40
    assert ids_in(folder) == old["id"].to_pylist()


def test_the_later_of_two_writers_fails_and_the_table_stays_whole(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = index_rows(40)
    ids = rows["id"].to_pylist()
    early = table.write_rows(folder, rows.slice(0, 10), is_new=True)
    update(folder, index_space(), [rows.slice(0, 20)], set(ids))
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), None, [early], set(ids))
    mine, theirs = layout.open_table(folder), layout.open_table(folder)
    table.commit(folder, index_space(), mine, [rows.slice(20, 10)], set(ids))
    with pytest.raises(BadInput, match="Another writer changed the index"):
        table.commit(folder, index_space(), theirs, [rows.slice(20, 20)], set(ids))
    for stale in (None, theirs):  # as if both had looked before either wrote: the store itself must refuse
        with monkeypatch.context() as patched:
            patched.setattr(layout, "open_table", lambda folder, stale=stale: stale)
            with pytest.raises(BadInput, match="Another writer changed the index") as told:
                table.commit(folder, index_space(), stale, [rows.slice(20, 20)], set(ids))
            assert len(str(told.value).splitlines()) == 1
    assert ids_in(folder) == ids[:30]


def test_a_large_table_gets_its_indices_and_loses_its_old_versions(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EXACT_ROWS", 300)
    monkeypatch.setattr(upkeep, "MANY_SMALL", 2)
    monkeypatch.setattr(upkeep, "FRAGMENT_ROWS", 400)
    monkeypatch.setattr(upkeep, "READERS_KEEP", upkeep.timedelta(0))
    rows = index_rows(600, dim=32)
    ids = rows["id"].to_pylist()
    first = update(folder, index_space(32), [rows.slice(at, 100) for at in range(0, 400, 100)], set(ids))
    update(folder, index_space(32), [rows.slice(at, 100) for at in range(400, 600, 100)], set(ids))
    newest = layout.open_table(folder)
    assert newest is not None and upkeep.is_indexed(newest) and len(newest.get_fragments()) < 6
    assert Index.open(folder).nearest(np.array(rows["vector"][500].as_py()), 1)["id"].to_pylist() == [ids[500]]
    with pytest.raises(BadInput, match="is not there"):
        Index.open(folder, version=first.version)
    assert ids_in(folder) == ids


def test_two_upkeeps_at_once_are_no_error(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = index_rows(100)
    ids = rows["id"].to_pylist()
    update(folder, index_space(), [rows.slice(at, 20) for at in range(0, 100, 20)], set(ids))
    monkeypatch.setattr(upkeep, "MANY_SMALL", 2)
    mine, theirs = layout.open_table(folder), layout.open_table(folder)
    assert mine is not None and theirs is not None
    upkeep.keep_up(mine, alone=False)
    assert len(upkeep.keep_up(theirs, alone=False).get_fragments()) == 1
    assert ids_in(folder) == ids


def test_damage_is_named(folder: str) -> None:
    rows = index_rows(30)
    update(folder, index_space(), [rows], set(rows["id"].to_pylist()))
    data = storage.join(layout.table_path(folder), "data")
    name = storage.names_in(data)[0]
    kept = storage.read_bytes(storage.join(data, name))
    storage.write_bytes(storage.join(data, name), b"\x5a" * len(kept))
    with pytest.raises(BrokenIndex, match=f"{name}.* cannot be read"):
        Index.open(folder).nearest(np.ones(8), 3)
    storage.write_bytes(storage.join(data, name), kept)
    assert Index.open(folder).nearest(np.ones(8), 3).num_rows == 3
    system, path = storage.open_at(storage.join(data, name))
    system.delete_file(path)
    with pytest.raises(BrokenIndex, match=f"{name}.* is gone"):
        Index.open(folder)
    with pytest.raises(BrokenIndex, match=f"{name}.* is gone"):
        update(folder, index_space(), [rows], set(rows["id"].to_pylist()))


def test_a_bucket_that_is_not_there_is_one_sentence(s3: str) -> None:
    nowhere = storage.join(s3.replace("s3://gencv-", "s3://nobody-"), "index")
    rows = index_rows(3)
    for act in (
        lambda: Index.open(nowhere),
        lambda: update(nowhere, index_space(), [rows], set(rows["id"].to_pylist())),
        lambda: storage.write_bytes(storage.join(nowhere, "config.json"), b"{}"),
    ):
        with pytest.raises(BadInput, match="nobody-") as told:
            act()
        assert len(str(told.value).splitlines()) == 1


def test_wrong_keys_are_one_sentence(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = index_rows(3)
    keep = set(rows["id"].to_pylist())
    update(folder, index_space(), [rows], keep)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    if "GENCV_TEST_S3" not in os.environ:
        monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from here on it asks for keys
    for act in (
        lambda: Index.open(folder),
        lambda: update(folder, index_space(), [rows], keep),
        lambda: table.write_rows(folder, rows, is_new=False),
        lambda: storage.remove(folder),
        lambda: storage.size_of(folder),
    ):
        with pytest.raises(BadInput, match="gencv-") as told:
            act()
        assert len(str(told.value).splitlines()) == 1


def test_a_store_that_lance_cannot_reach_is_no_damage(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = index_rows(3)
    update(folder, index_space(), [rows], set(rows["id"].to_pylist()))
    whole = layout.open_table(folder)
    assert whole is not None
    with pytest.raises(BadInput, match=r"just now \(timed out\)"), layout.reading(whole, folder):
        raise OSError("timed out\nin a place of Lance's own source")
    address = layout.lance_address(layout.table_path(folder))
    address["storage_options"]["allow_http"] = "false"
    monkeypatch.setattr(layout, "lance_address", lambda location: address)
    with pytest.raises(BadInput, match="cannot be read just now"):
        Index.open(folder)


def test_access_keys_stay_out_of_uris() -> None:
    for uri in ("s3://key:hush@bucket/a?region=x", "s3://key:hu/sh@bucket/a", "s3://bucket/a?region=x&secret_key=hush"):
        for act in (lambda uri=uri: Index.open(uri), lambda uri=uri: update(uri, index_space(), [], set())):
            with pytest.raises(BadInput, match="access keys is not accepted") as told:
                act()
            assert "hu" not in str(told.value)
