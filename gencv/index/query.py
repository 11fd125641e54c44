"""Ask a table of pictures: by text, picture, region, more like this, all of them with weights, and less of something.

    index = Index.open(folder)
    found = run(Query(text="a red shoe", where="source = 'shop'"), index, load_encoder("starter"))
    again = run(Query(text="a red shoe", where="source = 'shop'", cursor=found.cursor), index, encoder)

Pages are stable: a cursor pins the version of the table, and an approximate search is always asked for the same depths
(LEVELS), so that what the first page shows neither comes again nor is lost when a deeper page needs more candidates.
"""

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from gencv.core.contracts import Encoder
from gencv.core.embeddings import Space, matrix
from gencv.core.errors import BadInput
from gencv.core.scope import unit
from gencv.index.compose import compose, encode_pictures, encode_texts, mean_direction
from gencv.index.cursors import Cursor
from gencv.index.cutoff import SHARE, Cutoff
from gencv.index.filters import parse_filter
from gencv.index.fusion import Originals, fuse
from gencv.index.rerank import RERANKED, Rerank, anew

MAX_K = 1_000
"""Hits on a page."""
MAX_WEIGHT = 1_000
"""Of a part of a query against the others."""
MAX_LETTERS = 1_000
"""Characters of a text: encoders read 64 to 512 tokens, and what is cut off in silence is not searched."""
LEVELS = (100, 1_000, 10_000)
"""How many candidates are asked for, step by step; a listing ends with the last."""
_BLOCK = 100  # hits whose vectors are read at a time to look for copies


