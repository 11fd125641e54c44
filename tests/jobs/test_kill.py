"""Kill it anywhere: the same command ends with every picture once, and with the content of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import manifest_of, write_pictures

from gencv.core import tables
from gencv.core.embeddings import VECTORS, Embeddings

pytestmark = [pytest.mark.ray, pytest.mark.kill, pytest.mark.timeout(420)]
ROOT = Path(__file__).parents[2]
NUM_PICTURES = 5 * tables.ROWS_PER_PART


@pytest.fixture(scope="module")
def manifest_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    manifest_of(write_pictures(folder / "in", NUM_PICTURES)).save(str(folder / "manifest"))
    return folder / "manifest"


def start(manifest_dir: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, ROOT / "jobs" / "embed.py", "--manifest", manifest_dir, "--encoder", "starter-features"]
    # A process group of its own, so that what the job starts can be found and ended with it.
    return subprocess.Popen(
        [str(word) for word in [*command, "--out", out]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "RAY_ADDRESS": "local"},
        start_new_session=True,
    )


def wait_for_parts(out: Path, count: int, job: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while len(tables.parts_in(str(out / VECTORS))) < count:
        assert job.poll() is None, job.stderr.read() if job.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finish(job: subprocess.Popen[bytes]) -> None:
    _, stderr = job.communicate(timeout=300)
    assert job.returncode == 0, stderr.decode()[-2000:]


def digest(out: Path) -> str:
    embeddings = Embeddings.load(str(out))
    assert len(embeddings.vectors) == len(set(embeddings.manifest["id"])) == NUM_PICTURES
    assert embeddings.good.all()
    return embeddings.digest()


def workers_of(pid: int) -> list[int]:
    """Return the inference actors among a process's descendants."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
                parents[int(entry.name)] = int(stat[1])
            except OSError:
                continue

    def descends(child: int) -> bool:
        while child in parents:
            if child == pid:
                return True
            child = parents[child]
        return False

    return [child for child in names if "MapWorker" in names[child] and descends(child)]


@pytest.fixture(scope="module")
def undisturbed(manifest_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    finish(start(manifest_dir, out))
    return digest(out)


def kill_driver(job: subprocess.Popen[bytes]) -> None:
    job.kill()
    job.wait()


def kill_worker(job: subprocess.Popen[bytes]) -> None:
    workers = workers_of(job.pid)
    assert workers, "no inference worker was found"
    os.kill(workers[0], signal.SIGKILL)


@pytest.mark.parametrize(("kill", "again"), [(kill_driver, True), (kill_worker, False)])
def test_every_picture_once_and_the_same_content(
    kill: Callable[[subprocess.Popen[bytes]], None], again: bool, manifest_dir: Path, undisturbed: str, tmp_path: Path
) -> None:
    job = start(manifest_dir, tmp_path / "out")
    wait_for_parts(tmp_path / "out", 2, job)
    kill(job)
    if again:
        there = len(tables.parts_in(str(tmp_path / "out" / VECTORS)))
        assert 2 <= there < 5, "the kill came too late to show anything"
        job = start(manifest_dir, tmp_path / "out")
    finish(job)
    assert digest(tmp_path / "out") == undisturbed
