"""Near-duplicates in a whole table: what a chain of pictures that an encoder finds alike joins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gencv.core.embeddings import matrix
from gencv.index.fusion import COPY_COSINE
from gencv.index.table import Index

MAX_NEIGHBOURS = 20
"""Neighbours of each picture that are looked at in a larger table."""
COMPARED_ROWS = 100_000
"""Up to so many rows are compared each with each: 200 s on two cores at 512 dimensions."""
_CELLS = 2**24  # cosines held at a time: 64 MB, and four times that where all of them are near

Pairs = tuple[np.ndarray, np.ndarray]
"""Rows int [E, 2] that belong to one group, and float32 [E]: their cosine, or NaN where a third row joins them."""


@dataclass(frozen=True)
class Duplicates:
    """`groups` are rows, largest first, those with the nearest twin first; `nearest` float32 [N] is the cosine to the
    nearest other row, NaN where none is near enough."""

    groups: list[np.ndarray]
    nearest: np.ndarray


def find_duplicates(index: Index, cosine: float = COPY_COSINE) -> tuple[list[str], Duplicates]:
    """Look through a whole index; returns the ids of its rows in order, which the groups refer to."""
    table = index.scan(["id", "vector"])
    ids, vectors = table["id"].to_pylist(), matrix(table["vector"], index.space.dim)
    if len(ids) <= COMPARED_ROWS:
        return ids, join(near_pairs(vectors, cosine), len(ids))
    return ids, join(pairs_by_index(index, ids, vectors, cosine), len(ids))


def pairs_by_index(index: Index, ids: Sequence[str], vectors: np.ndarray, cosine: float) -> Iterable[Pairs]:
    """Yield each row with its nearest others as the index finds them, for tables too large to compare all with all."""
    row_of = {name: row for row, name in enumerate(ids)}
    for row, vector in enumerate(vectors):
        found = index.nearest(vector, MAX_NEIGHBOURS + 1)
        others = np.array([row_of[name] for name in found["id"].to_pylist()], np.int64)
        cosines = found["score"].to_numpy()
        near = (cosines >= cosine) & (others != row)
        yield np.stack([np.full(near.sum(), row), others[near]], axis=1), cosines[near]


def near_pairs(vectors: np.ndarray, cosine: float = COPY_COSINE) -> Iterable[Pairs]:
    """Compare all rows of unit vectors [N, D]: yield each with its nearest other, and what else joins the near ones.

    Of the near pairs in a block only as many are kept as join the same rows: N copies of one make no N * N pairs.
    """
    rows_at_once = max(1, _CELLS // max(1, len(vectors)))
    for start in range(0, len(vectors), rows_at_once):
        found = vectors[start : start + rows_at_once] @ vectors.T
        own = np.arange(len(found))
        found[own, start + own] = -np.inf
        best = found.argmax(axis=1)
        cosines = found[own, best]
        near = cosines >= cosine
        yield np.stack([start + own[near], best[near]], axis=1), cosines[near]
        at, column = np.nonzero(found >= cosine)
        forest = _spanning(np.stack([start + at, column], axis=1), len(vectors))
        yield forest, np.full(len(forest), np.nan, np.float32)


def _spanning(edges: np.ndarray, num_rows: int) -> np.ndarray:
    """Return edges int [F, 2] that join the same rows as edges [E, 2] do, each row to the first of its component."""
    component_of = _components(edges, num_rows)
    rows = np.unique(edges)
    _, first, of = np.unique(component_of[rows], return_index=True, return_inverse=True)
    return np.stack([rows, rows[first][of]], axis=1)


def _components(edges: np.ndarray, num_rows: int) -> np.ndarray:
    """Return the number of each row's connected component, int [N]."""
    one, other = edges.T
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(num_rows, num_rows))
    return np.asarray(connected_components(graph, directed=False)[1])


def join(pairs: Iterable[Pairs], num_rows: int) -> Duplicates:
    """Join near pairs to groups: the connected components of more than one row."""
    nearest = np.full(num_rows, np.nan, np.float32)
    edges = [np.empty((0, 2), np.int64)]
    for rows, cosines in pairs:
        edges.append(rows)
        for side in (0, 1):
            np.fmax.at(nearest, rows[:, side], cosines)
    component_of = _components(np.concatenate(edges), num_rows)
    order = np.argsort(component_of, kind="stable")
    starts = np.flatnonzero(np.diff(component_of[order])) + 1
    groups = [rows[np.argsort(-nearest[rows], kind="stable")] for rows in np.split(order, starts) if len(rows) > 1]
    return Duplicates(sorted(groups, key=lambda rows: (-len(rows), int(rows.min()))), nearest)
