"""The pages of a search: what was found, how well texts and pictures find each other, what stands in an index twice."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core.errors import BadImage
from gencv.evaluate.projection import TITLES
from gencv.evaluate.search import Judged
from gencv.images.decode import decode
from gencv.plots.look import to_png
from gencv.plots.maps import draw_map
from gencv.plots.sheets import Tile, draw_tiles
from gencv.runs.report import Report, cell

MAX_ON_SHEET = 60
"""Hits on one contact sheet; the table has all of them."""
MAX_GROUPS = 20
MAX_IN_GROUP = 12
_GREY_TILE = np.full((64, 64, 3), 225, np.uint8)


def hits_report(asked: str, rows: pa.Table, *, where: str, remarks: Sequence[str] = ()) -> Report:
    """Show hits, best first. rows: id, score, uri, caption, thumbnail, and what else an index knows of a picture."""
    report = Report(f"Search: {asked}", where)
    report.headline("Hits", rows.num_rows)
    scores = rows["score"].to_pylist()
    if scores:
        report.headline(
            "Best score", scores[0], "cosine, the sum of reciprocal ranks with --hybrid, or P(match) with --rerank"
        )
    report.section("What was found", "Best first, left to right.")
    for remark in remarks:
        report.note(remark)
    add_hits(report, rows)
    return report


def add_hits(report: Report, rows: pa.Table) -> None:
    """Add a contact sheet and a table of hits."""
    if rows.num_rows == 0:
        report.note("Nothing in the index answers the filter.")
        return
    captions = [(found or [""])[0] for found in rows["caption"].to_pylist()]
    scores, uris = rows["score"].to_pylist(), rows["uri"].to_pylist()
    some = rows.slice(0, MAX_ON_SHEET)
    words = [
        f"{score:.3f}\n{fill(caption, 26, max_lines=4, placeholder=' …') or name_of(uri)}"
        for score, caption, uri in zip(scores, captions, uris, strict=True)
    ]
    report.figures({"hits": sheet_of(some, words[: some.num_rows])})
    columns = {"": range(1, len(uris) + 1), "score": scores, "picture": uris, "id": rows["id"].to_pylist()}
    if any(captions):
        columns["caption"] = captions
    report.table(list(columns), [list(line) for line in zip(*columns.values(), strict=True)])


def sheet_of(rows: pa.Table, words: Sequence[str], columns: int = 5) -> bytes:
    """Draw the thumbnails of some rows, words under each; a grey tile where a thumbnail is missing."""
    pictures = [thumbnail(data) for data in rows["thumbnail"].to_pylist()]
    return draw_tiles([Tile(image, text) for image, text in zip(pictures, words, strict=True)], columns, 900)


def thumbnail(data: bytes | None) -> np.ndarray:
    """Return the pixels of a thumbnail, grey ones if it cannot be read."""
    try:
        return decode(data or b"")
    except BadImage:
        return _GREY_TILE


def duplicates_report(groups: Sequence[pa.Table], *, cosine: float, num_rows: int, where: str) -> Report:
    """Show groups of near-duplicates, largest first. groups: rows of each, `nearest` the cosine to its nearest."""
    extra = sum(group.num_rows - 1 for group in groups)
    report = Report("Near-duplicates", where)
    report.headline("Groups", len(groups), f"cosine at least {cosine:g} between neighbours")
    report.headline("Could go", extra, f"of {num_rows:,} pictures, if one of each group stays")
    report.section(
        "What stands there more than once",
        "A group is what a chain of near-duplicates joins. The cosine under a picture is that to its nearest. Alike to "
        "an encoder is not the same picture: look before anything is deleted.",
    )
    if not groups:
        report.note("No two pictures are that near.")
    for number, group in enumerate(groups[:MAX_GROUPS], 1):
        some = group.slice(0, MAX_IN_GROUP)
        columns = (some[name].to_pylist() for name in ("nearest", "uri"))
        words = [f"{nearest:.3f}\n{name_of(uri)}" for nearest, uri in zip(*columns, strict=True)]
        more = "" if some.num_rows == group.num_rows else f", the first {some.num_rows} of them"
        report.figures(
            {f"group {number}": sheet_of(some, words, 6)}, f"Group {number}: {group.num_rows} pictures{more}."
        )
    if len(groups) > MAX_GROUPS:
        report.note(f"{len(groups) - MAX_GROUPS} smaller groups are not shown; duplicates.json has all of them.")
    return report


def index_report(name: str, facts: Sequence[Sequence[Any]], sample: pa.Table, *, where: str) -> Report:
    """Show what an index holds and what the last update did. facts: (what, value); sample: some rows of it."""
    report = Report(f"Index: {name}", where)
    for what, value in list(facts)[:4]:
        report.headline(what, value)
    report.section("What it holds")
    report.table(["", "value"], [list(fact) for fact in facts])
    if sample.num_rows:
        names = [name_of(uri) for uri in sample["uri"].to_pylist()]
        report.section("Some of its pictures")
        report.figures({"sample": sheet_of(sample, names, 6)})
    return report


def evaluation_report(judged: Judged, sizes: Mapping[str, int], missed: pa.Table, *, where: str) -> Report:
    """Show how well captions and pictures find each other, and what the index loses and costs.

    sizes: bytes by what they are of. missed: the pictures of the first of `judged.misses`.
    """
    retrieval, lost = judged.retrieval, judged.lost
    report = Report("Retrieval", where)
    first = next(iter(retrieval.values()))
    for name in list(first.figures)[:3]:
        metric = first.figures[name]
        report.headline(f"Text to image, {name}", metric.value, f"chance {first.chance[name]:.3f}")
    report.headline("Time of a query, p50", f"{lost.milliseconds['p50']:.1f} ms", f"p99 {lost.milliseconds['p99']:.1f}")
    report.section(
        "How well they find each other",
        "Karpathy's protocol: five captions of a picture at most. From text to image, every caption is a query, and "
        "its own picture the one right answer; from image to text, any of a picture's captions is right. Ties count "
        "against the query. Intervals are 95 %, by picture.",
    )
    names = list(first.figures)
    report.table(
        ["", *names, "queries", "candidates"],
        [
            [way, *(found.figures[name].text() for name in names), found.num_queries, found.num_candidates]
            for way, found in retrieval.items()
        ]
        + [
            [f"chance, {way.partition(',')[0]}", *(cell(found.chance.get(name)) for name in names), None, None]
            for way, found in retrieval.items()
            if way.endswith("exact")
        ],
    )
    report.note(
        "A caption may describe several pictures well, and only its own counts as right, so that these figures are too "
        "low rather than too high (for COCO: ECCV Caption, Chun et al. 2022, arXiv:2204.03359)."
    )
    report.section("What the index loses, and what it takes")
    report.table(
        ["", "value"],
        [
            [f"share of the exact {lost.k} best that it finds", lost.recall.text()],
            *([f"time of a query, {name}", f"{value:.1f} ms"] for name, value in lost.milliseconds.items()),
            *([f"size of the {name}", f"{size / 2**20:,.1f} MiB"] for name, size in sizes.items()),
        ],
        note=f"On {lost.num_queries:,} captions, asked one by one; encoding them is not in it.",
    )
    report.section("Captions that find their picture worst", "The picture, the rank it came on, the caption.")
    words = [f"rank {rank:,}\n{fill(caption, 32, max_lines=4, placeholder=' …')}" for _, caption, rank in judged.worst]
    report.figures({"worst captions": sheet_of(missed, words, 4)})
    return report


def map_report(points: np.ndarray, names: Sequence[str], *, genuine: Sequence[str], method: str, where: str) -> Report:
    """Show points [N, 2] on a plane, coloured by their names, for paper; map.html is the page to wander through."""
    report = Report("Map of an index", where)
    report.section(
        "The pictures on a plane",
        f"{TITLES[method]}: near points are alike to the encoder; distances between far clusters mean nothing. "
        "map.html, beside this page, shows the picture of each point.",
    )
    report.figures({TITLES[method]: to_png(draw_map(points, names, genuine=genuine))}, f"{len(points):,} pictures.")
    return report


def name_of(uri: str) -> str:
    """Return the last two names of a uri: the file, and the folder that often says what it is."""
    return "/".join(uri.split("/")[-2:])
