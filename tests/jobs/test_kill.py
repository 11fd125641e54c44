"""Kill it anywhere: the same command ends with every picture once, and with the content of an undisturbed run."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import manifest_of, write_embeddings, write_pictures
from processes import descendants

from gencv.core import tables
from gencv.core.embeddings import VECTORS, Embeddings
from gencv.core.manifest import Manifest
from gencv.diffusion.replay import How
from gencv.images.decode import decode
from gencv.index.lock import FILE as LOCK
from gencv.index.table import Index
from gencv.pipelines.cells import recipe_in
from gencv.pipelines.generate import PAINTED, PART_PICTURES, Painting
from gencv.pipelines.index import PENDING, row_digests

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


def wait_for_parts(folder: Path, count: int) -> int:
    """Wait until a folder, or all folders in it, hold some parts; returns how many."""
    deadline = time.monotonic() + 120
    while (there := len([*folder.glob("part-*.parquet"), *folder.glob("*/part-*.parquet")])) < count:
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
        wait_for_parts(out / VECTORS, 1)
    finally:
        killed.kill()
        killed.wait()
    assert 1 <= wait_for_parts(out / VECTORS, 1) < 3, "the kill came too late to show anything"
    assert job("embed", *command, out)[0] == 0
    assert digest(out) == undisturbed


def test_a_killed_worker_changes_nothing(command: list[str], undisturbed: str, job: Job, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed: list[int] = []

    def kill() -> None:
        there = wait_for_parts(out / VECTORS, 1)
        if there < 3 and (workers := descendants(os.getpid(), "MapWorker")):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert job("embed", *command, out)[0] == 0
    killer.join(timeout=1)
    assert killed, "no inference worker was killed in time"
    assert digest(out) == undisturbed


def test_a_sweep_has_every_cell_once_with_the_pixels_of_an_undisturbed_one(
    job: Job, tmp_path: Path, ray_local: str, sd_folder: Path
) -> None:
    out, count = tmp_path / "out", 3 * PART_PICTURES[1]
    flags = ["--painter", str(sd_folder), "--prompt", "cat", "--num-images", str(count), "--num-inference-steps", "1"]
    command = [*flags, "--no-watermark", "--out", str(out)]  # 16 px are too small for one
    killed = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "generate.py", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_ADDRESS": "local"},  # a Ray of its own, which goes with it
    )
    try:
        wait_for_parts(out / PAINTED, 1)
    finally:
        killed.kill()
        killed.wait()
    assert 1 <= wait_for_parts(out / PAINTED, 1) < 3, "the kill came too late to show anything"
    code, _, stderr = job("generate", *command)
    assert code == 0, stderr
    rows = tables.read_table(str(out / "pictures.parquet")).to_pylist()
    assert [row["cell"] for row in rows] == list(range(count)) and not any(row["error"] for row in rows)
    assert sorted(row["path"] for row in rows) == sorted(f"pictures/{path.name}" for path in out.glob("pictures/*"))

    alone = Painting(painter=str(sd_folder), how=How(watermark=False))
    threads = torch.get_num_threads()
    torch.set_num_threads(alone.how.threads)  # sums over more of them round otherwise
    made = list(alone.load("cpu").paint([recipe_in(row) for row in rows]))
    torch.set_num_threads(threads)
    for row, picture in zip(rows, made, strict=True):
        assert picture.image is not None and (row["row"], row["batch"]) == picture.batch
        assert np.array_equal(decode((out / row["path"]).read_bytes()), picture.image)


def test_an_index_is_whole_whoever_is_refused_or_killed(job: Job, tmp_path: Path, ray_local: str) -> None:
    """A second job while the first works, then the first killed, then the same command again; readers all along."""
    pictures = write_pictures(tmp_path / "in", 8 * tables.ROWS_PER_PART, size=(40, 24))
    made = manifest_of(pictures)
    vectors = np.random.default_rng(0).normal(size=(len(made), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_embeddings(manifest_of(pictures[:300], caption=[["as it was"]] * 300), vectors[:300], tmp_path / "old")
    write_embeddings(Manifest(made.table.slice(100)), vectors[100:], tmp_path / "new")
    out = tmp_path / "index"
    assert job("index", "--embeddings", tmp_path / "old", "--out", out)[0] == 0
    before = Index.open(str(out))
    said = (out / "config.json").read_bytes(), (out / "report.json").read_bytes()

    command = ["--embeddings", str(tmp_path / "new"), "--out", str(out)]
    first = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "index.py", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_ADDRESS": ray_local},
    )
    try:
        deadline = time.monotonic() + 120
        while str(first.pid) not in (out / LOCK).read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # with the pen in its hand
        code, _, stderr = job("index", *command)
        assert code == 2 and f"is being written by process {first.pid}" in stderr and len(stderr.splitlines()) == 1
        first.send_signal(signal.SIGCONT)
        wait_for_parts(out / PENDING, 1)
    finally:
        first.kill()
        first.wait()
    assert 1 <= wait_for_parts(out / PENDING, 1) < 8, "the kill came too late to show anything"
    now = Index.open(str(out))
    assert (now.version, now.digests()) == (before.version, before.digests())
    assert ((out / "config.json").read_bytes(), (out / "report.json").read_bytes()) == said

    code, stdout, stderr = job("index", *command)
    assert code == 0 and "200 changed, 100 removed, 0 kept" in stdout, stderr
    after = Index.open(str(out))
    assert after.digests() == row_digests(made.table.slice(100))
    assert after.num_rows == len(made) - 100, "a row is there twice"
    assert before.num_rows == 300 and not (out / PENDING).exists()
