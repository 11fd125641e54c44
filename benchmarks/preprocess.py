"""Decode, resize to 224 px, blur, compress: the pipeline against its bare kernels, and against Pillow.

    python benchmarks/preprocess.py

Results: docs/results.md.

Interleaved, on the same cores: `gencv.pipelines.preprocess` over Ray, from files to Parquet parts; one plain process a
core with simplejpeg and OpenCV, from bytes in memory to bytes in memory; one a core with Pillow, which most code uses.
Ray is shut down between, so that it takes nothing from the others. "Steady" starts when each worker has delivered its
first part; "whole call" has the start of Ray and of its workers in it.
"""

import io
import shutil
import time
from pathlib import Path

import cv2
import ray
import simplejpeg
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
from PIL import Image, ImageFilter

from gencv.core import storage
from gencv.core.manifest import IMAGES, Manifest
from gencv.images.preprocess import Preprocessing
from gencv.pipelines.preprocess import preprocess

RECIPE = Preprocessing(blur_probability=1.0)  # every picture is blurred, here as there


def bare(paths: list[Path]) -> tuple[float, float]:
    files = [path.read_bytes() for path in paths]
    start = start_together()
    for data in files:
        small = cv2.resize(simplejpeg.decode_jpeg(data), (224, 224), interpolation=cv2.INTER_AREA)
        simplejpeg.encode_jpeg(cv2.GaussianBlur(small, (5, 5), 0), 80, "RGB", "420", fastdct=False)
    return since(start)


def pillow(paths: list[Path]) -> tuple[float, float]:
    files = [path.read_bytes() for path in paths]
    start = start_together()
    for data in files:
        small = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BOX)
        small.filter(ImageFilter.GaussianBlur(1.1)).save(io.BytesIO(), "JPEG", quality=80)
    return since(start)


def gencv(manifest_dir: str, out: str) -> tuple[SteadyWindow, float]:
    """Return the steady state, and images a second of the whole call."""
    manifest = Manifest.load(manifest_dir)
    start = time.perf_counter()
    with SteadyWindow(storage.join(out, IMAGES), CORES) as window:
        made, _ = preprocess(manifest_dir, manifest, RECIPE, out, address="local")
    whole = len(manifest) / (time.perf_counter() - start)
    ray.shutdown()
    assert not made.bad()
    shutil.rmtree(out)
    return window, whole


def main() -> None:
    args = options(__doc__, count=8000).parse_args()
    paths = cut_pictures(args.pictures, args.work, args.count)
    manifest_dir, _ = write_manifest(paths, args.work / "manifest-preprocess")
    shares = [paths[core::CORES] for core in range(CORES)]
    rounds: dict[str, list[tuple[float, float]]] = {"gencv, steady": [], "bare kernels": [], "Pillow": []}
    wholes = []
    for _ in range(args.repeats):
        print(load(), flush=True)
        rounds["bare kernels"].append(in_processes(bare, shares))
        window, whole = gencv(manifest_dir, fresh(args.work, "preprocess"))
        rounds["gencv, steady"].append((window.rate, window.per_cpu))
        wholes.append(whole)
        rounds["Pillow"].append(in_processes(pillow, [share[: args.count // 8] for share in shares]))
        print({name: [round(value) for value in values[-1]] for name, values in rounds.items()}, flush=True)
    report(rounds, "gencv, steady", rounds["bare kernels"])
    print("Images a second of the whole call:", median(wholes))


if __name__ == "__main__":
    main()
