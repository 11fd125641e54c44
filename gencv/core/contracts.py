"""What the floors above promise each other without knowing each other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gencv.core.embeddings import Space
from gencv.core.settings import Settings


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


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """A painter's recipe: everything that a picture follows from, but for the picture and mask to start from."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    num_inference_steps: int = 30
    guidance_scale: float = 7.5
    strength: float | None = None
    """How far to leave the picture to start from: from what is enough for one step to 1, wholly. None where there is
    none to leave."""
    scheduler: str = "default"
    """A name of `SCHEDULERS`; "default" is the painter's own."""
    width: int = 0
    """In px; 0 is what the painter was trained on, or the size of the picture to start from."""
    height: int = 0
    model: str = ""
    """The painter's name, filled in by the painter."""


DONE, CONTENT_FILTERED = "done", "content_filtered"


@dataclass(frozen=True)
class Picture:
    """What a painter made of one recipe."""

    image: np.ndarray | None
    """uint8 RGB [H, W, 3]; None, never black, where the content was filtered."""
    recipe: Recipe
    """With every default filled in: the same recipe gives the same picture."""
    finish_reason: str = DONE
    """DONE or CONTENT_FILTERED."""
    notes: tuple[str, ...] = ()
    """Sentences on what was not done as asked: words that were cut off, why the content was filtered."""
    batch: tuple[int, int] = (0, 1)
    """Its row in the batch that it was painted in, and the size of that. Sums are rounded otherwise in another size, so
    that a byte in many thousands differs by one; who wants the very same bytes paints it at this place again."""
    tiled: bool = False
    """Whether it was encoded and decoded in tiles, as memory was short: other bytes than whole."""


class Painter(Protocol):
    """Recipes to pictures; what each shows does not depend on the others."""

    @property
    def name(self) -> str:
        """The name that `load_painter` takes; of a folder the last part of its path."""
        ...

    @property
    def size_px(self) -> int:
        """The side of the pictures that it was trained on."""
        ...

    @property
    def factor(self) -> int:
        """What the sides of its pictures must be divisible by, in px."""
        ...

    def paint(
        self,
        recipes: Sequence[Recipe],
        *,
        init: np.ndarray | Sequence[np.ndarray] | None = None,
        mask: np.ndarray | None = None,
        on_step: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Picture]:
        """Give the pictures in the order of their recipes.

        init: uint8 RGB [H, W, 3] to start from, one for all recipes or one for each. mask: bool [H, W], True where to
        paint anew; the rest stays as it is in `init`, byte for byte.
        on_step: called with the steps that are done and their whole number.
        cancelled: asked before every step; once it says True, no further picture comes.
        Raises BadInput before any work where a recipe, `init`, or `mask` cannot be.
        """
        ...
