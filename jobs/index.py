"""Find pictures: index embeddings once, then ask by a sentence, a picture, or both.

    python jobs/index.py --embeddings /data/runs/embeddings --out /data/runs/index
    python jobs/index.py --index /data/runs/index --query "a red shoe" --where "split = 'test'" --out /data/runs/shoes
    python jobs/index.py --index /data/runs/index --image shoe.jpg --region 10 10 200 180 --query "in green" -k 20
    python jobs/index.py --index /data/runs/index --evaluate --out /data/runs/retrieval

The first brings the index in --out up to date: new and changed pictures are written, those that are gone removed, in
one commit. The others ask it, and leave a page where they get an --out: hits as a contact sheet; with --evaluate, how
well captions and pictures find each other; with --duplicates, what it holds more than once; with --map, a page to
wander through that opens offline. docs/search.md has all of them.
"""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tyro

from gencv.core import storage
from gencv.core.contracts import Encoder
from gencv.core.embeddings import Embeddings, matrix
from gencv.core.errors import BadImage, BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.core.manifest import read_image
from gencv.core.seeds import uniform_for
from gencv.evaluate.duplicates import EXACT_ROWS, MAX_NEIGHBOURS, Pairs, join, near_pairs
from gencv.evaluate.projection import MAX_POINTS, project, require_projection
from gencv.evaluate.retrieval import (
    Captioned,
    approximation,
    drawn_captions,
    image_to_text,
    text_ranks,
    text_to_image,
    through_index,
)
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.index.cutoff import CUTOFF, SHARE, Cutoff, calibrate
from gencv.index.fusion import COPY_COSINE
from gencv.index.layout import table_path
from gencv.index.query import Hits, Query, require_region
from gencv.index.query import run as ask
from gencv.index.table import Index
from gencv.models.encoders import load_encoder
from gencv.pipelines.index import index_embeddings
from gencv.plots.atlas import atlas_page
from gencv.plots.search import duplicates_report, evaluation_report, hits_report, index_report, map_report
from gencv.runs.launch import launch
from gencv.runs.run import Run

