"""Write what requests leave behind without keeping them waiting: a bounded queue and one thread.

The thread writes whatever waits as one batch, at once, and what comes meanwhile is the next. Where the database does
not answer it tries again, for as long as the process lives, and where the queue is full new rows are dropped and
counted: a request is neither slowed nor failed. A batch is one transaction, so of what is lost with a killed process,
which is what waited, nothing is half there.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from gencv.core.errors import BadInput, HistoryUnavailable
from gencv.history.ledger import Ledger
from gencv.history.schema import Row, now

log = logging.getLogger(__name__)

MAX_BATCH = 256
MAX_WAIT_S = 5.0
"""Between two tries where the database does not answer."""
TIDY_S = 3600.0
"""How often what is too old is deleted."""

Item = tuple[tuple[Row, ...], bytes | None]
"""Rows of one picture, and its bytes where it is to be kept."""


class Recorder:
    """A ledger's queue and its thread. Close it, or what waits is lost with the process."""

    def __init__(
        self, ledger: Ledger, *, days: float = 0, max_rows: int = 10_000, max_bytes: int = 256 * 2**20
    ) -> None:
        """days: delete what is older, now and every hour; 0 deletes nothing. max_rows, max_bytes: that may wait."""
        self.ledger, self.days = ledger, days
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.dropped_rows = self.dropped_pictures = 0
        self._waiting: deque[Item] = deque()
        self._rows = self._bytes = 0
        self._is_busy = self._is_closing = False
        self._give_up_at = float("inf")
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def put(self, *rows: Row, picture: bytes | None = None) -> bool:
        """Leave rows to be written, all of them together; returns whether there was room. It never waits.

        picture: the file that all of them are of, for a ledger that keeps pictures; it alone is left out where it
        does not fit any more.
        """
        picture = picture if self.ledger.keep_pictures else None
        with self._changed:
            if self._is_closing or self._rows + len(rows) > self.max_rows:
                self.dropped_rows += len(rows)
                if self.dropped_rows == len(rows) or self.dropped_rows % 1000 < len(rows):
                    log.warning("the history cannot keep up: %d rows are dropped so far", self.dropped_rows)
                return False
            if picture is not None and self._bytes + len(picture) > self.max_bytes:
                self.dropped_pictures += 1
                picture = None
            self._waiting.append((rows, picture))
            self._rows += len(rows)
            self._bytes += len(picture or b"")
            self._changed.notify_all()
        return True

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was left before is written; returns whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_busy, timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, take no more, and close the ledger."""
        with self._changed:
            self._is_closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + MAX_WAIT_S)
        if self._waiting:
            log.warning("%d rows of the history are lost, as the database does not answer", self._rows)
        self.ledger.close()

    def _work(self) -> None:
        tidy_at = time.monotonic() if self.days else float("inf")
        while True:
            with self._changed:
                left_s = tidy_at - time.monotonic()
                self._changed.wait_for(
                    lambda: self._waiting or self._is_closing, min(max(0.0, left_s), threading.TIMEOUT_MAX)
                )
                if self._is_closing and (not self._waiting or time.monotonic() > self._give_up_at):
                    return
                batch = self._take()
                self._is_busy = bool(batch)
            if batch:
                self._write(batch)
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
            elif time.monotonic() >= tidy_at:
                self._tidy()
                tidy_at = time.monotonic() + TIDY_S

    def _take(self) -> list[Item]:
        batch: list[Item] = []
        while self._waiting and len(batch) < MAX_BATCH:
            batch.append(self._waiting.popleft())
            rows, picture = batch[-1]
            self._rows -= len(rows)
            self._bytes -= len(picture or b"")
        return batch

    def _write(self, batch: Sequence[Item]) -> None:
        """Write a batch, whole; where something in it cannot be written, all else."""
        pause_s = 0.1
        while True:
            try:
                self._write_once(batch)
                return
            except HistoryUnavailable as error:
                if time.monotonic() > self._give_up_at:
                    log.warning("%d entries of the history are lost: %s", len(batch), error)
                    return
                log.warning("the history waits: %s", error)
                self._pause(pause_s)
                pause_s = min(2 * pause_s, MAX_WAIT_S)
            except Exception:
                if len(batch) > 1:
                    for item in batch:
                        self._write([item])
                    return
                self.dropped_rows += len(batch[0][0])
                log.exception("a row of the history cannot be written")
                return

    def _write_once(self, batch: Sequence[Item]) -> None:
        rows = [row for some, _ in batch for row in some]
        pictures = {some[0].picture_id: data for some, data in batch if data is not None and some[0].picture_id}
        try:
            self.ledger.write(rows, pictures)
        except BadInput as error:
            log.warning("%d pictures are not kept: %s", len(pictures), error)
            self.dropped_pictures += len(pictures)
            self.ledger.write(rows)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, seconds)
            closing = self._is_closing
        if closing:  # which does not come twice, and the database may need a moment
            time.sleep(min(seconds, 0.2))

    def _tidy(self) -> None:
        try:
            gone = self.ledger.forget_before(now() - timedelta(days=self.days))
            if any(gone.values()):
                log.info("the history is older than %g days no more: %s", self.days, gone)
        except HistoryUnavailable as error:
            log.warning("what is too old stays for now: %s", error)
        except Exception:
            log.exception("what is too old cannot be deleted")
