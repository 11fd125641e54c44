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
from gencv.index.compose import encode_captions
from gencv.index.query import require_space
from gencv.index.table import Index

MAX_ASKED = 25_000
"""Captions that are asked through the index: all of Karpathy's 5,000 test pictures of COCO, in minutes."""
MAX_TIMED = 1_000
"""Of these, how many are asked exactly too, to see what the index loses and how long it takes."""
NUM_WORST = 12


@dataclass(frozen=True)
class Judged:
    """What an index is worth."""

    retrieval: dict[str, Retrieval]
    """By the way that was gone, "text to image, exact" for example."""
    lost: Approximation
    num_captions: int
    worst: list[tuple[str, str, int]]
    """Picture id, caption, and rank of the captions that find their picture worst."""


def judge(index: Index, encoder: Encoder, *, seed: int = 0) -> Judged:
    """Judge an index by Karpathy's protocol, exactly and through the index.

    Captions go to the encoder as they are: the protocol knows no prompt templates. Raises BadInput if the index has no
    captions, or is of another space than the encoder.
    """
    require_space(encoder.space, index.space)
    table = index.scan(["id", "caption", "vector"])
    ids = table["id"].to_pylist()
    texts, owners = drawn_captions([found or () for found in table["caption"].to_pylist()])
    if not texts:
        raise BadInput(f"The pictures of {index.folder} have no captions; index a source that has them, as coco: does.")
    captions = encode_captions(encoder, texts)
    data = Captioned(matrix(table["vector"], index.space.dim), captions, owners)
    ranks = text_ranks(data)
    drawn = np.random.default_rng(seed).permutation(len(captions))[:MAX_ASKED]
    asked, timed = np.sort(drawn), np.sort(drawn[:MAX_TIMED])
    names = [ids[owners[row]] for row in asked]
    retrieval = {
        "text to image, exact": text_to_image(data, ranks, seed=seed),
        "text to image, through the index": through_index(
            index, captions[asked], names, num_candidates=len(ids), seed=seed
        ),
        "image to text, exact": image_to_text(data, seed=seed),
    }
    worst = [(ids[owners[row]], texts[row], int(ranks[row])) for row in np.argsort(-ranks, kind="stable")[:NUM_WORST]]
    return Judged(retrieval, approximation(index, captions[timed], seed=seed), len(texts), worst)
