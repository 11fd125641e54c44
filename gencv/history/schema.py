"""The tables of the ledger, and their rows.

A class here is what stands in the database now; `migrations/` leads there from every older version, and a test holds
the two to each other. Rows name pictures by their id, which is a digest of the file, and hold none.
"""

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Double, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column


def new_id() -> str:
    """Return 32 hex digits that rise with the time, so that rows in the order of their ids are in that of time."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def time_of(id: str) -> float:
    """Return when a row's id was made, in seconds since 1970."""
    return int(id[:16], 16) / 1e9


def now() -> datetime:
    return datetime.now(UTC)


def clean(text: str) -> str:
    """Return a text as every database takes it: of whole characters, and without a NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


class Utc(TypeDecorator[datetime]):
    """A time that knows its zone; SQLite keeps none, so all are UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        assert value is None or value.tzinfo is not None
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Texts(JSON):
    """A list of texts, as JSON."""


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    type_annotation_map = {datetime: Utc, list[str]: Texts, dict[str, Any]: JSON}  # noqa: RUF012 (SQLAlchemy's own)


class Row(MappedAsDataclass, kw_only=True):
    """What every row says."""

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_id, sort_order=-5)
    time: Mapped[datetime] = mapped_column(index=True, default_factory=now, sort_order=-4)
    request_id: Mapped[str] = mapped_column(Text, default="", sort_order=-3)
    caller: Mapped[str] = mapped_column(Text, default="", sort_order=-2)
    """Name of the key; "" where none was asked for."""
    picture_id: Mapped[str | None] = mapped_column(String(32), index=True, default=None, sort_order=-1)
    """Of the picture that was judged, searched with, painted, or corrected."""


class Verdict(Row, Base):
    """What a bundle said of a picture, or of a face in it."""

    __tablename__ = "verdicts"

    bundle: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    """Of the bundle."""
    task: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Double)
    threshold_id: Mapped[str] = mapped_column(Text)
    reasons: Mapped[list[str]] = mapped_column(default_factory=list)
    attribution: Mapped[str | None] = mapped_column(Text, default=None)
    """The kind of positive, where the bundle names one."""
    attribution_score: Mapped[float | None] = mapped_column(Double, default=None)


class Search(Row, Base):
    """What was asked of an index, and what it found."""

    __tablename__ = "searches"

    asked: Mapped[dict[str, Any]]
    """The query as it came, but for its pictures."""
    index_version: Mapped[int]
    hits: Mapped[list[str]] = mapped_column(default_factory=list)
    """Ids, best first."""


class Painting(Row, Base):
    """A picture that was made; `picture_id` is None for one that was not shown."""

    __tablename__ = "paintings"

    recipe: Mapped[dict[str, Any]]
    model: Mapped[str] = mapped_column(Text)
    model_digest: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str] = mapped_column(Text)


class Feedback(Row, Base):
    """What a person said of a picture; `caller` says who."""

    __tablename__ = "feedback"

    label: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text, default="")
    verdict_id: Mapped[str | None] = mapped_column(String(32), default=None)
    """The row that the person answers; it may have been deleted since."""


class Kept(Base):
    """A picture that is kept, and where. The row comes before the file and goes after it: no file is without one."""

    __tablename__ = "kept"

    picture_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    place: Mapped[str] = mapped_column(Text)
    time: Mapped[datetime] = mapped_column(default_factory=now)


KINDS: dict[str, type[Verdict] | type[Search] | type[Painting] | type[Feedback]] = {
    kind.__tablename__: kind for kind in (Verdict, Search, Painting, Feedback)
}
"""What can be recorded, listed, deleted, and exported."""
