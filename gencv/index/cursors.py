"""Where a listing goes on: an opaque text that belongs to one query on one version of one table."""

import base64
import binascii
import json
from dataclasses import dataclass

from gencv.core.errors import BadInput

_DIGEST_LETTERS = 16
_MAX_LETTERS = 200


@dataclass(frozen=True)
class Cursor:
    """The next page of a listing. `str(cursor)` is what a caller keeps and gives back."""

    version: int
    """Of the table: open this version to go on, so that nothing moves between two pages."""
    identity: str
    """Of the table: `Index.identity`. Another table may have a version of the same number."""
    query_digest: str
    """Of all that decides the order: `Query.digest()`."""
    offset: int
    """Rank of the next hit, copies included, from 0."""

    def __str__(self) -> str:
        content = json.dumps([self.version, self.identity, self.query_digest, self.offset], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read `str(cursor)`. Raises BadInput for any other text."""
        try:
            if len(text) > _MAX_LETTERS:
                raise ValueError
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            version, identity, digest, offset = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            whole = type(version) is int and type(offset) is int and version >= 0 and offset >= 0
            if not whole or not all(isinstance(one, str) and len(one) == _DIGEST_LETTERS for one in (identity, digest)):
                raise ValueError
        except (ValueError, TypeError, RecursionError, binascii.Error):
            shown = text if len(text) <= 40 else f"{text[:40]}..."
            raise BadInput(
                f"{shown!r} is no cursor; give one as an earlier page of the same query returned it."
            ) from None
        return cls(version, identity, digest, offset)

    def require(self, query_digest: str, version: int, identity: str, deepest: int) -> None:
        """Raise BadInput unless the cursor belongs to this query, table, and version, and to a rank in reach."""
        if self.query_digest != query_digest:
            raise BadInput("This cursor belongs to another query; ask as for the page before it, or leave it out.")
        if self.version != version:
            raise BadInput(
                f"This cursor belongs to version {self.version} of the table, which is open at version {version}; "
                f"open that version, or begin anew without a cursor."
            )
        if self.identity != identity:
            raise BadInput("This cursor belongs to another table; begin anew without a cursor.")
        if self.offset >= deepest:
            raise BadInput(f"This cursor points beyond the first {deepest:,} hits, where every listing ends.")