SHOWN = ("id", "uri", "caption", "thumbnail", "width", "height", "label", "generator", "family", "source", "split")
"""What is read of a hit."""
NUM_SAMPLE = 12
MAX_TIMED = 1000
"""Captions that are asked exactly and through the index, to see what it loses and how long it takes."""
TEXTS_AT_ONCE = 64
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Config:
    embeddings: str = ""
    """Folder written by embed: bring the index in --out up to date with it."""
    index: str = ""
    """Folder of an index: ask it."""
    out: str = ""
    """With --embeddings, the folder of the index. With --index, the folder of this run; default: hits are printed."""

    query: str | None = None
    """What the pictures should show, in words."""
    negative: str | None = None
    """What they should not show."""
    image: str = ""
    """A picture like which they should be: a file or URI."""
    region: tuple[int, ...] = ()
    """The part of --image that counts: left, top, right, bottom, in px of the upright picture."""
    like: str = ""
    """The id of a picture of the index, in place of --image or beside it."""
    text_weight: float = 1.0
    image_weight: float = 1.0
    """How much --image and --like count beside --query."""
    negative_weight: float = 0.5
    where: str = ""
    """A condition on what is known of the pictures, as in "split = 'test' AND width >= 640"."""
    k: Annotated[int, tyro.conf.arg(aliases=("-k",))] = 10
    """Hits on a page."""
    cursor: str = ""
    """What the page before printed: go on from there."""
    hybrid: bool = False
    """Rank by the words of the captions as well."""
    collapse: bool = False
    """Show one of those that look the same."""

    evaluate: bool = False
    """Judge the index by its captions: recall and median rank both ways, and the time of a query."""
    duplicates: bool = False
    """Report near-duplicates."""
    cosine: float = COPY_COSINE
    """With --duplicates: the least cosine between two of them."""
    map: bool = False
    """Lay the pictures out on a plane, as a page that opens offline."""
    projection: str = "tsne"
    """With --map: tsne, or umap (its package is not installed with gencv)."""
    colour: str = "generator"
    """With --map: a column of the index to colour by."""
    export: str = ""
    """Write hits, groups of near-duplicates, or by itself all rows into --out: json, csv, or parquet."""
    seed: int = 0
    max_bad_fraction: float = 0.05
    """With --embeddings: fail, after finishing, if more than this share of the pictures has no vector."""
    address: str | None = None
    """With --embeddings: Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """With --embeddings: processes; default: one a CPU."""

    def __post_init__(self) -> None:
        if bool(self.embeddings) == bool(self.index):
            raise BadInput("Give --embeddings to bring the index in --out up to date, or --index to ask one.")
        modes = [name for name in MODES if getattr(self, name)]
        if self.asks:
            modes.append("query")
        if self.embeddings and (modes or self.export):
            raise BadInput(f"--{(modes or ['export'])[0]} asks an index; give its folder as --index.")
        if self.embeddings and not self.out:
            raise BadInput("--embeddings needs --out, the folder of the index.")
        if self.index and len(modes) + bool(self.export) == 0:
            raise BadInput(
                "Nothing is asked; give --query, --image, --like, --evaluate, --duplicates, --map, or --export."
            )
        if len(modes) > 1:
            raise BadInput(
                f"{' and '.join(f'--{name}' for name in modes)} are questions of their own; ask one at a time."
            )
        for name, mode in USED_WITH.items():
            if getattr(self, name) != getattr(Config, name) and (self.embeddings or modes != [mode]):
                raise BadInput(f"--{name.replace('_', '-')} does nothing without --{mode}; leave it out.")
        if self.index and modes != ["query"] and not self.out:
            raise BadInput("--out is missing, the folder that the answer goes to.")
        if self.export and not self.out:
            raise BadInput("--export needs --out, the folder that the file goes to.")
        if self.export and (self.export not in EXPORTS or modes in (["evaluate"], ["map"])):
            if self.export in EXPORTS:
                raise BadInput(f"--export does nothing with --{modes[0]}; leave it out.")
            raise UnknownName("kind of file", self.export, EXPORTS)
        if self.region and (not self.image or len(self.region) != 4):
            raise BadInput("--region takes four numbers of px, left, top, right, and bottom, of an --image.")
        if not 0 < self.cosine <= 1:
            raise BadInput(f"--cosine is {self.cosine}; a number above 0, at most 1, is accepted.")
        require_projection(self.projection)

    @property
    def asks(self) -> bool:
        return self.query is not None or bool(self.image or self.like)


MODES = ("evaluate", "duplicates", "map")
USED_WITH = {
    **dict.fromkeys(("negative", "region", "text_weight", "image_weight", "negative_weight", "cursor"), "query"),
    **dict.fromkeys(("where", "k", "hybrid", "collapse"), "query"),
    "cosine": "duplicates",
    **dict.fromkeys(("projection", "colour"), "map"),
}
"""Flags that mean nothing without another one."""


def main(config: Config, run: Run) -> None:
    if config.embeddings:
        bring_up_to_date(config, run)
        return
    index = Index.open(config.index)
    if config.evaluate:
        evaluate(config, run, index)
    elif config.duplicates:
        find_duplicates(config, run, index)
    elif config.map:
        draw_map(config, run, index)
    elif config.asks:
        search(config, run, index)
    else:
        export_all(config, run, index)


def claim(run: Run, index: Index) -> None:
    """Claim the folder of a run, only now, as what cannot be answered must leave nothing behind."""
    run.begin(index=f"version {index.version}")


def bring_up_to_date(config: Config, run: Run) -> None:
    """Index what is new or changed, remove what is gone, and measure what unrelated texts reach."""
    embeddings = Embeddings.load(config.embeddings)
    run.renew("embeddings", embeddings=embeddings.digest())
    changes, done = index_embeddings(config.embeddings, run.dir, address=config.address, workers=config.workers)
    if changes.added or changes.changed or changes.removed or not storage.exists(run.path(CUTOFF)):
        measure_cutoff(embeddings, run.dir)
    index = Index.open(run.dir)
    counts, bad = asdict(changes), [*embeddings.bad(), *done.pop("bad")]
    facts = [*facts_of(index), *((f"Pictures {name}", value) for name, value in counts.items() if name != "version")]
    run.finish(
        index_report(storage_name(run.dir), facts, sample_of(index), where=where_of(config, index)),
        counts={"rows": index.num_rows, **counts, "work": done},
        figures={"space": index.space.digest(), "version": index.version},
        bad=bad,
        total=len(embeddings.manifest),
    )
    said = ", ".join(f"{value:,} {name}" for name, value in counts.items() if name != "version")
    print(f"{index.num_rows:,} pictures at version {index.version}: {said}.")


def measure_cutoff(embeddings: Embeddings, folder: str) -> None:
    """Measure from which score a match is good, where the encoder takes texts and there are pictures enough."""
    try:
        encoder = load_encoder(embeddings.space.encoder)
        calibrate(encoder, embeddings).save(folder)
    except (NotSupported, ModelUnavailable, BadInput) as error:
        print(f"Hits of this index have no cut-off: {error}")


def search(config: Config, run: Run, index: Index) -> None:
    """Answer a query: print the hits, and with --out draw them."""
    pixels = read_pixels(config.image, config.region, index) if config.image else None
    query = Query(
        text=given("query", config.query),
        negative=given("negative", config.negative),
        pixels=pixels,
        like_id=config.like,
        text_weight=config.text_weight,
        image_weight=config.image_weight,
        negative_weight=config.negative_weight,
        where=config.where,
        k=config.k,
        cursor=config.cursor,
        hybrid=config.hybrid,
        collapse=config.collapse,
    )
    encoder = load_encoder(index.space.encoder) if query.text or query.negative or pixels is not None else None
    started = time.perf_counter()
    hits = ask(query, index, encoder, Cutoff.load(config.index))
    milliseconds = 1000 * (time.perf_counter() - started)
    rows = rows_of(index, hits)
    remarks = remarks_on(hits)
    for rank, (score, uri) in enumerate(zip(rows["score"].to_pylist(), rows["uri"].to_pylist(), strict=True), 1):
        print(f"{rank:4d}  {score:.3f}  {uri}")
    for remark in remarks:
        print(remark)
    if hits.cursor:
        print(f"Next page: --cursor {hits.cursor}")
    if not config.out:
        return
    claim(run, index)
    if config.export:
        write_export(run, "hits", rows, config.export)
    said = {"hits": plain_rows(rows), "cursor": hits.cursor, "good": hits.good, "version": hits.version}
    storage.write_bytes(run.path("hits.json"), json.dumps(said, indent=1).encode())
    run.finish(
        hits_report(asked_in_words(config), rows, where=where_of(config, index), remarks=remarks),
        counts={"hits": rows.num_rows, "rows": index.num_rows},
        figures={"good": hits.good, "milliseconds": round(milliseconds, 1)},
    )
    print(f"Report: {run.path('report.html')}")


def given(name: str, text: str | None) -> str:
    """Return what a flag says, "" where it was not given. Raises BadInput for one that was given without words."""
    if text is not None and not text.strip():
        raise BadInput(f"--{name} has no words; say what to look for, or leave it out.")
    return text or ""


def read_pixels(place: str, region: tuple[int, ...], index: Index) -> np.ndarray:
    """Return the picture to look for, or a region of it, as the index's pictures were prepared, uint8 RGB [H, W, 3].

    Raises BadInput if it is none, or the region does not lie in it.
    """
    data = read_image(place)
    try:
        if isinstance(data, BadImage):
            raise data
        image = decode(data)
        if region:
            left, top, right, bottom = region
            require_region(image, (left, top, right, bottom))
            image = np.ascontiguousarray(image[top:bottom, left:right])
        prepared = index.space.preprocessing
        return image if prepared is None else Preprocessing.from_dict(prepared).apply(image)
    except BadImage as bad:
        raise BadInput(f"--image {place}: {bad}.") from None


def rows_of(index: Index, hits: Hits) -> pa.Table:
    """Return what the index knows of some hits, with `score` and `copies`, the number that was collapsed into each."""
    found = index.rows([hit.id for hit in hits.hits], SHOWN)
    found = found.append_column("score", pa.array([hit.score for hit in hits.hits], pa.float32()))
    return found.append_column("copies", pa.array([len(hit.copies) for hit in hits.hits], pa.int32()))


def remarks_on(hits: Hits) -> list[str]:
    """Say in sentences what a reader of these hits should know."""
    remarks = []
    if hits.good is False:
        remarks.append(
            f"No good match: the best cosine is {hits.strength:.3f}, and one unrelated text in {round(1 / SHARE)} "
            f"reaches {hits.level:.3f} here."
        )
    if hits.num_collapsed:
        remarks.append(f"{hits.num_collapsed} that look the same as a better hit are not shown.")
    return remarks


def asked_in_words(config: Config) -> str:
    """Say what was asked, as a title."""
    parts = [config.query or ""]
    if config.image:
        parts.append(f"like {storage_name(config.image)}" + (f" {config.region}" if config.region else ""))
    if config.like:
        parts.append(f"like {config.like}")
    if config.negative:
        parts.append(f"not {config.negative}")
    return ", ".join(part for part in parts if part)


def storage_name(place: str) -> str:
    return place.rstrip("/").rpartition("/")[2]


def where_of(config: Config, index: Index) -> str:
    """Say what was asked: the index, its encoder, and the condition."""
    condition = f", where {config.where}" if config.where else ""
    return f"{index.num_rows:,} pictures, encoder {index.space.encoder}, version {index.version}{condition}"


def evaluate(config: Config, run: Run, index: Index) -> None:
    """Judge an index by the captions of its pictures: Karpathy's protocol, exactly and through the index."""
    table = everything(index, ["id", "caption", "vector"])
    ids = table["id"].to_pylist()
    texts, owners = drawn_captions([found or () for found in table["caption"].to_pylist()])
    if not texts:
        raise BadInput(f"The pictures of {config.index} have no captions; index a source that has them, as coco: does.")
    captions = encode(load_encoder(index.space.encoder), texts)
    data = Captioned(matrix(table["vector"], index.space.dim), captions, owners)
    names = [ids[owner] for owner in owners]
    retrieval = {
        "text to image, exact": text_to_image(data, seed=config.seed),
        "text to image, through the index": through_index(
            index, captions, names, num_candidates=len(ids), seed=config.seed
        ),
        "image to text, exact": image_to_text(data, seed=config.seed),
    }
    drawn = np.random.default_rng(config.seed).permutation(len(captions))[:MAX_TIMED]
    lost = approximation(index, captions[np.sort(drawn)], seed=config.seed)
    sizes = {"table": storage.size_of(table_path(config.index)), "vectors": 4 * index.space.dim * len(ids)}
    ranks = text_ranks(data)
    worst = np.argsort(-ranks, kind="stable")[:NUM_SAMPLE]
    missed = index.rows([names[row] for row in worst], SHOWN)
    misses = [(texts[row], int(ranks[row])) for row in worst]
    told = {
        "retrieval": {name: asdict(found) for name, found in retrieval.items()},
        "index": asdict(lost),
        "bytes": sizes,
        "version": index.version,
    }
    claim(run, index)
    storage.write_bytes(run.path("retrieval.json"), json.dumps(told, indent=1).encode())
    run.finish(
        evaluation_report(retrieval, lost, sizes, missed, misses, where=where_of(config, index)),
        counts={"rows": len(ids), "captions": len(texts)},
        figures={f"{way}, {name}": found.value for way, r in retrieval.items() for name, found in r.figures.items()},
    )
    for way, found in retrieval.items():
        said = ", ".join(f"{name} {metric.text()}" for name, metric in found.figures.items())
        print(f"{way} ({found.num_queries:,} queries): {said}")
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in lost.milliseconds.items())
    print(f"The index finds {lost.recall.text()} of the exact {lost.k} best; {times}")
    print(f"Report: {run.path('report.html')}")


