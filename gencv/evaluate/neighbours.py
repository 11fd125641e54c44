"""The pictures that lie nearest in a detector's features: what a verdict may rest on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gencv.core.scope import unit

ROWS_AT_ONCE = 65_536
"""Rows of the gallery in one product: 256 queries against them take 64 MB."""


@dataclass(frozen=True)
class Neighbours:
    """For each of Q queries its nearest rows of a gallery, int [Q, K], and cosines float32 [Q, K], nearest first.

    Where there are fewer than K, the row is -1 and the cosine NaN.
    """

    rows: np.ndarray
    cosines: np.ndarray


def nearest(
    queries: np.ndarray, gallery: np.ndarray, query_ids: Sequence[str], gallery_ids: Sequence[str], count: int
) -> Neighbours:
    """Find the `count` rows of gallery [N, D] nearest to each of queries [Q, D] by cosine, exactly.

    A row with the id of the query, with a NaN, or of zeros is no neighbour, and a query of zeros has none. Equal
    cosines come in the order of the gallery.
    """
    ids = np.array(query_ids, dtype=object), np.array(gallery_ids, dtype=object)
    sides = unit(queries)
    rows = np.full((len(queries), count), -1)
    cosines = np.full((len(queries), count), -np.inf, np.float32)
    for start in range(0, len(gallery), ROWS_AT_ONCE):
        chunk = gallery[start : start + ROWS_AT_ONCE]
        found = np.nan_to_num(sides @ unit(chunk).T, nan=-np.inf)
        found[~queries.any(axis=1)] = -np.inf
        found[:, ~chunk.any(axis=1)] = -np.inf
        found[ids[0][:, None] == ids[1][None, start : start + len(chunk)]] = -np.inf
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + len(chunk)), found.shape)], axis=1)
        cosines = np.concatenate([cosines, found], axis=1)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        rows, cosines = np.take_along_axis(rows, best, 1), np.take_along_axis(cosines, best, 1)
    absent = np.isinf(cosines)
    return Neighbours(np.where(absent, -1, rows), np.where(absent, np.nan, cosines).astype(np.float32))


def without_copies(
    found: Neighbours, query_digests: Sequence[str], digest_of: Callable[[int], str], count: int
) -> Neighbours:
    """Keep the `count` nearest whose bytes are not those of the query; ask `found` for more than are wanted.

    digest_of: row of the gallery -> digest of its bytes, asked only as far as it is needed.
    """
    rows = np.full((len(found.rows), count), -1)
    cosines = np.full((len(found.rows), count), np.nan, np.float32)
    for query, digest in enumerate(query_digests):
        kept = 0
        for row, cosine in zip(found.rows[query], found.cosines[query], strict=True):
            if kept < count and row >= 0 and digest_of(int(row)) != digest:
                rows[query, kept], cosines[query, kept] = row, cosine
                kept += 1
    return Neighbours(rows, cosines)
