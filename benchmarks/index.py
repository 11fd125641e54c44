"""Index a manifest: decoding, encoding, and writing the table against `embed`, which does all but the last.

    python benchmarks/index.py

Result on 2 vCPU: docs/results.md.

On one Ray that runs already, a round embeds all pictures, indexes them all, and brings that index up to date with one
per cent more; each is the whole call, with the start of its actors. What follows of the job, a measurement of what
unrelated texts reach and the page, is not in it.
"""

import shutil
import time
from pathlib import Path

import ray
from common import cut_pictures, fresh, load, median, median_ratio, options, write_manifest

from gencv.core.manifest import Manifest
from gencv.models.encoders import load_encoder
from gencv.pipelines import cluster
from gencv.pipelines.embed import embed
from gencv.pipelines.index import index_manifest


def main() -> None:
    parser = options(__doc__, count=5000)
    parser.add_argument("--encoder", default="starter")
    args = parser.parse_args()
    more = args.count // 100
    paths = cut_pictures(args.pictures, args.work, args.count + more)
    all_but_new, _ = write_manifest(paths[: args.count], args.work / "manifest-index")
    with_new, _ = write_manifest(spread(paths, more), args.work / "manifest-index-more")
    encoder = load_encoder(args.encoder)
    cluster.connect("local")
    times: dict[str, list[float]] = {"embed": [], "index": [], "index 1 % more": []}
    for _ in range(args.repeats):
        print(load(), flush=True)
        embedded, indexed = fresh(args.work, "embed"), fresh(args.work, "index")
        start = time.perf_counter()
        embed(all_but_new, Manifest.load(all_but_new), encoder, embedded)
        times["embed"].append(time.perf_counter() - start)
        for name, manifest, added in (("index", all_but_new, args.count), ("index 1 % more", with_new, more)):
            start = time.perf_counter()
            changes, _ = index_manifest(manifest, Manifest.load(manifest), encoder, indexed)
            times[name].append(time.perf_counter() - start)
            assert changes.added == added and not changes.changed
        print({name: round(values[-1], 2) for name, values in times.items()}, flush=True)
        shutil.rmtree(embedded)
        shutil.rmtree(indexed)
    ray.shutdown()
    for name, values in times.items():
        print(f"  {name:20}", median(values), "s")
    print("  indexing / embed    ", median_ratio(times["embed"], times["index"]), "of its pictures a second")
    print("  1 % more / all      ", median_ratio(times["index 1 % more"], times["index"]), "of its time")


def spread(paths: list[Path], more: int) -> list[Path]:
    """Put the last `more` of the pictures evenly between the others, as new ones come in a folder by name."""
    old, new = paths[: len(paths) - more], paths[len(paths) - more :]
    step = len(old) // more
    return [path for k, one in enumerate(new) for path in (*old[k * step : (k + 1) * step], one)] + old[more * step :]


if __name__ == "__main__":
    main()
