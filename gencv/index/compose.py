"""What is asked, as one unit vector: texts, pictures, and regions of pictures, added and subtracted with weights."""

import re

import numpy as np

from gencv.core.contracts import Encoder
from gencv.core.errors import BadInput
from gencv.core.scope import unit

TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven that CLIP's authors kept of their eighty for single words (github.com/openai/CLIP,
notebooks/Prompt_Engineering_for_ImageNet.ipynb); "itap" is "I took a picture"."""
MAX_TEMPLATE_WORDS = 3
"""Texts of more words go to the encoder as they are: they are captions already."""
TEXTS_AT_ONCE = 64
LEAST_NORM = 1e-3
"""Under this length nothing is left of what was asked, and the direction is rounding."""


def encode_texts(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Encode B texts -> float32 [B, D] of norm 1, short ones as the mean over TEMPLATES."""
    worded = [wordings(text) for text in texts]
    vectors = encode_captions(encoder, [wording for some in worded for wording in some])
    ends = np.cumsum([len(some) for some in worded])
    return unit(np.stack([vectors[end - len(some) : end].mean(0) for end, some in zip(ends, worded, strict=True)]))


def encode_captions(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Encode B texts as they are -> float32 [B, D] of norm 1."""
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    return np.concatenate([encoder.texts(texts[start : start + TEXTS_AT_ONCE]) for start in starts])


def wordings(text: str) -> list[str]:
    """Return what is encoded for a text: itself, or for at most three words (without an article) the templates."""
    phrase = re.sub(r"^(an?|the)\s+(?=\S)", "", " ".join(text.split()).rstrip(".!?"), flags=re.IGNORECASE)
    if not phrase or len(phrase.split()) > MAX_TEMPLATE_WORDS:
        return [text]
    return [template.replace("{}", phrase) for template in TEMPLATES]


def encode_pictures(encoder: Encoder, pictures: list[np.ndarray]) -> np.ndarray:
    """Encode B times uint8 RGB [H, W, 3] of any size -> float32 [B, D] of norm 1."""
    return np.asarray(encoder.images(np.stack([encoder.transform(pixels) for pixels in pictures])))


def cut_region(pixels: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """Cut left, top, right, bottom, in px, out of uint8 RGB [H, W, 3]; the last two lie outside the region.

    Raises BadInput if it does not lie in the picture.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise BadInput(
            f"The region {tuple(box)} does not lie in the picture of {width} x {height} px; "
            "give left, top, right, bottom."
        )
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def mean_direction(vectors: np.ndarray) -> np.ndarray:
    """Average vectors [V, D] of any norm, all with one weight -> float32 [D] of norm 1. Raises BadInput at zeros."""
    return _direction(unit(vectors).sum(axis=0), "The vectors of the picture")


def compose(parts: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Add unit vectors [D] by their weights, negative ones for what is not wanted -> float32 [D] of norm 1.

    A weighted mean of picture and text needs no training and is a fair composed query (Wu et al. 2024,
    arXiv:2409.04918). Raises BadInput where the parts cancel each other out.
    """
    summed = np.sum([np.float32(weight) * vector for vector, weight in parts], axis=0)
    return _direction(summed, "The parts of the query")


def _direction(summed: np.ndarray, what: str) -> np.ndarray:
    if not np.linalg.norm(summed) > LEAST_NORM:
        raise BadInput(f"{what} cancel each other out; change the weights or what is asked.")
    return np.asarray(unit(summed[None])[0])