class Searched(Protocol):
    """What a query needs of a table; `Index` is one."""

    @property
    def space(self) -> Space: ...

    @property
    def version(self) -> int: ...

    @property
    def identity(self) -> str: ...

    @property
    def columns(self) -> dict[str, pa.DataType]: ...

    def nearest(self, vector: np.ndarray, k: int, *, where: str = "", exact: bool = False) -> pa.Table: ...

    def match(self, text: str, k: int, *, where: str = "") -> pa.Table: ...

    def rows(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table: ...


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked. At least one of text, image, pixels, and like_id; several add up by their weights.

    Raises BadInput for what no table could answer.
    """

    text: str = ""
    negative: str = ""
    """What the hits should not show: its vector is subtracted."""
    image: np.ndarray | None = None
    """float [D], or [V, D] for several pictures that are averaged, in the table's space."""
    pixels: np.ndarray | None = None
    """uint8 RGB [H, W, 3], prepared as the table's pictures were (`space.preprocessing`)."""
    like_id: str = ""
    """A picture of the table; it is no hit itself."""
    text_weight: float = 1.0
    image_weight: float = 1.0
    """Of image, pixels, and like_id together."""
    negative_weight: float = 0.5
    where: str = ""
    """A condition on the table's columns, as in `split = 'test' AND width >= 640`."""
    k: int = 10
    """Hits on a page, 1 to MAX_K."""
    cursor: str = ""
    """`Hits.cursor` of the page before."""
    hybrid: bool = False
    """Rank by captions that hold the words of `text` as well."""
    collapse: bool = False
    """Show one of those that look the same."""

    def __post_init__(self) -> None:
        for name in ("text", "negative"):
            require_text(name, getattr(self, name))
        if not (self.text or self.like_id or self.image is not None or self.pixels is not None):
            raise BadInput("The query is empty; give a text, a picture, or the id of one in the table.")
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= MAX_K:
            raise BadInput(f"k is {self.k!r}; whole numbers from 1 to {MAX_K:,} are accepted, and a cursor goes on.")
        for name in ("text_weight", "image_weight", "negative_weight"):
            if not 0 <= getattr(self, name) <= MAX_WEIGHT:  # nor NaN
                raise BadInput(f"{name} is {getattr(self, name)}; numbers from 0 to {MAX_WEIGHT} are accepted.")
        if self.hybrid and not self.text:
            raise BadInput("A hybrid query looks for words in captions; give a text.")
        if self.image is not None:
            require_vectors(self.image)
        require_pixels(self.pixels)

    @property
    def needs_encoder(self) -> bool:
        return bool(self.text or self.negative) or self.pixels is not None

    @property
    def is_text_only(self) -> bool:
        return bool(self.text) and not self.like_id and self.image is None and self.pixels is None

    def digest(self, reranker: str = "") -> str:
        """Digest all that decides the order of hits: everything but k and the cursor; 16 hex digits.

        reranker: the name of the one that orders the first hits anew.
        """
        said: dict[str, Any] = {"reranker": reranker}
        for name in (one.name for one in fields(self) if one.name not in ("k", "cursor")):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                kept = np.ascontiguousarray(value)
                value = [kept.dtype.str, kept.shape, hashlib.blake2b(kept.tobytes(), digest_size=16).hexdigest()]
            said[name] = value
        return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Encoded:
    """What an encoder says of a query's words and picture, float32 [D] of norm 1; None for what is not in it."""

    space: Space
    """The encoder's."""
    text: np.ndarray | None = None
    negative: np.ndarray | None = None
    pixels: np.ndarray | None = None


@dataclass(frozen=True)
class Hit:
    id: str
    score: float
    """What the order goes by: the reranker's P(match) where `reranked`, else the cosine, or in a hybrid query the fused
    score. Those that are reranked come before all others, whatever these have."""
    cosine: float
    copies: tuple[str, ...] = ()
    """Ids that look the same and are not shown, as far as the listing was read; with `collapse`."""
    reranked: bool = False


@dataclass(frozen=True)
class Hits:
    """One page of a listing, best first."""

    hits: list[Hit]
    cursor: str
    """For the next page; "" after the last."""
    version: int
    """Of the table that was asked."""
    strength: float | None = None
    """The cosine of the best of all hits, on every page; None where there is none."""
    level: float | None = None
    """What the best match of an unrelated text reaches once in twenty times."""
    chance: float | None = None
    """The share of unrelated texts whose best match is as good. All three are None where nothing is known: without a
    `Cutoff`, and for queries with a picture in them."""
    num_collapsed: int = 0
    """Copies of these hits, together."""
    reranker: str = ""
    """The name of the one that ordered the listing's first candidates anew; "" for none."""

    @property
    def good(self) -> bool | None:
        """Say whether the best hit is better than what unrelated texts find; None where it is not known."""
        return None if self.strength is None or self.level is None else self.strength >= self.level

    def remarks(self) -> list[str]:
        """Say in sentences what a reader of these hits should know."""
        said = [] if self.hits else ["Nothing in the index answers this."]
        if self.reranker and self.hits:
            num = sum(hit.reranked for hit in self.hits)
            said.append(
                f"Re-ranked by {self.reranker}: the first {RERANKED} candidates stand in the order of its P(match), "
                f"which is the score of {num} of these {len(self.hits)} hits; others keep their own and stand behind."
            )
        if self.good is False:
            said.append(
                f"No good match: the best cosine is {self.strength:.3f}, and one unrelated text in {round(1 / SHARE)} "
                f"reaches {self.level:.3f} here."
            )
        if self.num_collapsed:
            said.append(f"{self.num_collapsed} that look the same as a better hit are not shown.")
        return said


def run(
    query: Query,
    index: Searched,
    encoder: Encoder | Encoded | None = None,
    cutoff: Cutoff | None = None,
    rerank: Rerank | None = None,
) -> Hits:
    """Answer one page of a query.

    encoder: needed for texts and pixels, and of the table's space; or what it said of this query already. rerank:
    orders the first RERANKED candidates anew, copies included. Raises BadInput for what this table cannot answer:
    another space, an unknown id or column, a cursor of another query, reranker, table, or version.
    """
    if rerank is not None and not query.text:
        raise BadInput("A reranker compares pictures with a text; give a text.")
    reranker = "" if rerank is None else rerank.reranker.name
    digest = query.digest(reranker)
    where = parse_filter(query.where, index.columns) if query.where else ""
    start = start_of(query, index, digest)
    vector = query_vector(query, index, encoder)
    nearest = functools.cache(lambda level: index.nearest(vector, level, where=where))

    def ranked(level: int) -> list[tuple[str, float]]:
        ids, scores = nearest(level)["id"].to_pylist(), nearest(level)["score"].to_pylist()
        if query.hybrid:
            return fuse(ids, index.match(query.text, level, where=where)["id"].to_pylist())
        return list(zip(ids, scores, strict=True))

    order: Iterator[tuple[str, float]] = (found for found in listing(ranked) if found[0] != query.like_id)
    # Behind the first ones their order counts only where it says which of two copies is the original.
    if rerank is not None and (start < RERANKED or query.collapse):
        order = anew(order, query.text, index, rerank)
    entries = described(order, index) if query.collapse else plain(order)
    hits, following = cut(entries, start, query.k, 0 if rerank is None else RERANKED)
    if (query.hybrid or rerank is not None) and hits:
        cosines = vectors_of([hit.id for hit in hits], index) @ vector
        hits = [replace(hit, cosine=float(cosine)) for hit, cosine in zip(hits, cosines, strict=True)]
    best = max(nearest(LEVELS[0])["score"].to_pylist(), default=None)
    judged = cutoff if query.is_text_only and best is not None else None
    return Hits(
        hits=hits,
        cursor="" if following is None else str(Cursor(index.version, index.identity, digest, following)),
        version=index.version,
        strength=None if judged is None else best,
        level=None if judged is None else judged.level,
        chance=None if judged is None or best is None else judged.chance(best),
        num_collapsed=sum(len(hit.copies) for hit in hits),
        reranker=reranker,
    )


def start_of(query: Query, index: Searched, digest: str) -> int:
    """Return the rank that a page begins with. Raises BadInput for a cursor that is none of this query's digest."""
    if not query.cursor:
        return 0
    cursor = Cursor.parse(query.cursor)
    cursor.require(digest, index.version, index.identity, LEVELS[-1])
    return cursor.offset


def encode(queries: Sequence[Query], encoder: Encoder) -> list[Encoded]:
    """Encode the words and pictures of B queries in two calls, one for all texts and one for all pixels."""
    texts = list(dict.fromkeys(text for query in queries for text in (query.text, query.negative) if text))
    worded: dict[str, np.ndarray] = dict(zip(texts, encode_texts(encoder, texts), strict=True)) if texts else {}
    pictures = [query.pixels for query in queries if query.pixels is not None]
    seen = iter(encode_pictures(encoder, pictures) if pictures else ())
    return [
        Encoded(
            encoder.space,
            worded.get(query.text),
            worded.get(query.negative),
            None if query.pixels is None else next(seen),
        )
        for query in queries
    ]


def query_vector(query: Query, index: Searched, encoder: Encoder | Encoded | None) -> np.ndarray:
    """Return what is asked as float32 [D] of norm 1. Raises BadInput for another space or an unknown id."""
    if encoder is not None:
        require_space(encoder.space, index.space)
    elif query.needs_encoder:
        raise BadInput("Texts and pixels need the table's encoder; give it, or ask by a vector or an id.")
    encoded = encoder if isinstance(encoder, Encoded) or encoder is None else encode([query], encoder)[0]
    parts: list[tuple[np.ndarray, float]] = []
    if encoded is not None and encoded.text is not None:
        parts.append((encoded.text, query.text_weight))
    if encoded is not None and encoded.negative is not None:
        parts.append((encoded.negative, -query.negative_weight))
    pictures = []
    if query.image is not None:
        vectors = np.atleast_2d(np.asarray(query.image, np.float32))
        if vectors.shape[1] != index.space.dim:
            raise BadInput(f"The picture's vector has {vectors.shape[1]} numbers; this table's have {index.space.dim}.")
        pictures.append(mean_direction(vectors))
    if encoded is not None and encoded.pixels is not None:
        pictures.append(encoded.pixels)
    if query.like_id:
        pictures.append(vectors_of([query.like_id], index)[0])
    if pictures:
        parts.append((mean_direction(np.stack(pictures)), query.image_weight))
    return compose(parts)


def listing(ranked: Callable[[int], list[tuple[str, float]]]) -> Iterator[tuple[str, float]]:
    """Yield ids and scores level by level, none twice: how far one reads never changes what came before.

    ranked: a level -> about so many candidates, best first; fewer say that there are no more.
    """
    seen: set[str] = set()
    for level in LEVELS:
        found = ranked(level)
        for name, score in found:
            if name not in seen and len(seen) < LEVELS[-1]:
                seen.add(name)
                yield name, score
        if len(found) < level:
            return


Entry = tuple[str, float, int | None]
"""Id, score, and for a copy the number of its original among all originals."""


def plain(order: Iterable[tuple[str, float]]) -> Iterator[Entry]:
    """Take every candidate for an original."""
    return ((name, score, None) for name, score in order)


def described(order: Iterator[tuple[str, float]], index: Searched) -> Iterator[Entry]:
    """Look at the candidates' vectors, a block at a time, for copies of better ones."""
    originals = Originals(index.space.dim)
    while block := list(itertools.islice(order, _BLOCK)):
        vectors = vectors_of([name for name, _ in block], index)
        for (name, score), original in zip(block, originals(vectors), strict=True):
            yield name, score, original


def cut(entries: Iterable[Entry], start: int, k: int, num_reranked: int) -> tuple[list[Hit], int | None]:
    """Return k originals from rank `start` on with their copies so far, and the next one's rank, None at the end.

    num_reranked: how many of the first entries have a reranker's score.
    """
    page: dict[int, Hit] = {}
    num_originals = 0
    following = None
    for rank, (name, score, original) in enumerate(entries):
        if original is not None:
            if original in page:
                hit = page[original]
                page[original] = replace(hit, copies=(*hit.copies, name))
            continue
        if len(page) == k:
            following = rank
            break
        if rank >= start:
            page[num_originals] = Hit(name, score, score, reranked=rank < num_reranked)
        num_originals += 1
    return list(page.values()), following


def vectors_of(ids: list[str], index: Searched) -> np.ndarray:
    """Return the pictures' vectors, float32 [B, D] of norm 1. Raises BadInput for an id that is not in the table."""
    return unit(matrix(index.rows(ids, ["vector"])["vector"], index.space.dim))


def require_space(asked: Space, held: Space) -> None:
    """Raise BadInput unless texts and pixels of one space may be compared with the pictures of a table.

    How the table's pictures were prepared is theirs alone: an encoder does not know it, and texts have none.
    """
    names = [one.name for one in fields(Space) if one.name != "preprocessing"]
    other = [name for name in names if getattr(asked, name) != getattr(held, name)]
    if other:
        raise BadInput(
            f"This table is in the space of {held.encoder} (weights {held.weights}), the query in that of "
            f"{asked.encoder} (weights {asked.weights}): they differ in {', '.join(other)} and cannot be compared."
        )


def require_text(name: str, text: str) -> None:
    """Raise BadInput for a text that no encoder should see; "" is one that was not given."""
    if text and not text.strip():
        raise BadInput(f"The {name} is empty; give a word or a sentence.")
    if len(text) > MAX_LETTERS:
        raise BadInput(f"The {name} has {len(text):,} characters; at most {MAX_LETTERS:,} are accepted.")


def require_vectors(vectors: np.ndarray) -> None:
    """Raise BadInput unless these are finite numbers [D] or [V, D], no row of them all zeros."""
    rows = np.atleast_2d(vectors)
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "fiu":
        raise BadInput(
            f"The picture's vector is {rows.dtype} {list(vectors.shape)}; numbers [D] or [V, D] are accepted."
        )
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise BadInput("The picture's vector holds NaN, infinity, or nothing but zeros; give it anew.")


def require_pixels(pixels: np.ndarray | None) -> None:
    """Raise BadInput unless these are a picture, or none are given."""
    if pixels is not None and (pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size):
        raise BadInput(f"The pixels are {pixels.dtype} {list(pixels.shape)}; uint8 RGB [H, W, 3] is accepted.")
