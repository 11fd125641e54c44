"""Find pictures: index them once, then ask by a sentence, a picture, or both.

    python jobs/index.py --manifest /data/runs/manifest --out /data/runs/index
    python jobs/index.py --index /data/runs/index --query "a red shoe" --where "split = 'test'" --out /data/runs/shoes
    python jobs/index.py --index /data/runs/index --image shoe.jpg --region 10 10 200 180 --query "in green" -k 20
    python jobs/index.py --index /data/runs/index --evaluate --out /data/runs/retrieval

The first brings the index in --out up to date: new pictures are encoded and written, those that are gone removed, in
one commit. The others ask it, and leave a page where they get an --out: hits as a contact sheet; with --evaluate, how
well captions and pictures find each other; with --duplicates, what it holds more than once; with --map, a page to
wander through that opens offline. docs/search.md has all of them.
"""

import json
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import tyro

from gencv.core import storage
from gencv.core.contracts import Encoder
from gencv.core.embeddings import matrix, read_vectors
from gencv.core.errors import BadImage, BadInput, ModelUnavailable, UnknownName
from gencv.core.manifest import Manifest, read_image
from gencv.evaluate.duplicates import find_duplicates
from gencv.evaluate.projection import MAX_POINTS, project, require_projection
from gencv.evaluate.search import judge
from gencv.index import layout
from gencv.index.cursors import Cursor
from gencv.index.cutoff import Cutoff
from gencv.index.fusion import COPY_COSINE
from gencv.index.query import Query
from gencv.index.table import Index
from gencv.models.encoders import FOR_SEARCH, load_encoder
from gencv.pipelines.index import index_embeddings, index_manifest
from gencv.plots.atlas import atlas_page
from gencv.plots.search import duplicates_report, evaluation_report, hits_report, index_report, map_report
from gencv.runs.export import EXPORTS, write_export
from gencv.runs.launch import launch
from gencv.runs.report import Report
from gencv.runs.run import Run
from gencv.services.search import TOLD, Searcher, draw_ids

SHOWN = (*TOLD, "thumbnail")
NUM_SAMPLE = 12
UPDATES = ("manifest", "embeddings")
"""Options that bring an index up to date."""


@dataclass(frozen=True, kw_only=True)
class Config:
    manifest: str = ""
    """Folder written by manifest or preprocess: bring the index in --out up to date with it."""
    embeddings: str = ""
    """In its place, a folder written by embed."""
    index: str = ""
    """Folder of an index: ask it."""
    out: str = ""
    """With --manifest or --embeddings, the folder of the index. With --index, that of this run; default: none."""
    encoder: str = ""
    """With --manifest: starter, or ARCHITECTURE/WEIGHTS of open_clip. Default: the encoder of the index that is there,
    else ViT-B-16-SigLIP2/webli, or starter where that cannot be had."""

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
    rerank: str = ""
    """Order the first 50 anew by a network that sees --query and picture together, as Salesforce/blip-itm-base-coco."""

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
    """With --manifest or --embeddings: fail, after finishing, if more than this share of the pictures has no vector."""
    batch_size: int = 0
    """With --manifest: pictures in one forward pass; default: what suits the device."""
    address: str | None = None
    """With --manifest or --embeddings: Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """With --manifest or --embeddings: processes; default: one a GPU, else one a CPU."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.manifest, self.embeddings, self.index))) != 1:
            raise BadInput(
                "Give --manifest or --embeddings to bring the index in --out up to date, or --index to ask one."
            )
        modes = self.modes
        for name, mode in USED_WITH.items():
            if getattr(self, name) != getattr(Config, name) and mode not in modes:
                raise BadInput(f"--{name.replace('_', '-')} does nothing without --{mode}; leave it out.")
        if not self.index and len(modes) > 1:
            raise BadInput(f"--{modes[1]} asks an index; give its folder as --index.")
        if len(modes) > 2:
            raise BadInput(f"--{modes[1]} and --{modes[2]} are questions of their own; ask one at a time.")
        if self.index and len(modes) == 1 and not self.export:
            raise BadInput(
                "Nothing is asked; give --query, --image, --like, --evaluate, --duplicates, --map, or --export."
            )
        if not self.out and "query" not in modes:
            raise BadInput("--out is missing, the folder that the result goes to.")
        if self.export:
            if not self.out:
                raise BadInput("--export needs --out, the folder that the file goes to.")
            if self.export not in EXPORTS:
                raise UnknownName("kind of file", self.export, EXPORTS)
            if unfit := {*UPDATES, "evaluate", "map"}.intersection(modes):
                raise BadInput(f"--export does nothing with --{unfit.pop()}; leave it out.")
        if self.rerank and self.query is None:
            raise BadInput("--rerank compares pictures with a text; give it as --query.")
        if self.region and (not self.image or len(self.region) != 4):
            raise BadInput("--region takes four numbers of px, left, top, right, and bottom, of an --image.")
        if not 0 < self.cosine <= 1:
            raise BadInput(f"--cosine is {self.cosine}; a number above 0, at most 1, is accepted.")
        require_projection(self.projection)

    @property
    def modes(self) -> list[str]:
        """What is worked on, and what is asked of it, each by its flag."""
        asked = {"query": self.query is not None or self.image or self.like}
        asked |= {name: getattr(self, name) for name in ("evaluate", "duplicates", "map")}
        given = [name for name in (*UPDATES, "index") if getattr(self, name)]
        return [*given, *(name for name, is_asked in asked.items() if is_asked)]


