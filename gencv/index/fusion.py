"""Ranked lists: two into one, and copies out of one."""

from collections.abc import Iterator, Sequence

import numpy as np

RRF_K = 60
"""The constant of Cormack, Clarke, and Büttcher 2009 (SIGIR), which they found near the best on four collections."""
COPY_COSINE = 0.98
"""Cosine from which two pictures count as one: .99 leaves shots of one burst apart, .97 joins other scenes."""


def fuse(*rankings: Sequence[str]) -> list[tuple[str, float]]:
    """Join rankings of ids, best first, by the sum of 1 / (60 + rank), rank from 1; equal sums go by id.

    Only ranks count, so that a cosine and a text score need no common scale; what is missing in a ranking adds nothing.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


class Originals:
    """Tell, hit after hit in order of rank, of which better hit each is a copy.

    A hit is a copy of the first better original at a cosine of COPY_COSINE or more, and is no original itself; so what
    is said of a hit never depends on how far a listing is read.
    """

    def __init__(self, dim: int) -> None:
        self.vectors = np.empty((0, dim), np.float32)

    def __call__(self, vectors: np.ndarray) -> Iterator[int | None]:
        """The next hits' unit vectors float32 [B, D] -> for each the number of its original, None for a new one."""
        known = vectors @ self.vectors.T >= COPY_COSINE
        among = vectors @ vectors.T >= COPY_COSINE
        fresh: list[int] = []
        before = len(self.vectors)
        for row in range(len(vectors)):
            copied = np.flatnonzero(known[row])
            inside = [place for place, other in enumerate(fresh) if among[row, other]]
            if len(copied):
                yield int(copied[0])
            elif inside:
                yield before + inside[0]
            else:
                fresh.append(row)
                yield None
        self.vectors = np.concatenate([self.vectors, vectors[fresh]])
