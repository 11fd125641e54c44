"""What the benchmarks share: pictures to work on, a manifest of them, plain processes, and the rate in steady state."""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from gencv.core import storage, tables
from gencv.core.manifest import SCHEMA, Manifest
from gencv.core.record import picture_id

WIDTH, HEIGHT, QUALITY = 500, 375, 90
"""Pictures of the size and quality of ImageNet's."""
NICE = 15
"""Ray starts its workers this nice, so the plain processes are as well: else whatever runs beside takes from one."""
CORES = os.cpu_count() or 1


def options(docstring: str, *, count: int) -> argparse.ArgumentParser:
    """Make the parser of a benchmark with the options that all of them take."""
    parser = argparse.ArgumentParser(
        description=docstring.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    project = Path(__file__).resolve().parents[1]
    parser.add_argument(
        "--pictures",
        type=Path,
        default=project.parent / "shared" / "data",
        help="folder of photographs to cut the pictures from; absent: they are drawn",
    )
    parser.add_argument("--work", type=Path, default=Path("/tmp/gencv-benchmarks"), help="folder for files")
    parser.add_argument("--count", type=int, default=count, help="pictures")
    parser.add_argument("--repeats", type=int, default=3)
    return parser


def cut_pictures(sources: Path, work: Path, count: int) -> list[Path]:
    """Write (once) and return `count` JPEGs of 500x375: random cuts of at least half a photograph, all different."""
    folder = work / ("pictures" if sources.exists() else "drawn")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:06d}.jpg" for index in range(count)]
    photographs = sorted(sources.glob("coco_captions/**/*.jpg")) + sorted(sources.glob("clothing/**/*.jpg"))
    for index, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng(index)
            if photographs:
                data = photographs[index % len(photographs)].read_bytes()
                image = cut(simplejpeg.decode_jpeg(data), rng)
            else:
                image = draw(rng)
            path.write_bytes(simplejpeg.encode_jpeg(image, QUALITY, "RGB", "420"))
    return paths


def cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a random part of 4:3 from uint8 [H, W, 3], and bring it to 500x375."""
    limit = min(image.shape[1], image.shape[0] * WIDTH / HEIGHT)
    width = int(rng.uniform(0.5, 1) * limit)
    height = width * HEIGHT // WIDTH
    left, top = rng.integers(image.shape[1] - width + 1), rng.integers(image.shape[0] - height + 1)
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    return cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def draw(rng: np.random.Generator) -> np.ndarray:
    """Draw waves with some grain, which compress about as a photograph does."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / 32
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-3, 3, (3, 3))]
    grain = rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return np.clip(np.stack(waves, -1) * 80 + 128 + grain, 0, 255).astype(np.uint8)


def write_manifest(paths: Sequence[Path], folder: Path, **given: Sequence[Any]) -> tuple[str, Manifest]:
    """Write a manifest of files that stay where they are; a file may be named twice.

    given: columns by name; without them all rows are of the split `train` and have the label 0.
    """
    ids = {path: picture_id(path.read_bytes()) for path in set(paths)}
    columns: dict[str, Sequence[Any]] = {
        "id": [ids[path] for path in paths],
        "uri": [str(path) for path in paths],
        "group": [f"{index:032x}" for index in range(len(paths))],
        "split": ["train"] * len(paths),
        "label": [0] * len(paths),
        **given,
    }
    empty = [None] * len(paths)
    manifest = Manifest(pa.table([columns.get(name, empty) for name in SCHEMA.names], schema=SCHEMA))
    manifest.save(str(folder))
    return str(folder), manifest


def part_commits(folder: str) -> list[tuple[float, int]]:
    """Return when each part of a table was written, and its rows."""
    paths = [Path(tables.part_path(folder, part)) for part in tables.parts_in(folder)]
    return [(path.stat().st_mtime, pq.read_metadata(path).num_rows) for path in paths]


