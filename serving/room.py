"""How many bytes of requests one copy of an API holds at once, whoever sends them.

Every request has a share of the room: its body, and what is fetched for it. A share is given back with the request,
however that ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import Busy, Refused


class Room:
    """So many bytes at once; used on one event loop."""

    def __init__(self, max_bytes: int, max_share: int) -> None:
        """max_share: of one request. It always fits into an empty room."""
        self.max_bytes, self.max_share = max(max_bytes, max_share), max_share
        self.held = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give a request its share, which is empty yet."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.size
            share.is_over = True


class Share:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self.room, self.size, self.is_over = room, 0, False

    def grow(self, size: int) -> None:
        """Take room for more bytes, before they are there. Raises Refused: 413 for too large a request, 429."""
        if self.is_over:  # what a request has left behind may take nothing, as nobody would give it back
            return
        if self.size + size > self.room.max_share:
            raise Refused(
                413, "body_too_large", f"The request is too large; {self.room.max_share / 2**20:g} MB are accepted."
            )
        if self.room.held + size > self.room.max_bytes:
            raise Busy()
        self.size += size
        self.room.held += size
