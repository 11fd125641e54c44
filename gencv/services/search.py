"""Answer questions to an index: what `index --query` prints, and what the search endpoint answers.

    searcher = Searcher("/data/runs/index")
    found = searcher.answer(Query(text="a red shoe"))

A question is answered in three steps, so that a service can put the second of many into one batch: `prepare` decodes a
picture, `encode` is the encoder, `answer` searches.
"""

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.contracts import Encoder
from gencv.core.embeddings import matrix
from gencv.core.errors import BadInput, BrokenIndex, GencvError, Gone, ModelUnavailable, NotFound, NotSupported
from gencv.core.seeds import uniform_for
from gencv.images.decode import Limits, decode
from gencv.images.preprocess import Preprocessing
from gencv.images.thumbnail import smaller
from gencv.index.compose import cut_region
from gencv.index.cursors import Cursor
from gencv.index.cutoff import CUTOFF, MAX_PICTURES, Cutoff, calibrate, encode_phrases
from gencv.index.query import Encoded, Hits, Query, encode, require_space, run
from gencv.index.rerank import Rerank
from gencv.index.table import Index
from gencv.models.encoders import load_encoder
from gencv.models.rerankers import load_reranker

TOLD = ("id", "uri", "caption", "width", "height", "label", "generator", "family", "source", "split")
"""What is told of a picture."""
MAX_KNOWN = 1_024
"""Questions whose vectors are kept: all pages of a listing are asked by the same one, to the last bit, whoever else was
in the batch."""

NEARLY = 0.1
"""By how much of its pictures an index may have changed since its cut-off was measured."""


@dataclass(frozen=True)
class Answer:
    """One page of a listing, and what the index knows of its hits."""

    hits: Hits
    rows: pa.Table
    """The columns that were asked for, `score`, and `copies`, the number that was collapsed into each. Where a reranker
    was at work, also `cosine`, and `reranked`, whether the score is the reranker's."""
    index: Index
    """The version that answered."""