USED_WITH = {
    **dict.fromkeys(("encoder", "batch_size"), "manifest"),
    **dict.fromkeys(("negative", "region", "text_weight", "image_weight", "negative_weight", "cursor"), "query"),
    **dict.fromkeys(("where", "k", "hybrid", "collapse", "rerank"), "query"),
    "cosine": "duplicates",
    **dict.fromkeys(("projection", "colour"), "map"),
}
"""Flags that mean nothing without another one."""


def main(config: Config, run: Run) -> None:
    if not config.index:
        bring_up_to_date(config, run)
        return
    searcher = Searcher(config.index, reranker=config.rerank)
    index = searcher.index(config.cursor)
    asked = config.modes[-1]
    if asked == "query":
        search(config, run, searcher)
        return
    {"evaluate": evaluate, "duplicates": duplicates, "map": draw_map, "index": export_all}[asked](config, run, index)


def bring_up_to_date(config: Config, run: Run) -> None:
    """Index what is new or changed, remove what is gone, and measure what unrelated texts reach."""
    how: dict[str, Any] = {"address": config.address, "workers": config.workers}
    encoder: Encoder | None
    if config.manifest:
        manifest = Manifest.load(config.manifest)
        encoder = open_encoder(config)
        run.renew(UPDATES, manifest=manifest.digest(), encoder_weights=encoder.space.weights)
        changes, done = index_manifest(config.manifest, manifest, encoder, run.dir, batch_size=config.batch_size, **how)
        without = manifest.bad()
    else:
        manifest, made, space = read_vectors(config.embeddings, ["id", "error"])
        encoder = None
        run.renew(UPDATES, manifest=manifest.digest(), space=space.digest())
        changes, done = index_embeddings(config.embeddings, run.dir, **how)
        without = [(uri, error) for uri, error in zip(manifest["uri"], made["error"].to_pylist(), strict=True) if error]
    index = Index.open(run.dir)
    if Cutoff.load(run.dir, index.version) is None:
        missing = Searcher(run.dir, encoder=encoder).measure_cutoff()
        if missing:
            print(f"Hits of this index have no cut-off: {missing}")
    counts = asdict(changes)
    del counts["version"]
    facts = [*facts_of(index), *((f"Pictures {name}", value) for name, value in counts.items())]
    run.finish(
        index_report(last_name(run.dir), facts, sample_of(index), where=where_of(config, index)),
        counts={"rows": index.num_rows, **counts, "work": done},
        figures={"space": index.space.digest(), "version": index.version},
        bad=[*without, *done.pop("bad")],
        total=len(manifest),
    )
    said = ", ".join(f"{value:,} {name}" for name, value in counts.items())
    print(f"{index.num_rows:,} pictures at version {index.version}: {said}.")


def open_encoder(config: Config) -> Encoder:
    """Load the encoder that is asked for, or that of the index that is there, or the best one that can be had."""
    if config.encoder:
        return load_encoder(config.encoder)
    table = layout.open_table(config.out)
    if table is not None:
        return load_encoder(layout.space_of(table, config.out).encoder)
    try:
        return load_encoder(FOR_SEARCH)
    except ModelUnavailable as error:
        print(f"{error} The encoder starter takes its place; --encoder chooses another.")
        return load_encoder("starter")


