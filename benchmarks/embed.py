"""Embed with `starter-features`: the pipeline against decode and forward without Ray, and the driver's memory.

    python benchmarks/embed.py
    python benchmarks/embed.py --memory

Result on 2 vCPU AMD EPYC (docs/results.md): .95 of plain processes by the clock, .96 by CPU time; memory 1.03.

Interleaved, on the same cores, with the same functions and batches: `gencv.pipelines.embed` over Ray; one plain
process a core with one thread each; one plain process with a thread a core. The better plain one is the measure.
"Steady" starts when each actor has delivered its first part; "whole call" has the start of Ray and of its actors in it.
GPUs that Ray finds are taken by gencv alone, so compare there with another benchmark.

--memory preprocesses N and 10 N pictures (the same files again and again) in a driver process of its own each, and
reads the peak of its resident memory.
"""

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import ray
import torch
from common import (
    CORES,
    SteadyWindow,
    cut_pictures,
    fresh,
    in_processes,
    load,
    median,
    options,
    report,
    since,
    start_together,
    write_manifest,
)

from gencv.core import storage
from gencv.core.embeddings import VECTORS
from gencv.core.manifest import Manifest
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import BATCH_SIZE, embed
from gencv.pipelines.preprocess import preprocess

ENCODER = "starter-features"


def plain(paths: list[Path], threads: int) -> tuple[float, float]:
    torch.set_num_threads(threads)
    encoder = load_encoder(ENCODER, device="cpu")
    side, batch = encoder.transform.size_px, BATCH_SIZE["cpu"]
    for _ in range(3):
        encoder.images(np.zeros((batch, side, side, 3), np.uint8))
    files = [path.read_bytes() for path in paths]
    start = start_together()
    for first in range(0, len(files), batch):
        some = files[first : first + batch]
        pixels = [encoder.transform(decode(data, min_side_px=encoder.transform.decode_side_px)) for data in some]
        encoder.images(np.stack(pixels))
    return since(start)


def one_thread(paths: list[Path]) -> tuple[float, float]:
    return plain(paths, 1)


def all_threads(paths: list[Path]) -> tuple[float, float]:
    return plain(paths, CORES)


def gencv(manifest_dir: str, out: str) -> tuple[SteadyWindow, float]:
    """Return the steady state, and images a second of the whole call."""
    manifest = Manifest.load(manifest_dir)
    encoder = load_encoder(ENCODER)
    start = time.perf_counter()
    with SteadyWindow(storage.join(out, VECTORS), CORES) as window:
        embed(manifest_dir, manifest, encoder, out, address="local")
    whole = len(manifest) / (time.perf_counter() - start)
    ray.shutdown()
    shutil.rmtree(out)
    return window, whole


def throughput(paths: list[Path], work: Path, repeats: int) -> None:
    manifest_dir, _ = write_manifest(paths, work / "manifest-embed")
    some = paths[: 1024 * CORES]
    one, many = f"{CORES} processes of 1 thread", f"1 process of {CORES} threads"
    rounds: dict[str, list[tuple[float, float]]] = {"gencv, steady": [], one: [], many: []}
    wholes = []
    for _ in range(repeats):
        print(load(), flush=True)
        rounds[one].append(in_processes(one_thread, [some[core::CORES] for core in range(CORES)]))
        window, whole = gencv(manifest_dir, fresh(work, "embed"))
        rounds["gencv, steady"].append((window.rate, window.per_cpu))
        wholes.append(whole)
        rounds[many].append(in_processes(all_threads, [some[:1024]]))
        print({name: [round(value, 1) for value in values[-1]] for name, values in rounds.items()}, flush=True)
    better = [(max(a[0], b[0]), max(a[1], b[1])) for a, b in zip(rounds[one], rounds[many], strict=True)]
    report(rounds, "gencv, steady", better)
    print("Images a second of the whole call:", median(wholes))


def memory(paths: list[Path], work: Path) -> None:
    peaks = {}
    for count in (len(paths), 10 * len(paths)):
        manifest_dir, _ = write_manifest([paths[i % len(paths)] for i in range(count)], work / f"manifest-{count}")
        command = [sys.executable, __file__, "--peak", manifest_dir, "--work", str(work)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[count] = int(said.split()[-1]) / 1024
        print(f"{count:7d} pictures: the driver's peak is {peaks[count]:.0f} MiB", flush=True)
    print(f"ratio {peaks[10 * len(paths)] / peaks[len(paths)]:.3f}")


def peak(manifest_dir: str, work: Path) -> None:
    """Preprocess, and print the peak resident memory of this process in KiB."""
    out = fresh(work, "memory")
    preprocess(manifest_dir, Manifest.load(manifest_dir), Preprocessing(), out, address="local")
    shutil.rmtree(out)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    parser = options(__doc__, count=5000)
    parser.add_argument("--memory", action="store_true", help="measure the driver's memory, from 2,000 pictures")
    parser.add_argument("--peak", help=f"(for --memory) {peak.__doc__}")
    args = parser.parse_args()
    if args.peak:
        peak(args.peak, args.work)
    elif args.memory:
        memory(cut_pictures(args.pictures, args.work, 2000), args.work)
    else:
        throughput(cut_pictures(args.pictures, args.work, args.count), args.work, args.repeats)


if __name__ == "__main__":
    main()
