"""How well texts find their pictures and pictures their texts, and what an approximate search loses.

The protocol is Karpathy and Fei-Fei's (2015, arXiv:1412.2306): every picture has at most five captions. Text to image:
each caption is a query, and its own picture the one right answer among all pictures. Image to text: each picture is a
query, and any of its captions is right. Ranks begin with 1, and what scores as much as the right answer stands before
it: a tie counts against the query. Intervals are by picture, for the captions of one picture fail together.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadInput
from gencv.evaluate.intervals import NUM_REPLICATES, bootstrap
from gencv.evaluate.metrics import Metric, with_interval
from gencv.index.query import Searched

MAX_CAPTIONS = 5
DEPTHS = (1, 5, 10)
TIE = 1e-6
"""Cosines closer than this are one: blocks of a product round differently."""
_CELLS = 8_000_000  # scores at a time, 32 MB
MEDIAN = "median rank"


@dataclass(frozen=True)
class Captioned:
    """Pictures and their captions as unit vectors of one space."""

    pictures: np.ndarray
    """float32 [N, D]."""
    captions: np.ndarray
    """float32 [C, D]."""
    owners: np.ndarray
    """int [C], the picture of each caption."""

    def __post_init__(self) -> None:
        if not len(self.pictures) or not len(self.captions):
            raise BadInput("Retrieval is measured on pictures with captions; these have none.")
        if not (np.isfinite(self.pictures).all() and np.isfinite(self.captions).all()):
            raise BadInput("A vector holds NaN; leave pictures without a vector out.")
        assert len(self.owners) == len(self.captions)
        assert self.owners.min() >= 0 and self.owners.max() < len(self.pictures)


@dataclass(frozen=True)
class Retrieval:
    """Figures of one direction: recall@K in [0, 1] for K of DEPTHS, and the median rank, from 1."""

    figures: dict[str, Metric]
    chance: dict[str, float]
    """The recall of a random order."""
    num_queries: int
    num_candidates: int


@dataclass(frozen=True)
class Approximation:
    """An approximate search beside the exact one, on the same queries."""

    recall: Metric
    """Share of the exact k best that it finds; what scores as much as the k-th counts as found."""
    k: int
    milliseconds: dict[str, float]
    """Time of a query: p50 and p99 of the approximate search, exact p50 and exact p99."""
    num_queries: int


def drawn_captions(captions: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Return the first five captions of each picture, and their pictures, int [C]."""
    kept = [[text for text in some if text.strip()][:MAX_CAPTIONS] for some in captions]
    owners = np.repeat(np.arange(len(kept)), [len(some) for some in kept])
    return [text for some in kept for text in some], owners


def text_to_image(
    data: Captioned, ranks: np.ndarray, *, num_replicates: int = NUM_REPLICATES, seed: int = 0
) -> Retrieval:
    """Measure how well captions find their pictures, by their `text_ranks`; all pictures are candidates."""
    num = len(data.pictures)
    chance = {f"recall@{depth}": min(1.0, depth / num) for depth in DEPTHS}
    return _retrieval(ranks, data.owners, chance, num, num_replicates, seed)