def search(config: Config, run: Run, searcher: Searcher) -> None:
    """Answer a query: print the hits, and with --out draw them."""
    pixels = read_pixels(config.image, config.region, searcher) if config.image else None
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
    if query.needs_encoder:
        searcher.load()
    started = time.perf_counter()
    found = searcher.answer(query, columns=SHOWN, rerank=bool(config.rerank))
    milliseconds = 1000 * (time.perf_counter() - started)
    index, hits, rows = found.index, found.hits, found.rows
    first = 1 + (Cursor.parse(config.cursor).offset if config.cursor else 0)
    for rank, (score, uri) in enumerate(zip(rows["score"].to_pylist(), rows["uri"].to_pylist(), strict=True), first):
        print(f"{rank:4d}  {score:.3f}  {uri}")
    for remark in hits.remarks():
        print(remark)
    if hits.cursor:
        print(f"Next page: --cursor {hits.cursor}")
    if not config.out:
        return
    told = rows.drop_columns("thumbnail")
    about = {
        name: getattr(hits, name) for name in ("good", "strength", "level", "chance", "version", "cursor", "reranker")
    }
    said = {"hits": told.to_pylist(), **about}
    run.begin(index_version=str(index.version))
    storage.write_bytes(run.path("hits.json"), json.dumps(said, indent=1).encode())
    if config.export:
        write_export(told, run.path(f"hits.{config.export}"))
    finish(
        run,
        hits_report(asked_in_words(config), rows, where=where_of(config, index), remarks=hits.remarks()),
        counts={"hits": rows.num_rows, "rows": index.num_rows},
        figures={"good": hits.good, "milliseconds": round(milliseconds, 1)},
    )


def given(name: str, text: str | None) -> str:
    """Return what a flag says, "" where it was not given. Raises BadInput for one that was given without words."""
    if text is not None and not text.strip():
        raise BadInput(f"--{name} has no words; say what to look for, or leave it out.")
    return text or ""


def read_pixels(place: str, region: tuple[int, ...], searcher: Searcher) -> np.ndarray:
    """Return the picture to look for, or a region of it. Raises BadInput if it is none, or the region not in it."""
    data = read_image(place)
    try:
        if isinstance(data, BadImage):
            raise data
        return searcher.prepare(data, region)
    except BadImage as bad:
        raise BadInput(f"--image {place}: {bad}.") from None


def asked_in_words(config: Config) -> str:
    """Say what was asked, as a title."""
    parts = [config.query or ""]
    if config.image:
        parts.append(f"like {last_name(config.image)}" + (f" {config.region}" if config.region else ""))
    if config.like:
        parts.append(f"like {config.like}")
    if config.negative:
        parts.append(f"not {config.negative}")
    return ", ".join(part for part in parts if part)


def evaluate(config: Config, run: Run, index: Index) -> None:
    """Judge an index by the captions of its pictures."""
    judged = judge(index, load_encoder(index.space.encoder), seed=config.seed)
    sizes = {
        "table, with its older versions,": storage.size_of(layout.table_path(index.folder)),
        "vectors alone": 4 * index.space.dim * index.num_rows,
    }
    missed = index.rows([name for name, _, _ in judged.worst], SHOWN)
    told = {
        "retrieval": {way: asdict(found) for way, found in judged.retrieval.items()},
        "index": asdict(judged.lost),
        "bytes": sizes,
        "version": index.version,
    }
    run.begin(index_version=str(index.version))
    storage.write_bytes(run.path("retrieval.json"), json.dumps(told, indent=1).encode())
    for way, found in judged.retrieval.items():
        said = ", ".join(f"{name} {metric.text()}" for name, metric in found.figures.items())
        print(f"{way} ({found.num_queries:,} queries): {said}")
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in judged.lost.milliseconds.items())
    print(f"The index finds {judged.lost.recall.text()} of the exact {judged.lost.k} best; {times}")
    figures = {
        f"{way}, {name}": m.value for way, found in judged.retrieval.items() for name, m in found.figures.items()
    }
    finish(
        run,
        evaluation_report(judged, sizes, missed, where=where_of(config, index)),
        counts={"rows": index.num_rows, "captions": judged.num_captions},
        figures=figures,
    )


