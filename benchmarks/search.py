"""Search a million vectors: the index of gencv against the exact scan, LanceDB's defaults, and faiss, in one run.

    python benchmarks/search.py
    python benchmarks/search.py --count 200000

Needs faiss-cpu, which gencv itself does not. Result on 2 vCPU: docs/results.md.

Vectors are drawn in clusters with a decaying spectrum (about 30 directions carry most, as in CLIP's), block by block
into one file. Queries are out of distribution as texts are among pictures: each is a weak copy of one vector (cosine
about .3), a common offset that no vector has, the gap between the modalities (Liang et al. 2022, arXiv:2203.02053), and
noise of its own. Truth is the exact ten nearest, by matrix product. All ways answer the same queries one by one in
turns, so that whatever else runs slows all of them. Recall is of these ten. Building has no writing of rows in it; that
of gencv has its commit and its other two indices, of ids and captions.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from common import CORES, load, options
from lancedb.index import IvfPq

from gencv.core.embeddings import Space
from gencv.index.layout import row_schema
from gencv.index.table import Index, update, write_rows

DIM = 512
BLOCK = 50_000
"""Vectors that are drawn or compared at once: 100 MB."""
K = 10
EXACT = "gencv, exact scan"
VECTORS_PER_CLUSTER = 500

Search = Callable[[np.ndarray], list[int]]
"""One query float32 [D] -> the rows of its K nearest."""


@dataclass(frozen=True)
class Way:
    """A built index: how it answers, what it took."""

    name: str
    search: Search
    build_s: float
    bytes: int


def draw(count: int, work: Path) -> np.memmap:
    """Draw (once) and open unit vectors float32 [count, D]."""
    path = work / f"search-{count}x{DIM}.npy"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        vectors = np.lib.format.open_memmap(unfinished, "w+", np.float32, (count, DIM))
        centres, spectrum, rotation = shape_of(count)
        for start in range(0, count, BLOCK):
            rng = np.random.default_rng((1, start))
            some = min(BLOCK, count - start)
            near = centres[rng.integers(len(centres), size=some)]
            drawn = near + 0.7 * spectrum * rng.standard_normal((some, DIM), np.float32)
            vectors[start : start + some] = unit(drawn @ rotation)
        vectors.flush()
        unfinished.rename(path)
    return np.load(path, mmap_mode="r")


def shape_of(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cluster centres [C, D], the spectrum [D], and a rotation [D, D], so that no axis is special."""
    rng = np.random.default_rng(0)
    spectrum = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    centres = spectrum * rng.standard_normal((max(1, count // VECTORS_PER_CLUSTER), DIM), np.float32)
    rotation = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32)
    return centres, spectrum, rotation


def draw_queries(vectors: np.ndarray, num: int) -> np.ndarray:
    """Return unit queries float32 [num, D] that are out of the distribution of the vectors."""
    rng = np.random.default_rng(2)
    _, spectrum, rotation = shape_of(1)
    targets = vectors[np.sort(rng.choice(len(vectors), num, replace=False))]
    gap = unit(rng.standard_normal((1, DIM)).astype(np.float32))
    noise = unit((spectrum * rng.standard_normal((num, DIM), np.float32)) @ rotation)
    return unit(0.45 * targets + 0.8 * gap + 0.8 * noise)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def truth_of(vectors: np.ndarray, queries: np.ndarray) -> list[set[int]]:
    """Return the rows of the K nearest of every query, exactly."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    rows = np.full((len(queries), K), -1)
    for start in range(0, len(vectors), BLOCK):
        found = queries @ vectors[start : start + BLOCK].T
        own = np.argpartition(-found, K, axis=1)[:, :K]
        best = np.concatenate([best, np.take_along_axis(found, own, 1)], axis=1)
        rows = np.concatenate([rows, own + start], axis=1)
        kept = np.argsort(-best, axis=1)[:, :K]
        best, rows = np.take_along_axis(best, kept, 1), np.take_along_axis(rows, kept, 1)
    return [set(row.tolist()) for row in rows]


def blocks(vectors: np.ndarray) -> Iterator[tuple[int, pa.Array]]:
    """Yield the first row of each block and the block as a column."""
    for start in range(0, len(vectors), BLOCK):
        yield start, pa.FixedSizeListArray.from_arrays(np.asarray(vectors[start : start + BLOCK]).reshape(-1), DIM)


def gencv_ways(vectors: np.ndarray, work: Path) -> Iterator[Way]:
    """Build an index as the job does, and ask it with and without."""
    folder = work / "search-gencv"
    shutil.rmtree(folder, ignore_errors=True)
    space = Space(encoder="benchmark", weights="none", dim=DIM, transform={})
    schema = row_schema(space)
    start = time.perf_counter()
    written = []
    for first, column in blocks(vectors):
        columns = {"id": pa.array([f"{row:09d}" for row in range(first, first + len(column))]), "vector": column}
        nulls = {name: pa.nulls(len(column), schema.field(name).type) for name in schema.names if name not in columns}
        rows = pa.table([(columns | nulls)[name] for name in schema.names], schema=schema)
        written.append(write_rows(str(folder), rows, is_new=True))
    print(f"gencv: rows written in {time.perf_counter() - start:.1f} s", flush=True)
    start = time.perf_counter()
    update(str(folder), space, written, {name for one in written for name in one.ids})
    build_s = time.perf_counter() - start
    index = Index.open(str(folder))

    def ask(**how: Any) -> Search:
        return lambda query: [int(name) for name in index.nearest(query, K, **how)["id"].to_pylist()]

    yield Way(EXACT, ask(exact=True), 0.0, 0)
    yield Way("gencv", ask(), build_s, size_of(folder / "table.lance" / "_indices"))


def lancedb_ways(vectors: np.ndarray, work: Path) -> Iterator[Way]:
    """Build what LanceDB builds unasked."""
    folder = work / "search-lancedb"
    shutil.rmtree(folder, ignore_errors=True)
    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), DIM))])
    batches = (
        pa.RecordBatch.from_arrays([pa.array(range(first, first + len(column))), column], schema=schema)
        for first, column in blocks(vectors)
    )
    table = lancedb.connect(str(folder)).create_table("t", pa.RecordBatchReader.from_batches(schema, batches))
    start = time.perf_counter()
    table.create_index("vector", config=IvfPq(distance_type="cosine"))
    build_s = time.perf_counter() - start

    def ask(refine: int = 0) -> Search:
        def search(query: np.ndarray) -> list[int]:
            asked = table.search(query, vector_column_name="vector").distance_type("cosine").limit(K)
            asked = asked.refine_factor(refine) if refine else asked
            return list(asked.select(["row", "_distance"]).to_arrow()["row"].to_pylist())

        return search

    size = size_of(folder / "t.lance" / "_indices")
    yield Way("LanceDB's defaults: IvfPq", ask(), build_s, size)
    yield Way("the same, refine 10", ask(10), build_s, size)


def faiss_ways(vectors: np.ndarray, work: Path) -> Iterator[Way]:
    """Build faiss's flat scan, inverted lists, and graph, all in memory."""
    import faiss

    faiss.omp_set_num_threads(CORES)
    lists = int(4 * len(vectors) ** 0.5)

    def ask(index: Any, parameters: Any = None) -> Search:
        return lambda query: index.search(query[None], K, params=parameters)[1][0].tolist()

    def build(factory: str, num_trained: int) -> tuple[Any, float, int]:
        start = time.perf_counter()
        index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
        if num_trained:
            some = np.sort(np.random.default_rng(3).choice(len(vectors), min(len(vectors), num_trained), replace=False))
            index.train(np.ascontiguousarray(vectors[some]))
        for first in range(0, len(vectors), BLOCK):
            index.add(np.ascontiguousarray(vectors[first : first + BLOCK]))
        build_s = time.perf_counter() - start
        path = work / "search.faiss"
        faiss.write_index(index, str(path))
        size = path.stat().st_size
        path.unlink()
        return index, build_s, size

    flat, build_s, size = build("Flat", 0)
    yield Way("faiss, exact scan", ask(flat), build_s, size)
    inverted, build_s, size = build(f"IVF{lists},Flat", 64 * lists)
    for probes in (16, 64):
        yield Way(
            f"faiss IVF{lists}, {probes} probes", ask(inverted, faiss.SearchParametersIVF(nprobe=probes)), build_s, size
        )
    graph, build_s, size = build("HNSW32", 0)
    for width in (64, 256):
        yield Way(f"faiss HNSW32, ef {width}", ask(graph, faiss.SearchParametersHNSW(efSearch=width)), build_s, size)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(ways: list[Way], queries: np.ndarray, truth: list[set[int]]) -> None:
    """Ask every way every query, in turns, and print the table."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    hits = dict.fromkeys(seconds, 0)
    for way in ways:  # what is read from the disk once, and code that is loaded late
        for query in queries[:5]:
            way.search(query)
    for query, right in zip(queries, truth, strict=True):
        for way in ways:
            start = time.perf_counter()
            found = way.search(query)
            seconds[way.name].append(time.perf_counter() - start)
            hits[way.name] += len(right & set(found))
    scan = float(np.median(seconds[EXACT]))
    print(f"{'':38}recall@{K}   p50 ms   p99 ms  scan/p50   build s       MB")
    for way in ways:
        p50, p99 = np.percentile(seconds[way.name], [50, 99])
        recall = hits[way.name] / (K * len(queries))
        figures = f"{recall:9.4f}{1000 * p50:9.2f}{1000 * p99:9.2f}{scan / p50:10.1f}"
        print(f"{way.name:38}{figures}{way.build_s:10.1f}{way.bytes / 2**20:9.0f}")


def main() -> None:
    parser = options(__doc__, count=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    args = parser.parse_args()
    print(load(), flush=True)
    vectors = draw(args.count, args.work)
    queries = draw_queries(vectors, args.queries)
    truth = truth_of(vectors, queries)
    ways = []
    for name in dict.fromkeys(["gencv", *args.ways]):  # which has the exact scan, the measure of the others
        for way in WAYS[name](vectors, args.work):
            print(f"{way.name}: built in {way.build_s:.1f} s, {load()}", flush=True)
            ways.append(way)
    measure(ways, queries, truth)
    print(load())


WAYS = {"gencv": gencv_ways, "lancedb": lancedb_ways, "faiss": faiss_ways}

if __name__ == "__main__":
    main()
