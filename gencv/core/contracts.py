"""What the floors above promise each other without knowing each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gencv.core.embeddings import Space


class Prepare(Protocol):
    """Turn a decoded picture into a network's input: cheap to send to a worker, no weights."""

    @property
    def decode_side_px(self) -> int | None:
        """The shorter side that a scaled decode must leave, in px; None where every pixel counts."""
        ...

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB [H, W, 3] of any size -> uint8 [S, S, 3]."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Pictures, and for some encoders texts, to unit vectors in one space."""

    @property
    def space(self) -> Space: ...

    @property
    def transform(self) -> Any:
        """The encoder's own `Prepare`."""
        ...

    def images(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, S, S, 3], as `transform` gives them -> float32 [B, D] of norm 1."""
        ...

    def texts(self, texts: list[str]) -> np.ndarray:
        """B sentences -> float32 [B, D] of norm 1. Raises NotSupported where there is no text encoder."""
        ...


class Reranker(Protocol):
    """How well a text and a picture match, seen together, which a comparison of two vectors cannot do."""

    @property
    def name(self) -> str:
        """The name that `load_reranker` takes."""
        ...

    def scores(self, text: str, images: Sequence[np.ndarray]) -> np.ndarray:
        """A sentence and N pictures, uint8 RGB [H, W, 3] of any size -> float32 [N], P(they match)."""
        ...


@dataclass(frozen=True)
class Judged:
    """What a detector says of B pictures."""

    scores: np.ndarray
    """float32 [B], P(positive)."""
    kinds: np.ndarray
    """float32 [B, K], the probability of each kind of positive, were it one; K = 0 where the detector tells none."""
    features: np.ndarray
    """float32 [B, D], what the last layer saw."""
    lows: np.ndarray | None = None
    """float32 [B], the least score of each picture and its re-encodings; None where they were not judged."""
    highs: np.ndarray | None = None
    """float32 [B], the greatest score of them."""
    outside: list[tuple[str, ...]] | None = None
    """B times the codes of `scope.OUTSIDE`; None where nobody looked."""
