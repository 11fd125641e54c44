"""One writer at a time: a lock on the folder of an index, and a note of who holds it."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gencv.core import storage
from gencv.core.errors import BadInput, InUse

FILE = ".writer"
BEAT_S = 10.0
DEAD_AFTER_S = 60.0
"""A note on another machine that was not renewed for so long belongs to a dead writer."""
ASK_EVERY_S = 0.05


@contextmanager
def writing(folder: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the pen of an index. Raises InUse that names the one who still holds it after `wait_s`.

    The kernel's own lock decides on one machine, and dies with its holder. Some shared file systems keep locks to each
    machine; there the note decides, whose age its holder renews. An object store has neither: there two writers meet
    at the commit, and the second fails.
    """
    if storage.is_uri(folder):
        yield
        return
    path = Path(folder, FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror}); choose a folder that can.") from None
    with file:
        until = time.monotonic() + wait_s
        while True:
            try:
                _take(file, folder)
                break
            except InUse:
                if time.monotonic() >= until:
                    raise
                time.sleep(ASK_EVERY_S)
        stop = threading.Event()
        beat = threading.Thread(target=_keep_alive, args=(path, stop), daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()
            file.truncate(0)


def _take(file: IO[str], folder: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = False
    except BlockingIOError:
        held = True
    except OSError as error:
        raise BadInput(f"{folder} lies where files cannot be locked ({error.strerror}); choose another.") from None
    file.seek(0)
    note = _note(file.read())
    elsewhere = note.get("host", socket.gethostname()) != socket.gethostname()
    if held or (elsewhere and time.time() - os.fstat(file.fileno()).st_mtime < DEAD_AFTER_S):
        owner = f"process {note['pid']} on {note['host']} since {note['since']}" if note else "another process"
        raise InUse(f"{folder} is being written by {owner}; wait until it is done.")
    note = {"host": socket.gethostname(), "pid": str(os.getpid()), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        file.truncate(0)
        file.write(json.dumps(note))
        file.flush()
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror}); make room, or choose another.") from None


def _note(text: str) -> dict[str, str]:
    try:
        note = json.loads(text)
        return {key: str(note[key]) for key in ("host", "pid", "since")}
    except (ValueError, TypeError, KeyError):  # none, or one that its writer did not finish
        return {}


def _keep_alive(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        os.utime(path)
