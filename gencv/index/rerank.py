"""The first hits of a listing, ordered anew by a reranker, which sees the text and a picture together.

An encoder sees them apart, so that one comparison of vectors is enough for each of millions of pictures. What sees both
knows better which of a few is meant, and runs a network for each. Which candidates it sees follows from the index
alone, and not from the page that is asked for, so that pages stay parts of one listing.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from gencv.core.contracts import Reranker
from gencv.core.embeddings import Space
from gencv.core.errors import BadImage
from gencv.core.manifest import read_checked

RERANKED = 50
"""Candidates of a listing that are ordered anew."""
_AT_ONCE = 10  # pictures that are decoded at a time


class Illustrated(Protocol):
    """What re-ranking needs of a table; `Index` is one."""

    @property
    def space(self) -> Space: ...

    def rows(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table: ...


@dataclass(frozen=True)
class Rerank:
    """A reranker, and how it comes to see the pictures of a table."""

    reranker: Reranker
    decode: Callable[[bytes], np.ndarray]
    """Bytes to uint8 RGB [H, W, 3]; raises BadImage."""

    def scores(self, text: str, ids: Sequence[str], index: Illustrated) -> np.ndarray:
        """Ask the reranker about pictures of a table -> float32 [N], P(they match the text).

        A picture that cannot be read at all scores 0: nothing speaks for it, and it keeps a place in the listing.
        Raises BadInput where a remote storage fails, since another page would then be of another order.
        """
        scores = np.zeros(len(ids), np.float32)
        for start in range(0, len(ids), _AT_ONCE):
            rows = index.rows(ids[start : start + _AT_ONCE], ["id", "uri", "thumbnail"]).to_pylist()
            is_raw = index.space.preprocessing is None
            found = {place: self.pixels(**row, is_raw=is_raw) for place, row in enumerate(rows, start)}
            seen = {place: pixels for place, pixels in found.items() if pixels is not None}
            if seen:
                scores[list(seen)] = self.reranker.scores(text, list(seen.values()))
        return scores

    def pixels(self, *, id: str, uri: str, thumbnail: bytes | None, is_raw: bool) -> np.ndarray | None:
        """Return the picture as it was encoded, in full where it lies at its uri, else its thumbnail; None for neither.

        is_raw: it was encoded as it came. At the uri of one that was preprocessed lies the picture from before.
        """
        for data in (read_checked(uri, id) if is_raw else None, thumbnail):
            if isinstance(data, bytes):
                with suppress(BadImage):
                    return self.decode(data)
        return None


def anew(
    order: Iterator[tuple[str, float]], text: str, index: Illustrated, rerank: Rerank
) -> Iterator[tuple[str, float]]:
    """Yield ids and scores of a listing, the first RERANKED as the reranker orders them, ties as they stood."""
    first = [name for name, _ in itertools.islice(order, RERANKED)]
    scores = rerank.scores(text, first, index)
    for place in np.argsort(-scores, kind="stable"):
        yield first[place], float(scores[place])
    yield from order
