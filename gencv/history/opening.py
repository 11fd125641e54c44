"""Open the ledger's database, and bring it up to date.

    sqlite:////data/history.db                       a file: for all processes of one machine
    postgresql://gencv@db.internal/gencv             for many machines; the password by PGPASSWORD or ~/.pgpass

SQLite runs with a write-ahead log, so that nobody who reads waits for one who writes; writers take turns and wait for
each other up to BUSY_S. Its transactions begin as what they are, reading or writing: one that turned from the first
into the second could not wait (https://sqlite.org/lang_transaction.html). What is written is on the disk when a write
returns.
"""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from gencv.core.errors import BadInput

BUSY_S = 30.0
CONNECT_S = 5
MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "gencv_history_version"
LOCK = 0x67656E6376
"""Of PostgreSQL's advisory locks, the one under which a ledger is migrated."""

_in_this_process = threading.Lock()
"""Alembic keeps the migration that runs in a module's variable."""


def open_engine(url: str, *, create: bool = True) -> Engine:
    """Connect, and migrate to the newest version. Raises BadInput that says what is wrong with the URL.

    create: make an absent SQLite file, and its folder.
    """
    address = address_of(url)
    engine = create_engine(address, **ENGINES[address.drivername](address, create))
    try:
        if address.drivername == "sqlite":
            _prepare_sqlite(engine)
        migrate(engine)
    except DBAPIError as error:
        engine.dispose()
        raise BadInput(f"The history {told(address)} cannot be opened: {reason(error)}.") from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def address_of(url: str) -> URL:
    """Read a URL. Raises BadInput, which does not repeat it, for one that names no database that is known."""
    kind = url.partition("://")[0] if "://" in url else ""
    if kind not in DRIVERS:
        names = f"the kind of database {kind!r}" if kind.isidentifier() else "no kind of database"
        raise BadInput(f"The URL of a history names {names}; sqlite:///PATH and postgresql://HOST/NAME are accepted.")
    try:
        address = make_url(url).set(drivername=DRIVERS[kind])
    except (ArgumentError, ValueError):
        raise BadInput(f"The URL of a history is none: {EXAMPLES[kind]} is accepted.") from None
    if address.drivername == "sqlite" and (address.host or address.database in (None, "", ":memory:")):
        raise BadInput("The URL of a history in SQLite names no file; write sqlite:///PATH, with a third slash.")
    return address


def told(address: URL) -> str:
    """Return a URL for people and logs, without its password."""
    return address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)


def reason(error: DBAPIError) -> str:
    """Return the first line of what a database says."""
    lines = [line.strip() for line in str(error.orig or error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def migrate(engine: Engine, to: str = "head") -> None:
    """Bring a database to a version; of many who try at once, one does. Raises BadInput for a newer database.

    It happens in one transaction, so that nobody sees half of it, whenever it is killed.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with engine.execution_options(reads=True).connect() as connection:
        if version_of(connection) == (to if to != "head" else script.get_current_head()):
            return
    with _in_this_process, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        found = version_of(connection)
        if found is not None and found not in {one.revision for one in script.walk_revisions()}:
            raise BadInput(
                f"The history {told(engine.url)} is of version {found}, which this gencv does not know; use a newer."
            )
        config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
        command.upgrade(config, to)


def version_of(connection: Connection) -> str | None:
    """Return the version of a database, None for an empty one."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _sqlite(address: URL, create: bool) -> dict[str, Any]:
    path = Path(address.database or "")
    if not create and not path.is_file():
        raise BadInput(f"The history {told(address)} is not there; give the URL that the service writes to.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it says who asked what
    except OSError as error:
        raise BadInput(f"The history {told(address)} cannot be written ({error.strerror}).") from None
    return {"connect_args": {"timeout": BUSY_S}}


def _postgresql(address: URL, create: bool) -> dict[str, Any]:
    # A connection that the server closed meanwhile is noticed before it is used.
    return {"connect_args": {"connect_timeout": CONNECT_S}, "pool_pre_ping": True}


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # or Python begins transactions as it likes
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Change to the write-ahead log, where it is not in use already: that alone does not wait for its turn."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
EXAMPLES = {"sqlite": "sqlite:///PATH", "postgresql": "postgresql://USER@HOST:PORT/NAME?sslmode=require"}
ENGINES = {"sqlite": _sqlite, "postgresql+psycopg": _postgresql}
"""What each kind of database is opened with."""
