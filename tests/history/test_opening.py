"""A history is opened and brought up to date, by whoever comes first."""

import multiprocessing
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from gencv.core.errors import BadInput
from gencv.history.ledger import open_ledger
from gencv.history.opening import MIGRATIONS, VERSION_TABLE, address_of, migrate, open_engine, version_of
from gencv.history.schema import KINDS, Base

VERSIONS = [one.revision for one in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
ROW = """INSERT INTO verdicts (id, time, request_id, caller, picture_id, bundle, digest, task, label, score,
threshold_id, reasons) VALUES ('0', '2030-01-01 00:00:00+00:00', 'r', 'c', 'p', 'b', 'd', 'spoof', 'live', 0.5, 'eer',
'["unstable"]')"""


def test_the_migrations_lead_to_the_tables_that_the_code_has(history_url: str) -> None:
    engine = open_engine(history_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []
    for table in Base.metadata.tables.values():  # what the comparison leaves out
        there = {column["name"]: column["nullable"] for column in inspect(engine).get_columns(table.name)}
        assert there == {column.name: column.nullable for column in table.columns}, table.name
    engine.dispose()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_older_version_wrote_is_there_after_the_migration(
    version: str, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr("gencv.history.opening.migrate", lambda engine: migrate(engine, version))
        engine = open_engine(history_url)
    with engine.begin() as connection:
        assert version_of(connection) == version
        connection.execute(text(ROW))
    engine.dispose()
    ledger = open_ledger(history_url)
    assert ledger.counts() == {"verdicts": 1, "searches": 0, "paintings": 0, "feedback": 0, "kept": 0}
    row = ledger.find("verdicts", "0")
    assert row and row["reasons"] == ["unstable"] and row["time"].isoformat() == "2030-01-01T00:00:00+00:00"
    with ledger.engine.connect() as connection:
        assert version_of(connection) == VERSIONS[-1]
    ledger.close()


def test_a_newer_history_is_left_alone(history_url: str) -> None:
    engine = open_engine(history_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '999'"))
    engine.dispose()
    with pytest.raises(BadInput, match="version 999, which this gencv does not know"):
        open_ledger(history_url)


def opened(url: str) -> dict[str, int]:
    ledger = open_ledger(url)
    counts = ledger.counts()
    ledger.close()
    return counts


def test_many_open_an_empty_database_at_once(history_url: str) -> None:
    none = dict.fromkeys((*KINDS, "kept"), 0)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(opened, [history_url] * 6)) == [none] * 6


@pytest.mark.slow
def test_many_processes_open_an_empty_database_at_once(history_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        assert len(processes.map(opened, [history_url] * 6)) == 6


def test_a_file_is_its_owners_and_writes_ahead(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.db"
    engine = open_engine(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with engine.connect() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert asked == {"journal_mode": "wal", "synchronous": 2}
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no kind of database"),
        ("history.db", "no kind of database"),
        ("mysql://host/name", "'mysql'"),
        ("sqlite://", "no file"),
        ("sqlite://history.db", "third slash"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite:////proc/none/history.db", "cannot be written"),
        ("postgresql://gencv:secret@127.0.0.1:1/gencv", "cannot be opened"),
        ("postgresql://gencv:secret@host:port/gencv", "is none: postgresql://USER@HOST:PORT"),
    ],
)
def test_what_is_wrong_with_a_url_is_one_sentence_without_its_password(url: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_ledger(url)
    told = str(caught.value)
    assert says in told and "secret" not in told and "\n" not in told and told.endswith(".")


def test_a_database_that_is_not_there(postgresql, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server = postgresql().partition("?")[2]
    with pytest.raises(BadInput, match='"nothing" does not exist'):
        open_ledger(f"postgresql://gencv@/nothing?{server}")
    with pytest.raises(BadInput, match="is not there"):
        open_ledger(f"sqlite:///{tmp_path}/none.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_files_and_databases_of_others_are_left_as_they_are(history_url: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, and long enough to have a header of one" * 40)
    with pytest.raises(BadInput, match="not a database"):
        open_ledger(f"sqlite:///{tmp_path}/text.db")
    engine = create_engine(address_of(history_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE verdicts (mine INTEGER)"))
    with pytest.raises(BadInput, match="already exists"):
        open_ledger(history_url)
    assert inspect(engine).get_table_names() == ["verdicts"]  # nothing of ours is half there
    engine.dispose()