def encode(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Encode captions as they are, float32 [C, D]."""
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    return np.concatenate([encoder.texts(texts[start : start + TEXTS_AT_ONCE]) for start in starts])


def find_duplicates(config: Config, run: Run, index: Index) -> None:
    """Report what stands in the index more than once."""
    table = everything(index, ["id", "vector"])
    ids, vectors = table["id"].to_pylist(), matrix(table["vector"], index.space.dim)
    small = len(ids) <= EXACT_ROWS
    pairs = near_pairs(vectors, config.cosine) if small else pairs_by_index(index, ids, vectors, config.cosine)
    found = join(pairs, len(ids))
    shown = []
    for group in found.groups:
        rows = index.rows([ids[row] for row in group], SHOWN)
        shown.append(rows.append_column("nearest", pa.array(found.nearest[group], pa.float32())))
    told = [{"ids": [ids[row] for row in g], "nearest": [float(found.nearest[row]) for row in g]} for g in found.groups]
    claim(run, index)
    storage.write_bytes(run.path("duplicates.json"), json.dumps(told, indent=1).encode())
    if config.export:
        numbered = [rows.append_column("group", pa.array([k] * len(rows))) for k, rows in enumerate(shown, 1)]
        write_export(run, "groups", pa.concat_tables(numbered) if numbered else index.rows([], SHOWN), config.export)
    extra = sum(len(group) - 1 for group in found.groups)
    run.finish(
        duplicates_report(shown, cosine=config.cosine, num_rows=len(ids), where=where_of(config, index)),
        counts={"rows": len(ids), "groups": len(found.groups), "could_go": extra},
        figures={"cosine": config.cosine},
    )
    print(f"{len(found.groups)} groups of near-duplicates; {extra} of {len(ids):,} pictures could go.")
    print(f"Report: {run.path('report.html')}")


def pairs_by_index(index: Index, ids: list[str], vectors: np.ndarray, cosine: float) -> Iterator[Pairs]:
    """Yield each row with its nearest others as the index finds them, for tables too large to compare all with all."""
    row_of = {name: row for row, name in enumerate(ids)}
    for row, vector in enumerate(vectors):
        found = index.nearest(vector, MAX_NEIGHBOURS + 1)
        near = [
            (row_of[name], score)
            for name, score in zip(found["id"].to_pylist(), found["score"].to_pylist(), strict=True)
            if score >= cosine and row_of[name] != row
        ]
        yield np.array([(row, other) for other, _ in near], np.int64).reshape(-1, 2), np.array([s for _, s in near])


def draw_map(config: Config, run: Run, index: Index) -> None:
    """Lay some pictures out on a plane, as a page of its own beside the report."""
    if config.colour not in index.columns:
        raise UnknownName("column", config.colour, index.columns)
    ids = sorted(index.digests())
    chosen = sorted(ids, key=lambda name: uniform_for(config.seed, name, "map"))[:MAX_POINTS]
    rows = index.rows(chosen, [*SHOWN, "vector"])
    laid = project(matrix(rows["vector"], index.space.dim), config.seed, method=config.projection)
    names = ["unknown" if value in (None, "") else str(value) for value in rows[config.colour].to_pylist()]
    title = f"A map of {storage_name(config.index)}"
    page = atlas_page(laid.points, rows, names, title=title, subtitle=f"{len(names):,} of {where_of(config, index)}")
    claim(run, index)
    storage.write_bytes(run.path("map.html"), page.encode())
    genuine = sorted({name for name, label in zip(names, rows["label"].to_pylist(), strict=True) if label == 0})
    run.finish(
        map_report(laid.points, names, genuine=genuine, method=config.projection, where=where_of(config, index)),
        counts={"rows": index.num_rows, "points": len(names)},
        figures={},
    )
    print(f"Map: {run.path('map.html')}")


def everything(index: Index, columns: list[str]) -> pa.Table:
    """Return some columns of all rows, in the order of their ids."""
    ids = sorted(index.digests())
    starts = range(0, len(ids), ROWS_AT_ONCE)
    return pa.concat_tables([index.rows(ids[start : start + ROWS_AT_ONCE], columns) for start in starts])


def facts_of(index: Index) -> list[tuple[str, Any]]:
    """Say what an index holds."""
    return [
        ("Pictures", index.num_rows),
        ("Encoder", index.space.encoder),
        ("Dimensions", index.space.dim),
        ("Version", index.version),
        ("Columns for --where", ", ".join(index.columns)),
    ]


def sample_of(index: Index) -> pa.Table:
    """Return some rows of an index, the same ones as long as they are there."""
    ids = sorted(index.digests())
    return index.rows(sorted(ids, key=lambda name: uniform_for(0, name, "sample"))[:NUM_SAMPLE], SHOWN)


def export_all(config: Config, run: Run, index: Index) -> None:
    """Write what the index knows of every picture, thumbnails and vectors apart."""
    rows = everything(index, [name for name in SHOWN if name != "thumbnail"])
    claim(run, index)
    place = write_export(run, "index", rows, config.export)
    run.finish(
        index_report(storage_name(config.index), facts_of(index), sample_of(index), where=where_of(config, index)),
        counts={"rows": rows.num_rows},
        figures={},
    )
    print(f"{rows.num_rows:,} rows: {place}")


def plain_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as JSON has them, without their thumbnails."""
    found: list[dict[str, Any]] = rows.drop_columns([n for n in ("thumbnail",) if n in rows.column_names]).to_pylist()
    return found


def write_export(run: Run, name: str, rows: pa.Table, kind: str) -> str:
    """Write rows without their thumbnails as NAME.KIND; returns the place."""
    place = run.path(f"{name}.{kind}")
    storage.write_bytes(place, EXPORTS[kind](rows.drop_columns([n for n in ("thumbnail",) if n in rows.column_names])))
    return place


def to_json(rows: pa.Table) -> bytes:
    return json.dumps(rows.to_pylist(), indent=1, ensure_ascii=False).encode()


def to_csv(rows: pa.Table) -> bytes:
    """A cell holds one text, so that several captions stand in it as JSON."""
    columns = {
        name: pa.array([json.dumps(value, ensure_ascii=False) for value in rows[name].to_pylist()])
        if pa.types.is_list(rows[name].type)
        else rows[name]
        for name in rows.column_names
    }
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), buffer)
    return buffer.getvalue()


def to_parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer)
    return buffer.getvalue()


EXPORTS = {"json": to_json, "csv": to_csv, "parquet": to_parquet}
"""Kinds of files that rows are written as."""

if __name__ == "__main__":
    launch(main)
