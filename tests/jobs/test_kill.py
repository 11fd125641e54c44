"""Kill it anywhere: the same command ends with every picture once, and with the content of an undisturbed run."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import manifest_of, write_pictures
from processes import descendants

from gencv.core import tables
from gencv.core.embeddings import VECTORS, Embeddings

pytestmark = [pytest.mark.ray, pytest.mark.kill, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
Job = Callable[..., tuple[int, str, str]]
NUM_PICTURES = 3 * tables.ROWS_PER_PART
_undisturbed: list[str] = []
"""The digest of the run that nothing happened to, once it was made."""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("kill")
    manifest_of(write_pictures(folder / "in", NUM_PICTURES)).save(str(folder / "manifest"))
    return ["--manifest", str(folder / "manifest"), "--encoder", "starter-features", "--out"]


@pytest.fixture
def undisturbed(command: list[str], job: Job, tmp_path: Path, ray_local: str) -> str:
    if not _undisturbed:
        assert job("embed", *command, tmp_path / "undisturbed")[0] == 0
        _undisturbed.append(digest(tmp_path / "undisturbed"))
    return _undisturbed[0]


def wait_for_parts(out: Path, count: int) -> int:
    deadline = time.monotonic() + 120
    while (there := len(tables.parts_in(str(out / VECTORS)))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return there


def digest(out: Path) -> str:
    embeddings = Embeddings.load(str(out))
    assert len(embeddings.vectors) == len(set(embeddings.manifest["id"])) == NUM_PICTURES
    assert embeddings.good.all()
    return embeddings.digest()


def test_after_a_killed_driver_the_same_command_goes_on(
    command: list[str], undisturbed: str, job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "embed.py", *command, out],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_ADDRESS": "local"},  # a Ray of its own, which goes with it
    )
    try:
        wait_for_parts(out, 1)
    finally:
        killed.kill()
        killed.wait()
    there = len(tables.parts_in(str(out / VECTORS)))
    assert 1 <= there < 3, "the kill came too late to show anything"
    assert job("embed", *command, out)[0] == 0
    assert digest(out) == undisturbed


def test_a_killed_worker_changes_nothing(command: list[str], undisturbed: str, job: Job, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed: list[int] = []

    def kill() -> None:
        there = wait_for_parts(out, 1)
        if there < 3 and (workers := descendants(os.getpid(), "MapWorker")):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert job("embed", *command, out)[0] == 0
    killer.join(timeout=1)
    assert killed, "no inference worker was killed in time"
    assert digest(out) == undisturbed
