import json
import os
import socket
import time
from pathlib import Path

import pytest

from gencv.core.errors import BadInput
from gencv.index import lock


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    folder = str(tmp_path)
    told = f"is being written by process {os.getpid()} on .*; wait until it is done."
    with lock.writing(folder), pytest.raises(BadInput, match=told), lock.writing(folder):
        pass
    with lock.writing(str(tmp_path)):
        pass


def note(folder: Path, host: str) -> Path:
    path = folder / lock.FILE
    path.write_text(json.dumps({"host": host, "pid": 1, "since": "2026-01-01 00:00:00"}))
    return path


def test_a_dead_writer_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    note(tmp_path, socket.gethostname())
    with lock.writing(str(tmp_path)):
        pass


def test_a_writer_elsewhere_holds_the_pen_while_its_note_is_fresh(tmp_path: Path) -> None:
    path = note(tmp_path, "another-machine")
    with pytest.raises(BadInput, match="process 1 on another-machine since 2026"), lock.writing(str(tmp_path)):
        pass
    old = path.stat().st_mtime - lock.DEAD_AFTER_S - 1
    os.utime(path, (old, old))
    with lock.writing(str(tmp_path)):
        pass


def test_a_holder_renews_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    with lock.writing(str(tmp_path)):
        path = tmp_path / lock.FILE
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 1e9:
            assert time.monotonic() < deadline
            time.sleep(0.01)
