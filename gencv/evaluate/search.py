"""How good a search is: an index judged by the captions of its own pictures."""

from dataclasses import dataclass

import numpy as np

from gencv.core.contracts import Encoder
from gencv.core.embeddings import matrix
from gencv.core.errors import BadInput
from gencv.evaluate.retrieval import (
    Approximation,
    Captioned,
    Retrieval,
    approximation,
    drawn_captions,
    image_to_text,
    text_ranks,
    text_to_image,
    through_index,
)
from gencv.index.table import Index

MAX_TIMED = 1000
"""Captions that are asked exactly and through the index, to see what it loses and how long it takes."""
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Judged:
    """What an index is worth."""

    retrieval: dict[str, Retrieval]
    """By the way that was gone, "text to image, exact" for example."""
    lost: Approximation
    num_captions: int
    misses: list[tuple[str, str, int]]
    """Picture id, caption, and rank of every caption, the worst first."""


def judge(index: Index, encoder: Encoder, *, seed: int = 0) -> Judged:
    """Judge an index by Karpathy's protocol, exactly and through the index. Raises BadInput if it has no captions.

    Captions go to the encoder as they are: the protocol knows no prompt templates.
    """
    table = index.scan(["id", "caption", "vector"])
    ids = table["id"].to_pylist()
    texts, owners = drawn_captions([found or () for found in table["caption"].to_pylist()])
    if not texts:
        raise BadInput(f"The pictures of {index.folder} have no captions; index a source that has them, as coco: does.")
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    captions = np.concatenate([encoder.texts(texts[start : start + TEXTS_AT_ONCE]) for start in starts])
    data = Captioned(matrix(table["vector"], index.space.dim), captions, owners)
    names = [ids[owner] for owner in owners]
    retrieval = {
        "text to image, exact": text_to_image(data, seed=seed),
        "text to image, through the index": through_index(index, captions, names, num_candidates=len(ids), seed=seed),
        "image to text, exact": image_to_text(data, seed=seed),
    }
    drawn = np.random.default_rng(seed).permutation(len(captions))[:MAX_TIMED]
    lost = approximation(index, captions[np.sort(drawn)], seed=seed)
    ranks = text_ranks(data)
    worst = np.argsort(-ranks, kind="stable")
    return Judged(retrieval, lost, len(texts), [(names[row], texts[row], int(ranks[row])) for row in worst])
