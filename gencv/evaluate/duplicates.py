"""Near-duplicates in a whole table: what a chain of pictures that an encoder finds alike joins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gencv.core.embeddings import matrix
from gencv.index.table import Index

DUPLICATE_COSINE = 0.98
"""Cosine from which two pictures count as near-duplicates: on 12,000 private photographs .99 left copies apart, and
.97 merged shots of one scene (as reported for CLIP's encoders); another encoder may want another one."""
MAX_NEIGHBOURS = 20
"""Neighbours of each picture that are looked at; a chain of them joins a group however large it is."""
EXACT_ROWS = 100_000
"""Up to so many rows are compared each with each: 200 s on two cores at 512 dimensions."""
_CELLS = 2**26  # cosines held at a time: 256 MB

Pairs = tuple[np.ndarray, np.ndarray]
"""Rows int [E, 2] and their cosines float32 [E]."""


@dataclass(frozen=True)
class Duplicates:
    """`groups` are rows, largest first, those with the nearest twin first; `nearest` float32 [N] is the cosine to the
    nearest other row, NaN where none is near enough."""

    groups: list[np.ndarray]
    nearest: np.ndarray


def find_duplicates(index: Index, cosine: float = DUPLICATE_COSINE) -> tuple[list[str], Duplicates]:
    """Look through a whole index; returns the ids of its rows in order, which the groups refer to."""
    table = index.scan(["id", "vector"])
    ids, vectors = table["id"].to_pylist(), matrix(table["vector"], index.space.dim)
    if len(ids) <= EXACT_ROWS:
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


def near_pairs(vectors: np.ndarray, cosine: float = DUPLICATE_COSINE) -> Iterable[Pairs]:
    """Yield each row of unit vectors [N, D] with its nearest others, if they are that near, exactly."""
    count = min(MAX_NEIGHBOURS, len(vectors) - 1)
    rows_at_once = max(1, _CELLS // max(1, len(vectors)))
    for start in range(0, len(vectors) if count > 0 else 0, rows_at_once):
        found = vectors[start : start + rows_at_once] @ vectors.T
        own = np.arange(len(found))
        found[own, start + own] = -np.inf
        near = np.argpartition(-found, count - 1, axis=1)[:, :count]
        cosines = np.take_along_axis(found, near, axis=1)
        at, column = np.nonzero(cosines >= cosine)
        yield np.stack([start + at, near[at, column]], axis=1), cosines[at, column]


def join(pairs: Iterable[Pairs], num_rows: int) -> Duplicates:
    """Join near pairs to groups: the connected components of more than one row."""
    nearest = np.full(num_rows, np.nan, np.float32)
    edges = [np.empty((0, 2), np.int64)]
    for rows, cosines in pairs:
        edges.append(rows)
        for side in (0, 1):
            np.fmax.at(nearest, rows[:, side], cosines)
    one, other = np.concatenate(edges).T
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(num_rows, num_rows))
    _, component_of = connected_components(graph, directed=False)
    order = np.argsort(component_of, kind="stable")
    starts = np.flatnonzero(np.diff(component_of[order])) + 1
    groups = [rows[np.argsort(-nearest[rows], kind="stable")] for rows in np.split(order, starts) if len(rows) > 1]
    return Duplicates(sorted(groups, key=lambda rows: (-len(rows), int(rows.min()))), nearest)
