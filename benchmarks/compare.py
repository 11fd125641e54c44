"""Embed pictures in four ways: gencv, a plain loop, `datasets.map`, and clip-retrieval.

    python benchmarks/compare.py
    python benchmarks/compare.py --encoder ViT-B-32/random --count 768 --clip-retrieval /opt/cr/bin/clip-retrieval

Results: docs/results.md.

Each way is a process of its own, one after the other, and the files are the same. The plain loop and `datasets.map`
run the very network that gencv runs, on Pillow's decode and torchvision's arithmetic. "Steady" starts when each worker
has delivered once, "whole" has all imports, the start of Ray, and the loading of weights in it.

clip-retrieval brings its own networks, so it is compared on ViT-B-32. Weights that the hub would give are not needed
for a rate: where `ViT-B-32/random` is asked for, they are drawn once, and both read the same file.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import CORES, cut_pictures, fresh, load, median, options, part_commits, steady_rate, write_manifest
from PIL import Image

from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import BATCH_SIZE

BATCH = BATCH_SIZE["cpu"]


def gencv(encoder: str, paths: list[Path], work: Path) -> float:
    from gencv.core import storage
    from gencv.core.embeddings import VECTORS
    from gencv.pipelines.embed import embed

    manifest_dir, manifest = write_manifest(paths, work / f"manifest-compare-{len(paths)}")
    out = fresh(work, "compare")
    embed(manifest_dir, manifest, load_encoder(encoder), out, address="local")
    rate = steady_rate(part_commits(storage.join(out, VECTORS)), CORES)
    shutil.rmtree(out)
    return rate


def plain_loop(encoder: str, paths: list[Path], work: Path) -> float:
    network = load_encoder(encoder)
    commits, vectors = [], []
    for first in range(0, len(paths), BATCH):
        some = [np.array(Image.open(path).convert("RGB")) for path in paths[first : first + BATCH]]
        vectors.append(network.images(np.stack([network.transform(image) for image in some])))
        commits.append((time.time(), len(some)))
    assert len(np.concatenate(vectors)) == len(paths)
    return steady_rate(commits, 1)


def datasets_map(encoder: str, paths: list[Path], work: Path) -> float:
    import datasets

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"image": [str(path) for path in paths]}).cast_column("image", datasets.Image())
    mapped = table.map(
        embed_batch,
        batched=True,
        batch_size=BATCH,
        num_proc=CORES,
        remove_columns=["image"],
        fn_kwargs={"encoder": encoder},
        cache_file_name=fresh(work, "datasets") + ".arrow",
    )
    assert len(mapped["vector"]) == len(paths)
    times = np.array(mapped["time"])
    commits = [(moment, int(count)) for moment, count in zip(*np.unique(times, return_counts=True), strict=True)]
    return steady_rate(commits, CORES)


def embed_batch(batch: dict[str, list[Any]], encoder: str) -> dict[str, Any]:
    if encoder not in _loaded:
        import torch

        torch.set_num_threads(1)
        _loaded[encoder] = load_encoder(encoder)
    network = _loaded[encoder]
    pixels = [network.transform(np.array(image.convert("RGB"))) for image in batch["image"]]
    vectors = network.images(np.stack(pixels))
    return {"vector": vectors, "time": [time.time()] * len(vectors)}


def clip_retrieval(command: str, weights: Path, paths: list[Path], work: Path) -> tuple[float, float]:
    """Run its command line; returns images a second of the whole process and in steady state, as it logs it."""
    folder = work / f"links-{len(paths)}"
    folder.mkdir(exist_ok=True)
    for path in paths:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    out = fresh(work, "clip-retrieval")
    start = time.perf_counter()
    said = subprocess.run(
        [
            *(command, "inference", f"--input_dataset={folder}", f"--output_folder={out}", "--enable_text=False"),
            *(f"--clip_model=open_clip:ViT-B-32/{weights}", f"--batch_size={BATCH}", f"--num_prepro_workers={CORES}"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    whole = len(paths) / (time.perf_counter() - start)
    vectors = np.load(next(Path(out).glob("img_emb/*.npy")))
    assert len(vectors) == len(paths), said.stdout
    return steady_of_log(Path(out)), whole


def steady_of_log(out: Path) -> float:
    """Return what its own log says: pictures over the seconds that its batches took, from the first to the last."""
    facts = json.loads(next(out.glob("stats/*.json")).read_text())
    return float(facts["sample_count"] / facts["total_duration"])


def draw_weights(models: Path) -> Path:
    """Write random weights of ViT-B-32 where gencv looks for `ViT-B-32/random`."""
    path = models / "open_clip" / "ViT-B-32" / "random" / "weights.safetensors"
    if not path.exists():
        import open_clip
        import safetensors.torch
        import torch

        torch.manual_seed(0)
        path.parent.mkdir(parents=True)
        safetensors.torch.save_model(open_clip.create_model("ViT-B-32", pretrained=None), str(path))
    return path


WAYS: dict[str, Callable[[str, list[Path], Path], float]] = {
    "gencv": gencv,
    "plain loop": plain_loop,
    "datasets.map": datasets_map,
}
_loaded: dict[str, Any] = {}


def main() -> None:
    parser = options(__doc__, count=2048)
    parser.add_argument("--encoder", default="starter-features")
    parser.add_argument("--clip-retrieval", default="", help="its command, in an environment of its own; only ViT-B-32")
    parser.add_argument("--way", help="(for the processes that this one starts)")
    args = parser.parse_args()
    paths = cut_pictures(args.pictures, args.work, args.count)
    if args.way:
        print("steady", WAYS[args.way](args.encoder, paths, args.work))
        return
    os.environ["GENCV_MODELS"] = str(args.work / "models")
    weights = draw_weights(args.work / "models") if args.encoder == "ViT-B-32/random" else None
    rates: dict[str, list[tuple[float, float]]] = {}
    for _ in range(args.repeats):
        print(load(), flush=True)
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--encoder", args.encoder, "--work", str(args.work)]
            start = time.perf_counter()
            said = subprocess.run(
                [*command, "--pictures", str(args.pictures), "--count", str(args.count)],
                check=True,
                capture_output=True,
                text=True,
            )
            whole = args.count / (time.perf_counter() - start)
            rates.setdefault(way, []).append((float(said.stdout.split()[-1]), whole))
        if args.clip_retrieval and weights:
            found = clip_retrieval(args.clip_retrieval, weights, paths, args.work)
            rates.setdefault("clip-retrieval", []).append(found)
        print({way: [round(value, 1) for value in values[-1]] for way, values in rates.items()}, flush=True)
    print(f"{args.count} pictures, {args.encoder}, images a second on {CORES} cores")
    for way, values in rates.items():
        print(f"{way:16}steady {median([a for a, _ in values])}   whole {median([b for _, b in values])}")


if __name__ == "__main__":
    main()
