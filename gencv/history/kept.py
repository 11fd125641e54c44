"""The pictures that a ledger keeps, where it is told to: files named by their digest, in a folder or a bucket.

A picture's row is there before its file, and goes after it, so that a crash between the two leaves a row without a
file, which `sweep` takes away, and never a file that nobody knows of. Whoever writes or deletes a file holds its row's
lock.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from gencv.core import storage
from gencv.core.errors import BadInput
from gencv.history.schema import KINDS, Kept, now

log = logging.getLogger(__name__)

GRACE = timedelta(hours=1)
"""Younger rows that nothing names yet may be those of a picture that is being written."""

INSERTS: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The one statement that databases spell in their own ways: insert, or do something else where it is there."""


def place_of(folder: str, picture_id: str) -> str:
    """Return where a picture lies; 256 folders keep each of them small."""
    return storage.join(folder, picture_id[:2], picture_id)


def announce(connection: Connection, folder: str, pictures: Collection[str]) -> dict[str, str]:
    """Make or renew the rows of some pictures, and lock them; returns the place of each."""
    insert = INSERTS[connection.dialect.name]
    moment = now()
    rows = [{"picture_id": id, "place": place_of(folder, id), "time": moment} for id in sorted(pictures)]
    renew = {"index_elements": ["picture_id"], "set_": {"time": moment}}
    for row in rows:
        connection.execute(insert(Kept).values(row).on_conflict_do_update(**renew))
    found = connection.execute(select(Kept.picture_id, Kept.place).where(Kept.picture_id.in_(pictures)))
    return {row.picture_id: row.place for row in found}


def keep(pictures: Mapping[str, bytes], places: Mapping[str, str]) -> None:
    """Write the files of announced pictures, each whole or not at all. Raises BadInput."""
    for id, data in pictures.items():
        if not storage.exists(places[id]):
            storage.write_bytes(places[id], data)


def lock(connection: Connection, pictures: Collection[str]) -> None:
    """Keep others from writing or deleting the files of some pictures, until the transaction ends."""
    rows = select(Kept.picture_id).where(Kept.picture_id.in_(pictures)).order_by(Kept.picture_id)
    connection.execute(rows.with_for_update()).all()


def drop_unnamed(connection: Connection, pictures: Collection[str]) -> int:
    """Delete the files and rows of those among some locked pictures that no row names any more; returns how many."""
    named: set[str | None] = set()
    for kind in KINDS.values():
        named |= set(connection.scalars(select(kind.picture_id).where(kind.picture_id.in_(pictures)).distinct()))
    found = select(Kept.picture_id, Kept.place).where(Kept.picture_id.in_(set(pictures) - named))
    gone = []
    for id, place in connection.execute(found).all():
        try:
            storage.remove_file(place)
        except BadInput as error:  # a store that does not answer: the row stays, and the next sweep tries again
            log.warning("the kept picture %s stays for now: %s", id, error)
            continue
        gone.append(id)
    connection.execute(delete(Kept).where(Kept.picture_id.in_(gone)))
    return len(gone)


def sweep(connection: Connection, limit: int) -> int:
    """Take away up to some pictures that no row names and that are not being written; returns how many."""
    unnamed = (~exists().where(kind.picture_id == Kept.picture_id) for kind in KINDS.values())
    rows = select(Kept.picture_id).where(Kept.time < now() - GRACE, *unnamed).order_by(Kept.picture_id).limit(limit)
    pictures = list(connection.scalars(rows))
    lock(connection, pictures)
    return drop_unnamed(connection, pictures)
