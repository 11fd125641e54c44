"""Which rows of the ledger are asked for, and a page of them, newest first."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from gencv.core.errors import BadInput
from gencv.history.schema import clean

MAX_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Rows that agree with all that is not None. Raises BadInput for a time without a zone, or no label to ask for."""

    label: str | None = None
    caller: str | None = None
    picture_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is too late."""

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise BadInput(f"{name} is {value.isoformat()}, without a time zone; write 2030-01-31T12:00:00Z.")
            if value is not None and not 1 < value.year < 9999:  # which another zone could push over the edge
                raise BadInput(f"{name} is {value.isoformat()}; a year from 2 to 9998 is accepted.")

    def conditions(self, kind: Any) -> list[ColumnElement[bool]]:
        """Return them for one of KINDS. Raises BadInput for a label where rows have none."""
        if self.label is not None and not hasattr(kind, "label"):
            raise BadInput(f"The rows of {kind.__tablename__} have no label; leave it out.")
        found = [
            getattr(kind, name) == clean(value)
            for name in ("label", "caller", "picture_id")
            if (value := getattr(self, name)) is not None
        ]
        found += [kind.time >= self.since] if self.since else []
        found += [kind.time < self.until] if self.until else []
        return found

    def digest(self, kind: str) -> str:
        """Digest what decides which rows are listed; 16 hex digits."""
        said = json.dumps([kind, asdict(self)], default=datetime.isoformat, sort_keys=True)
        return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Cursor:
    """The next page of a listing. `str(cursor)` is what a caller keeps and gives back.

    It names the last row that was shown, so rows that are added or deleted meanwhile move nothing.
    """

    last_id: str
    wanted_digest: str

    def __str__(self) -> str:
        return f"{self.last_id}.{self.wanted_digest}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read `str(cursor)`. Raises BadInput for any other text."""
        found = re.fullmatch(r"([0-9a-f]{32})\.([0-9a-f]{16})", text, re.ASCII)
        if not found:
            raise BadInput(f"{text[:40]!r} is no cursor; give one as an earlier page of the same listing returned it.")
        return cls(*found.groups())

    def require(self, wanted_digest: str) -> None:
        """Raise BadInput unless it belongs to this listing."""
        if self.wanted_digest != wanted_digest:
            raise BadInput("This cursor belongs to another listing; ask as for the page before it, or leave it out.")


@dataclass(frozen=True)
class Page:
    rows: list[dict[str, Any]]
    cursor: Cursor | None
    """Where it goes on, None at the end."""