def duplicates(config: Config, run: Run, index: Index) -> None:
    """Report what stands in the index more than once."""
    ids, found = find_duplicates(index, config.cosine)
    groups = []
    for number, group in enumerate(found.groups, 1):
        rows = index.rows([ids[row] for row in group], SHOWN)
        rows = rows.append_column("nearest", pa.array(found.nearest[group], pa.float32()))
        groups.append(rows.append_column("group", pa.array([number] * len(group), pa.int32())))
    told = [{name: rows[name].to_pylist() for name in ("id", "nearest")} for rows in groups]
    extra = sum(rows.num_rows - 1 for rows in groups)
    run.begin(index_version=str(index.version))
    storage.write_bytes(run.path("duplicates.json"), json.dumps(told, indent=1).encode())
    if config.export:
        columns = [*TOLD, "nearest", "group"]
        rows = pa.concat_tables(groups) if groups else pa.table({name: [] for name in columns})
        write_export(rows.select(columns), run.path(f"groups.{config.export}"))
    print(f"{len(groups)} groups of near-duplicates; {extra} of {len(ids):,} pictures could go.")
    finish(
        run,
        duplicates_report(groups, cosine=config.cosine, num_rows=len(ids), where=where_of(config, index)),
        counts={"rows": len(ids), "groups": len(groups), "could_go": extra},
        figures={"cosine": config.cosine},
    )


def draw_map(config: Config, run: Run, index: Index) -> None:
    """Lay some pictures out on a plane, as a page of its own beside the report."""
    if config.colour not in index.columns:
        raise UnknownName("column", config.colour, index.columns)
    if index.num_rows < 3:
        raise BadInput(f"A map needs three pictures at least; {config.index} has {index.num_rows}.")
    rows = index.rows(draw_ids(index, config.seed, "map", MAX_POINTS), [*SHOWN, "vector"])
    laid = project(matrix(rows["vector"], index.space.dim), config.seed, method=config.projection)
    names = ["unknown" if value in (None, "") else str(value) for value in rows[config.colour].to_pylist()]
    where = where_of(config, index)
    page = atlas_page(
        laid.points,
        rows,
        names,
        title=f"A map of {last_name(config.index)}",
        subtitle=f"{len(names):,} of {where}",
    )
    run.begin(index_version=str(index.version))
    storage.write_bytes(run.path("map.html"), page.encode())
    print(f"Map: {run.path('map.html')}")
    genuine = sorted({name for name, label in zip(names, rows["label"].to_pylist(), strict=True) if label == 0})
    finish(
        run,
        map_report(laid.points, names, genuine=genuine, method=config.projection, where=where),
        counts={"rows": index.num_rows, "points": len(names)},
        figures={},
    )


def export_all(config: Config, run: Run, index: Index) -> None:
    """Write what the index knows of every picture, thumbnails and vectors apart."""
    place = run.path(f"index.{config.export}")
    run.begin(index_version=str(index.version))
    write_export(index.scan(TOLD), place)
    print(f"{index.num_rows:,} rows: {place}")
    finish(
        run,
        index_report(last_name(config.index), facts_of(index), sample_of(index), where=where_of(config, index)),
        counts={"rows": index.num_rows},
        figures={},
    )


def finish(run: Run, report: Report, **told: Any) -> None:
    """Finish the run of a question, and say where its page lies."""
    run.finish(report, **told)
    print(f"Report: {run.path('report.html')}")


def facts_of(index: Index) -> list[tuple[str, Any]]:
    """Say what an index holds."""
    return [
        ("Pictures", index.num_rows),
        ("Encoder", index.space.encoder),
        ("Dimensions", index.space.dim),
        ("Version", index.version),
        ("Columns for --where", ", ".join(index.columns)),
    ]


def where_of(config: Config, index: Index) -> str:
    """Say what was asked: the index, its encoder, and the condition."""
    condition = f", where {config.where}" if config.where else ""
    return f"{index.num_rows:,} pictures, encoder {index.space.encoder}, version {index.version}{condition}"


def sample_of(index: Index) -> pa.Table:
    """Return some rows of an index, the same ones as long as they are there."""
    return index.rows(draw_ids(index, 0, "sample", NUM_SAMPLE), SHOWN)


def last_name(place: str) -> str:
    """Return how a folder or file is called, without the options of a URI."""
    return place.partition("?")[0].rstrip("/").rpartition("/")[2]


if __name__ == "__main__":
    launch(main)