def image_to_text(data: Captioned, *, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> Retrieval:
    """Measure how well pictures find one of their captions; those without a caption are no queries."""
    num = len(data.captions)
    pictures, counts = np.unique(data.owners, return_counts=True)
    chance = {f"recall@{depth}": float(np.mean([_chance(num, own, depth) for own in counts])) for depth in DEPTHS}
    return _retrieval(image_ranks(data), pictures, chance, num, num_replicates, seed)


def text_ranks(data: Captioned) -> np.ndarray:
    """Return the rank of each caption's own picture among all pictures, int [C] from 1."""
    ranks = np.empty(len(data.captions), np.int64)
    step = max(1, _CELLS // len(data.pictures))
    for start in range(0, len(data.captions), step):
        scores = data.captions[start : start + step] @ data.pictures.T
        owners = data.owners[start : start + step, None]
        own = np.take_along_axis(scores, owners, axis=1)
        ranks[start : start + step] = (scores >= own - TIE).sum(axis=1)  # the own picture is one of them
    return ranks


def image_ranks(data: Captioned) -> np.ndarray:
    """Return the rank of the best own caption among those of other pictures, int from 1, a captioned picture each."""
    pictures = np.unique(data.owners)
    ranks = np.empty(len(pictures), np.int64)
    step = max(1, _CELLS // len(data.captions))
    for start in range(0, len(pictures), step):
        rows = pictures[start : start + step]
        scores = data.pictures[rows] @ data.captions.T
        is_own = data.owners[None, :] == rows[:, None]
        best = np.where(is_own, scores, -np.inf).max(axis=1, keepdims=True)
        ranks[start : start + step] = 1 + ((scores >= best - TIE) & ~is_own).sum(axis=1)
    return ranks


def ranks_through(index: Searched, captions: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Return the rank, float [C] from 1, of each caption's picture in what the index finds; inf where it is not known.

    captions [C, D]; ids: of each caption's picture. Twice max(DEPTHS) hits are asked for: a rank is known if what comes
    last of them is worse than the picture, or nothing more is there, since ties count against the query.
    """
    asked = 2 * max(DEPTHS)
    ranks = np.full(len(captions), np.inf)
    for row, (vector, name) in enumerate(zip(captions, ids, strict=True)):
        found = index.nearest(vector, asked)
        scores = np.asarray(found["score"].to_numpy())
        own = [place for place, other in enumerate(found["id"].to_pylist()) if other == name]
        if own and (len(scores) < asked or scores[-1] < scores[own[0]] - TIE):
            ranks[row] = (scores >= scores[own[0]] - TIE).sum()
    return ranks


def through_index(
    index: Searched,
    captions: np.ndarray,
    ids: Sequence[str],
    *,
    num_candidates: int,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> Retrieval:
    """Measure text to image through an index. The median rank is None where it lies beyond what was asked for."""
    chance = {f"recall@{depth}": min(1.0, depth / num_candidates) for depth in DEPTHS}
    ranks = ranks_through(index, captions, ids)
    return _retrieval(ranks, np.array(ids), chance, num_candidates, num_replicates, seed)


def approximation(
    index: Searched, queries: np.ndarray, *, k: int = 10, num_replicates: int = NUM_REPLICATES, seed: int = 0
) -> Approximation:
    """Compare an index with the exact scan on queries [Q, D]: text queries, since those lie apart from the pictures."""
    if not len(queries):
        raise BadInput("An index is measured with queries; there are none.")
    times: dict[bool, list[float]] = {False: [], True: []}
    recalls = np.empty(len(queries))
    index.nearest(queries[0], k), index.nearest(queries[0], k, exact=True)  # files are opened by the first query
    for row, vector in enumerate(queries):
        found = {}
        for exact in (False, True):
            begun = time.perf_counter()
            found[exact] = index.nearest(vector, k, exact=exact)
            times[exact].append(1_000 * (time.perf_counter() - begun))
        recalls[row] = _overlap(found[False]["score"].to_numpy(), found[True]["score"].to_numpy())
    names = ((False, "p50", 50), (False, "p99", 99), (True, "exact p50", 50), (True, "exact p99", 99))
    interval = bootstrap(
        lambda weights: {"recall": weights @ recalls / weights.sum(axis=1)},
        np.arange(len(queries)),
        np.zeros(len(queries)),
        num_replicates=num_replicates,
        seed=seed,
    )["recall"]
    return Approximation(
        recall=with_interval(Metric(float(recalls.mean())), interval, len(queries)),
        k=k,
        milliseconds={name: float(np.percentile(times[exact], level)) for exact, name, level in names},
        num_queries=len(queries),
    )


def _overlap(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the exact scores that the found ones reach, as ann-benchmarks counts; 1 of an empty list."""
    return float(min((found >= exact.min() - TIE).sum(), len(exact)) / len(exact)) if len(exact) else 1.0


def _retrieval(
    ranks: np.ndarray, groups: np.ndarray, chance: dict[str, float], num_candidates: int, num_replicates: int, seed: int
) -> Retrieval:
    """ranks [Q] from 1, groups [Q]: the picture that each query belongs to."""
    hits = {f"recall@{depth}": (ranks <= depth).astype(float) for depth in DEPTHS}
    order = np.argsort(ranks, kind="stable")

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)
        found = {name: weights @ hit / total for name, hit in hits.items()}
        sums = weights[:, order].cumsum(axis=1)
        ends = [(sums < total[:, None] / 2).sum(axis=1), (sums <= total[:, None] / 2).sum(axis=1)]
        middle = (ranks[order][ends[0]] + ranks[order][ends[1]]) / 2
        found[MEDIAN] = np.where(np.isfinite(middle), middle, np.nan)
        return found

    intervals = bootstrap(statistics, groups, np.zeros(len(ranks)), num_replicates=num_replicates, seed=seed)
    values = {name: Metric(float(hit.mean())) for name, hit in hits.items()}
    num_groups = len(np.unique(groups))
    figures = {name: with_interval(value, intervals[name], num_groups) for name, value in values.items()}
    middle = float(np.median(ranks))
    if np.isfinite(middle):
        figures[MEDIAN] = with_interval(Metric(middle), intervals[MEDIAN])
    else:
        figures[MEDIAN] = Metric(None, reason=f"beyond the first {2 * max(DEPTHS)} that were asked for")
    return Retrieval(figures, chance, len(ranks), num_candidates)


def _chance(num: int, own: int, depth: int) -> float:
    """Return P(one of `own` captions is among the first `depth` of `num` in random order)."""
    missed = 1.0
    for place in range(min(depth, num)):
        missed *= max(0, num - own - place) / (num - place)
    return 1 - missed