def steady_rate(commits: Iterable[tuple[float, int]], workers: int) -> float:
    """Return rows a second after every worker has delivered once: what comes later has no start in it."""
    ordered = sorted(commits)
    rest = ordered[workers:]
    if not rest:
        return float("nan")
    return sum(rows for _, rows in rest) / (ordered[-1][0] - ordered[workers - 1][0])


class SteadyWindow:
    """Watch a folder of parts while it fills, and what this process and all below it cost meanwhile.

    From the moment when each worker has delivered once to the last part: `rate` in rows a second of the clock,
    `per_cpu` in rows a second of CPU time of the driver, Ray's daemons, and the workers together, which hardly depends
    on what else the machine is doing.
    """

    def __init__(self, folder: str, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self.rate = self.per_cpu = float("nan")

    def __enter__(self) -> Self:
        self.samples: list[tuple[int, float]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        commits = part_commits(self.folder)
        self.rate = steady_rate(commits, self.workers)
        inner = [(parts, cpu) for parts, cpu in self.samples if self.workers <= parts]
        if len(inner) > 1 and inner[-1][0] > inner[0][0]:
            (first, before), (last, after) = inner[0], inner[-1]
            rows = sum(rows for _, rows in sorted(commits)[first:last])
            self.per_cpu = rows / (after - before)

    def _watch(self) -> None:
        """Note the CPU time each time that a part has come."""
        while not self.ended.wait(0.05):
            parts = len(tables.parts_in(self.folder))
            if not self.samples or parts > self.samples[-1][0]:
                self.samples.append((parts, cpu_seconds()))


def cpu_seconds() -> float:
    """Return the CPU time so far of this process and of all below it that live. Linux only."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended since
            fields = path.read_text().rpartition(") ")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            ticks[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    family, grown = {os.getpid()}, True
    while grown:
        more = {process for process, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(ticks[process] for process in family) / os.sysconf("SC_CLK_TCK")


def in_processes(work: Callable[[Any], tuple[float, float]], shares: Sequence[Any]) -> tuple[float, float]:
    """Run `work` on each share in a process of its own; returns rows a second of the clock and of CPU time.

    `work` prepares, calls `start_together()`, and returns what `since` then says; a share's length is its rows.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(shares))
    with context.Pool(len(shares), _begin, (barrier,)) as pool:
        taken = pool.map(work, shares, chunksize=1)
    rows = sum(len(share) for share in shares)
    return rows / max(clock for clock, _ in taken), rows / sum(cpu for _, cpu in taken)


def start_together() -> tuple[float, float]:
    """Wait for the other processes; returns the clock and the CPU time."""
    _barrier.wait()
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds of the clock and of CPU time from then to now."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _begin(barrier: Any) -> None:
    global _barrier
    _barrier = barrier
    os.nice(NICE)
    cv2.setNumThreads(1)


_barrier: Any = None


def median(values: Sequence[float]) -> str:
    """Say a median and the range."""
    return f"{statistics.median(values):8.1f}  ({min(values):.1f} to {max(values):.1f})"


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Say the median and the range of the ratios, each of one round."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):8.3f}  ({min(ratios):.3f} to {max(ratios):.3f})"


def load() -> str:
    """Say how busy the machine is."""
    return f"load {os.getloadavg()[0]:.2f} on {CORES} cores"


def fresh(work: Path, name: str) -> str:
    """Return a folder that is not there yet."""
    return storage.join(str(work), f"{name}-{time.time_ns()}")


def report(rounds: dict[str, list[tuple[float, float]]], subject: str, measure: list[tuple[float, float]]) -> None:
    """Print medians and ranges over the rounds, and the ratios of `subject` to `measure`, by both clocks."""
    for by, place in (("clock", 0), ("CPU time", 1)):
        print(f"Images a second of {by}" + (f" on {CORES} cores" if place == 0 else ", each core"))
        for name, values in rounds.items():
            print(f"  {name:24}", median([value[place] for value in values]))
        ratios = median_ratio([value[place] for value in rounds[subject]], [value[place] for value in measure])
        print(f"  {'ratio':24}", ratios, flush=True)
