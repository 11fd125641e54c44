"""Requests leave their rows and go on; one thread writes them."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gencv.core.errors import BadInput, HistoryUnavailable
from gencv.core.record import picture_id
from gencv.history.ledger import Ledger, open_ledger
from gencv.history.recorder import Recorder
from gencv.history.schema import Feedback, Verdict, now

Make = Callable[..., Verdict]


class Slow:
    """A ledger that writes when it is told to, and fails as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.keep_pictures = "/kept"
        self.errors, self.written, self.pictures = list(errors), [], {}
        self.go = threading.Event()
        self.is_closed = False
        self.batches: list[int] = []

    def write(self, rows: Sequence[Any], pictures: dict[str, bytes] | None = None) -> None:
        self.go.wait(5)
        if any(row.label == "poison" for row in rows):
            raise ValueError("poison")
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(len(rows))
        self.written += rows
        self.pictures |= pictures or {}

    def forget_before(self, moment: Any) -> dict[str, int]:
        self.forgotten = moment
        return {"verdicts": 0}

    def close(self) -> None:
        self.is_closed = True


def recorder(ledger: Any, **how: Any) -> Recorder:
    return Recorder(ledger, **how)


def test_what_is_left_is_written_and_closing_writes_the_rest(ledger: Ledger, verdict: Make, tmp_path: Path) -> None:
    writes = recorder(ledger)
    data = b"a picture"
    assert writes.put(verdict(picture_id=picture_id(data)), picture=data) and writes.flush()
    assert ledger.counts()["verdicts"] == 1 and ledger.counts()["kept"] == 1
    for _ in range(300):
        writes.put(verdict())
    writes.close()
    assert ledger.counts()["verdicts"] == 301 and not writes.put(verdict())


def test_nobody_waits_and_what_waits_is_one_batch(verdict: Make) -> None:
    slow = Slow()
    writes = recorder(slow)
    began = time.monotonic()
    writes.put(verdict())
    while writes._waiting:
        time.sleep(0.01)
    for _ in range(50):
        assert writes.put(verdict())
    assert time.monotonic() - began < 2 and not slow.batches and not writes.flush(0.05)
    slow.go.set()
    assert writes.flush() and slow.batches == [1, 50]
    writes.close()
    assert slow.is_closed


def test_a_full_queue_drops_and_counts(verdict: Make) -> None:
    slow = Slow()
    writes = recorder(slow, max_rows=3, max_bytes=10)
    writes.put(verdict())
    while writes._waiting:
        time.sleep(0.01)
    left = [writes.put(verdict(picture_id=str(number)), picture=b"6bytes") for number in range(5)]
    assert left == [True] * 3 + [False] * 2 and writes.dropped_rows == 2 and writes.dropped_pictures == 2
    slow.go.set()
    writes.close()
    assert len(slow.written) == 4 and slow.pictures == {"0": b"6bytes"}


def test_a_database_that_comes_back_gets_all(verdict: Make) -> None:
    slow = Slow(*[HistoryUnavailable("no answer")] * 2)
    slow.go.set()
    writes = recorder(slow)
    rows = [verdict() for _ in range(3)]
    for row in rows:
        writes.put(row)
    assert writes.flush() and slow.written == rows
    writes.close()


def test_one_row_that_cannot_be_written_takes_no_other_with_it(verdict: Make) -> None:
    slow = Slow()
    writes = recorder(slow)
    for label in ("a", "b", "poison", "c"):
        writes.put(verdict(label=label))
    slow.go.set()
    assert writes.flush()
    assert [row.label for row in slow.written] == ["a", "b", "c"] and writes.dropped_rows == 1
    writes.close()


def test_a_picture_that_cannot_be_kept_costs_no_row(verdict: Make) -> None:
    slow = Slow(BadInput("The folder is full."))
    slow.go.set()
    writes = recorder(slow)
    writes.put(verdict(picture_id="p"), picture=b"x")
    assert writes.flush() and len(slow.written) == 1 and writes.dropped_pictures == 1
    writes.close()


def test_closing_ends_though_the_database_is_gone(verdict: Make, caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow(*[HistoryUnavailable("no answer")] * 1000)
    slow.go.set()
    writes = recorder(slow)
    writes.put(verdict())
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        writes.close(timeout_s=0.3)
    assert time.monotonic() - began < 3 and "lost" in caplog.text


def test_what_is_too_old_is_deleted_from_the_beginning(ledger: Ledger, verdict: Make) -> None:
    ledger.write([verdict(time=now() - timedelta(days=2)), verdict()])
    writes = recorder(ledger, days=1)
    until = time.monotonic() + 10
    while ledger.counts()["verdicts"] == 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert ledger.counts()["verdicts"] == 1
    writes.close()


def test_many_writers_share_a_database(history_url: str, verdict: Make) -> None:
    many = [recorder(open_ledger(history_url)) for _ in range(4)]

    def busy(writes: Recorder) -> None:
        for number in range(100):
            writes.put(verdict(caller=str(number)))
            if number % 25 == 0:
                writes.ledger.write([Feedback(picture_id="p", label="live")])

    threads = [threading.Thread(target=busy, args=(writes,)) for writes in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writes in many:
        writes.close()
    ledger = open_ledger(history_url)
    counts = ledger.counts()
    assert counts["verdicts"] == 400 and counts["feedback"] == 16
    ledger.close()


WRITER = """
import sys, time
from gencv.history.ledger import open_ledger
from gencv.history.recorder import Recorder
from gencv.history.schema import Feedback, Verdict
writes = Recorder(open_ledger(sys.argv[1], keep_pictures=sys.argv[2]))
number = 0
while True:
    data = b"picture %d" % number
    id = f"{number:032x}"
    common = dict(picture_id=id, bundle="b", digest="d", task="spoof", score=0.5, threshold_id="eer")
    writes.put(*(Verdict(label=label, **common) for label in ("live", "spoof")), picture=data)
    if number % 50 == 0:
        writes.ledger.write([Feedback(picture_id=id, label="live")])
        print(number, flush=True)
    number += 1
    time.sleep(0.001)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 6])
def test_a_killed_process_leaves_nothing_half_written(history_url: str, tmp_path: Path, after: int) -> None:
    words = [sys.executable, "-c", WRITER, history_url, str(tmp_path / "kept")]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    said += [int(line) for line in writer.stdout.read().split()]
    ledger = open_ledger(history_url, create=False)
    verdicts = ledger.table("verdicts").to_pylist()
    feedback = {int(row["picture_id"], 16) for row in ledger.table("feedback").to_pylist()}
    assert feedback >= set(said)  # what was acknowledged is there
    both: dict[str, set[str]] = {}
    for row in verdicts:
        both.setdefault(row["picture_id"], set()).add(row["label"])
    assert both and all(labels == {"live", "spoof"} for labels in both.values())
    ids = sorted(int(id, 16) for id in both)
    assert ids == list(range(len(ids)))  # lost is what waited, and nothing from the middle
    places = {id: place for id, place, _ in ledger.kept_pictures(corrected=False)}
    on_disk = {path.name: path for path in (tmp_path / "kept").rglob("*") if path.is_file() and path.name[0] != "."}
    assert set(on_disk) <= set(places) and set(both) <= set(on_disk)
    assert all(on_disk[id].read_bytes() == b"picture %d" % int(id, 16) for id in both)
    ledger.close()
