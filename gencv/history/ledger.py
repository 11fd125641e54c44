"""The ledger: rows are written, listed page by page, deleted, and taken out as tables.

ledger = open_ledger("sqlite:////data/history.db")
ledger.write([Feedback(picture_id=id, label="live", caller="triage")])
page = ledger.page("verdicts", Wanted(label="spoof"), limit=50)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Engine, Text, cast, delete, func, select, update
from sqlalchemy import exc as sql

from gencv.core import storage
from gencv.core.errors import BadInput, HistoryUnavailable, UnknownName
from gencv.history import arrow, kept
from gencv.history.opening import open_engine, reason, told
from gencv.history.pages import MAX_LIMIT, Cursor, Page, Wanted
from gencv.history.schema import KINDS, Feedback, Kept, Row, Search, clean

DELETED_AT_ONCE = 500
"""Rows that one transaction deletes, so that nobody waits for it long."""


@dataclass(frozen=True)
class Ledger:
    """A database, and where pictures are kept: "" keeps none."""

    engine: Engine
    keep_pictures: str = ""

    def write(self, rows: Sequence[Row], pictures: Mapping[str, bytes] | None = None) -> None:
        """Write rows, all or none; they are on the disk when it returns. A row that is there already stays as it is.

        pictures: by their id, kept where the ledger keeps any. Raises HistoryUnavailable, or BadInput where a picture
        cannot be kept.
        """
        pictures = pictures if self.keep_pictures and pictures else {}
        if pictures:
            with self._writing() as connection:
                kept.announce(connection, self.keep_pictures, pictures)
        with self._writing() as connection:
            if pictures:
                kept.keep(pictures, kept.announce(connection, self.keep_pictures, pictures))
            insert = kept.INSERTS[self.engine.dialect.name]
            for kind in KINDS.values():
                values = [values_of(row) for row in rows if isinstance(row, kind)]
                if values:
                    connection.execute(insert(kind).on_conflict_do_nothing(index_elements=["id"]), values)

    def find(self, kind: str, id: str) -> dict[str, Any] | None:
        """Return one row. Raises HistoryUnavailable."""
        with self._reading() as connection:
            table = KINDS[kind].__table__
            row = connection.execute(select(table).where(table.c.id == id)).one_or_none()
        return dict(row._mapping) if row else None

    def page(self, kind: str, wanted: Wanted | None = None, *, limit: int = 50, cursor: str = "") -> Page:
        """List rows, newest first. Raises UnknownName, BadInput for a cursor of another listing, HistoryUnavailable."""
        if kind not in KINDS:
            raise UnknownName("kind of row", kind, KINDS)
        wanted = wanted or Wanted()
        digest, found, limit = wanted.digest(kind), KINDS[kind], min(max(1, limit), MAX_LIMIT)
        query = select(found.__table__).where(*wanted.conditions(found)).order_by(found.id.desc()).limit(limit + 1)
        if cursor:
            after = Cursor.parse(cursor)
            after.require(digest)
            query = query.where(found.id < after.last_id)
        with self._reading() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        more = len(rows) > limit
        return Page(rows[:limit], Cursor(rows[limit - 1]["id"], digest) if more else None)

    def corrections(self, pictures: Sequence[str]) -> dict[str, str]:
        """Return the last label that a person gave to each of some pictures, as far as there is one."""
        rows = select(Feedback.picture_id, Feedback.label).where(Feedback.picture_id.in_(set(pictures)))
        with self._reading() as connection:
            return {id: label for id, label in connection.execute(rows.order_by(Feedback.id)) if id}

    def kept_pictures(self, *, corrected: bool) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield the id of each picture that is kept, its place, and None.

        corrected: each that a person labelled, with the last label; its place is None where it was not kept.
        """
        if corrected:
            last = select(func.max(Feedback.id)).where(Feedback.picture_id.is_not(None)).group_by(Feedback.picture_id)
            rows = select(Feedback.picture_id, Kept.place, Feedback.label).where(Feedback.id.in_(last))
            rows = rows.outerjoin(Kept, Kept.picture_id == Feedback.picture_id).order_by(Feedback.picture_id)
        else:
            rows = select(Kept.picture_id, Kept.place, cast(None, Text)).order_by(Kept.picture_id)
        with self._reading() as connection:
            found = connection.execute(rows).all()
        return ((id, place, label) for id, place, label in found if id)

    def forget(self, id: str) -> dict[str, int]:
        """Delete a row, or all that names a picture and the picture; from searches that found it its id alone goes."""
        gone = self._forget(lambda kind: (kind.picture_id == id) | (kind.id == id))
        with self._writing() as connection:
            found = select(Search.id, Search.hits).where(cast(Search.hits, Text).contains(f'"{id}"', autoescape=True))
            for row_id, hits in connection.execute(found).all():
                connection.execute(
                    update(Search).where(Search.id == row_id).values(hits=[hit for hit in hits if hit != id])
                )
            # A picture may be kept that no row names, by a process that was killed.
            kept.lock(connection, [id])
            gone["kept"] += kept.drop_unnamed(connection, [id])
            stays = connection.scalar(select(Kept.place).where(Kept.picture_id == id))
        if stays:
            raise HistoryUnavailable(
                f"All rows are deleted, but not the file {stays}, which cannot be reached; try again."
            )
        return dict(gone)

    def forget_caller(self, caller: str) -> dict[str, int]:
        """Delete all that one caller asked and said; pictures that others sent too stay."""
        return dict(self._forget(lambda kind: kind.caller == caller))

    def forget_before(self, moment: datetime) -> dict[str, int]:
        """Delete all rows of before, and the pictures that no younger one names."""
        gone = self._forget(lambda kind: kind.time < moment)
        while True:
            with self._writing() as connection:
                swept = kept.sweep(connection, DELETED_AT_ONCE)
            gone["kept"] += swept
            if swept < DELETED_AT_ONCE:
                return dict(gone)

    def table(self, kind: str) -> pa.Table:
        """Return all rows of one kind, oldest first; what is nested is JSON. Raises UnknownName, HistoryUnavailable."""
        if kind not in KINDS:
            raise UnknownName("kind of row", kind, KINDS)
        with self._reading() as connection:
            found = KINDS[kind].__table__
            result = connection.execution_options(yield_per=10_000).execute(select(found).order_by(found.c.id))
            parts = [arrow.batch_of(found, [dict(row._mapping) for row in rows]) for rows in result.partitions()]
        return pa.Table.from_batches(parts, arrow.schema_of(found))

    def counts(self) -> dict[str, int]:
        """Count the rows of each kind, and the pictures that are kept."""
        with self._reading() as connection:
            return {
                table.__tablename__: connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (*KINDS.values(), Kept)
            }

    def close(self) -> None:
        self.engine.dispose()

    def _forget(self, which: Callable[[Any], Any]) -> Counter[str]:
        """Delete rows in the order of their ids, some at a time; those that were deleted stay so if it is killed."""
        gone: Counter[str] = Counter(dict.fromkeys((*KINDS, Kept.__tablename__), 0))
        for name, kind in KINDS.items():
            while True:
                with self._writing() as connection:
                    rows = select(kind.id, kind.picture_id).where(which(kind)).order_by(kind.id)
                    found = connection.execute(rows.limit(DELETED_AT_ONCE)).all()
                    pictures = {picture_id for _, picture_id in found if picture_id}
                    kept.lock(connection, pictures)
                    connection.execute(delete(kind).where(kind.id.in_([id for id, _ in found])))
                    gone[Kept.__tablename__] += kept.drop_unnamed(connection, pictures)
                gone[name] += len(found)
                if len(found) < DELETED_AT_ONCE:
                    break
        return gone

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._reached(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._reached(), self.engine.execution_options(reads=True).connect() as connection:
            yield connection

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (sql.OperationalError, sql.InterfaceError) as error:
            raise HistoryUnavailable(
                f"The history {told(self.engine.url)} does not answer ({reason(error)})."
            ) from None
        except sql.TimeoutError:
            raise HistoryUnavailable(f"The history {told(self.engine.url)} has too much to do.") from None


def open_ledger(url: str, *, keep_pictures: str = "", create: bool = True) -> Ledger:
    """Open a ledger, and bring its database up to date. Raises BadInput that says what is wrong with the URL.

    create: make an absent SQLite file. keep_pictures: a folder or URI; "" keeps none.
    """
    storage.require_no_keys(keep_pictures)
    if keep_pictures and not storage.is_uri(keep_pictures):
        keep_pictures = str(Path(keep_pictures).absolute())  # who reads it later may work elsewhere
        try:
            Path(keep_pictures).mkdir(mode=0o700, parents=True, exist_ok=True)  # its owner's alone, as the rows are
        except OSError as error:
            raise BadInput(f"The folder of kept pictures {keep_pictures} cannot be made ({error.strerror}).") from None
    return Ledger(open_engine(url, create=create), keep_pictures)


def values_of(row: Row) -> dict[str, Any]:
    """Return a row's values by column."""
    values = {column.name: getattr(row, column.name) for column in row.__table__.columns}  # type: ignore[attr-defined]
    return {name: clean(value) if isinstance(value, str) else value for name, value in values.items()}