class Searcher:
    """An index at its newest version, and the encoder and the reranker that it is asked with, loaded when needed.

    encoder: one that is loaded already. reranker: "" for none. limits: what a picture may be. hidden: columns that are
    neither told nor may be filtered by: whoever can ask `uri LIKE '/home/a%'` is told the uri letter by letter.
    """

    def __init__(
        self,
        folder: str,
        *,
        encoder: Encoder | None = None,
        reranker: str = "",
        device: str = "auto",
        limits: Limits | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self.folder, self.hidden = folder, hidden
        self.limits = limits or Limits()
        if encoder is not None:
            self.encoder = encoder
        self._reranker, self._device = reranker, device
        self._newest: Index | None = None
        self._cutoff: tuple[Cutoff, int] | None = None
        self._known: dict[str, Encoded] = {}

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the index. Raises ModelUnavailable."""
        return load_encoder(self.index().space.encoder, device=self._device)

    @cached_property
    def phrases(self) -> np.ndarray:
        """What a cut-off is measured by: seconds of work, once. Raises NotSupported."""
        return encode_phrases(self.encoder)

    @cached_property
    def rerank(self) -> Rerank:
        """Raises NotSupported where there is no reranker, and as `load_reranker`."""
        if not self._reranker:
            raise NotSupported("There is no reranker here; leave re-ranking out.")
        return Rerank(load_reranker(self._reranker, device=self._device), partial(decode, limits=self.limits))

    def load(self) -> None:
        """Load the encoder, and the reranker if there is one, before they are needed."""
        _ = self.encoder, self._reranker and self.rerank

    @property
    def columns(self) -> tuple[str, ...]:
        """What is told of a picture here."""
        return tuple(name for name in TOLD if name not in self.hidden)

    def index(self, cursor: str = "") -> Index:
        """Return the newest version, or the one that a cursor belongs to.

        Raises BadInput for what is no cursor, Gone where its version is not there any more, and as `Index.open`.
        """
        newest = self._newest
        if newest is None or newest.newest_version != newest.version:
            newest = self._newest = self._open(None)
        version = Cursor.parse(cursor).version if cursor else newest.version
        return newest if version == newest.version else self._open(version)

    def _open(self, version: int | None) -> Index:
        index = Index.open(self.folder, version=version)
        index.columns = {name: kind for name, kind in index.columns.items() if name not in self.hidden}
        return index

    def cutoff(self, index: Index) -> Cutoff | None:
        """Return from which score a match is good in a version; None where that was not measured.

        Until it is measured anew the last one stands for versions of nearly as many pictures.
        """
        if self._cutoff is None or self._cutoff[0].version != index.version:
            measured = Cutoff.load(self.folder, index.version)
            if measured is not None:
                self._cutoff = measured, index.num_rows
        if self._cutoff is None:
            return None
        cutoff, num_rows = self._cutoff
        return cutoff if abs(index.num_rows - num_rows) <= NEARLY * num_rows else None

    def prepare(self, data: bytes, region: tuple[int, ...] = ()) -> np.ndarray:
        """Return a picture, or a region of it, as the index's pictures were prepared, uint8 RGB [H, W, 3].

        region: left, top, right, bottom, in px of the upright picture. Raises BadImage, and BadInput where the region
        does not lie in the picture.
        """
        prepared = self.index().space.preprocessing
        if region:
            image = cut_region(decode(data, limits=self.limits), region)
        elif prepared is None:
            image = decode(data, limits=self.limits, min_side_px=self.encoder.transform.decode_side_px)
        else:
            image = decode(data, limits=self.limits)
        return image if prepared is None else Preprocessing.from_dict(prepared).apply(image)

    def encode(self, queries: Sequence[Query]) -> list[Encoded | GencvError]:
        """Encode the words and pictures of B questions in one batch; what one cannot be asked with is its own error."""
        digests = [query.digest() for query in queries]
        new = {digest: query for digest, query in zip(digests, queries, strict=True) if digest not in self._known}
        found: dict[str, Encoded | GencvError] = {one: self._known[one] for one in digests if one in self._known}
        found |= self._encoded(new)
        self._known |= {digest: found[digest] for digest in new if isinstance(found[digest], Encoded)}  # type: ignore[misc]
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return [found[digest] for digest in digests]

    def _encoded(self, queries: dict[str, Query]) -> dict[str, Encoded | GencvError]:
        try:
            return dict(zip(queries, encode(list(queries.values()), self.encoder), strict=True))
        except GencvError as error:
            if len(queries) == 1:
                return dict.fromkeys(queries, error)
            return {name: found for one in queries.items() for name, found in self._encoded(dict([one])).items()}

    def answer(
        self, query: Query, encoded: Encoded | None = None, *, columns: Sequence[str] = (), rerank: bool = False
    ) -> Answer:
        """Answer one page of a question.

        encoded: what `encode` made of it; else it is encoded here. columns: of the hits; () for all that are told.
        Raises BadInput as `query.run`, Gone for a page of a version that is gone, and BrokenIndex.
        """
        index = self.index(query.cursor)
        encoder = encoded or (self.encoder if query.needs_encoder else None)
        cutoff = self.cutoff(index) if query.is_text_only else None
        try:
            hits = run(query, index, encoder, cutoff, self.rerank if rerank else None)
            return Answer(hits, rows_of(index, hits, columns or self.columns), index)
        except BrokenIndex:
            if index is not self._newest:  # a version that was removed while it was read
                raise Gone("The version of this page is gone; begin anew without a cursor.") from None
            raise

    def measure_cutoff(self) -> str:
        """Measure from which score a match is good, and keep it beside the index; returns why that cannot be, or ""."""
        while True:
            index = self.index()
            try:
                require_space(self.encoder.space, index.space)
                drawn = draw_ids(index, 0, "cutoff", MAX_PICTURES)
                vectors = matrix(index.rows(drawn, ["vector"])["vector"], index.space.dim)
                calibrate(self.phrases, vectors, index.num_rows, index.version).save(self.folder)
            except (NotSupported, ModelUnavailable, BadInput) as error:
                storage.remove_file(storage.join(self.folder, CUTOFF))
                return str(error)
            if index.newest_version == index.version:  # else somebody wrote meanwhile, and may have measured before
                return ""

    def item(self, id: str) -> dict[str, Any]:
        """Return what is told of a picture. Raises NotFound."""
        (row,) = self.index().rows([id], self.columns).to_pylist()
        return dict(row)

    def thumbnail(self, id: str, size_px: int) -> bytes:
        """Return a JPEG of a picture whose longer side is `size_px` at most. Raises NotFound."""
        data = self.index().rows([id], ["thumbnail"])["thumbnail"][0].as_py()
        if data is None:
            raise NotFound(f"The index has no thumbnail of {id!r}.")
        return smaller(data, size_px)


def rows_of(index: Index, hits: Hits, columns: Sequence[str]) -> pa.Table:
    """Return what the index knows of some hits; see `Answer.rows`."""
    found = index.rows([hit.id for hit in hits.hits], columns)
    found = found.append_column("score", pa.array([hit.score for hit in hits.hits], pa.float32()))
    if hits.reranker:
        found = found.append_column("cosine", pa.array([hit.cosine for hit in hits.hits], pa.float32()))
        found = found.append_column("reranked", pa.array([hit.reranked for hit in hits.hits], pa.bool_()))
    return found.append_column("copies", pa.array([len(hit.copies) for hit in hits.hits], pa.int32()))


def draw_ids(index: Index, seed: int, purpose: str, count: int) -> list[str]:
    """Draw pictures of an index, each by its own number, so that most stay the same when others come and go."""
    ids = index.scan(["id"])["id"].to_pylist()
    return heapq.nsmallest(count, ids, key=lambda name: uniform_for(seed, name, purpose))
