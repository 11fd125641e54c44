"""What painters are asked for and what they tell: values that travel between processes, without torch."""

from dataclasses import dataclass

from gencv.core.contracts import Recipe


@dataclass(frozen=True, kw_only=True)
class Order:
    """Pictures that one caller asks for: as many as there are recipes."""

    recipes: tuple[Recipe, ...]
    init: bytes | None = None
    """The file to start from, cut and scaled to the recipes' size."""
    mask: bytes | None = None
    """A file of its size with an alpha channel: transparent where to paint anew."""
    format: str = "png"
    """A name of `stamp.FORMATS`."""
    quality: int = 90
    """Of JPEG and WebP."""
    num_partials: int = 0
    """Unfinished pictures to be shown of each, at even distances."""
    tells_steps: bool = False
    """Whether the caller wants to be told of each step."""


@dataclass(frozen=True, kw_only=True)
class MockupOrder:
    """A product that one caller wants to see printed on a template, or in a scene."""

    product: bytes
    template: str = ""
    scene: str = ""
    """Of the two one, by its name."""
    fit: str = "cover"
    art: str = "photo"
    seed: int = 0
    """Of a scene's first try."""
    format: str = "png"
    quality: int = 90


@dataclass(frozen=True)
class Accepted:
    """The first event: nothing is wrong with the order, and it waits."""

    ahead: int
    """Pictures that come first."""
    eta_s: float | None
    """When it will be done, in s from now; None before the studio knows its own pace."""
    width: int
    height: int
    num_tokens: int
    """What the text encoder reads of all prompts."""


@dataclass(frozen=True)
class Stepped:
    """Steps that are done of all, in pictures times steps."""

    done: int
    total: int


@dataclass(frozen=True)
class Partial:
    """An unfinished picture, marked as generated."""

    place: int
    """Of the recipe in the order."""
    number: int
    """From 0, for each picture."""
    data: bytes


@dataclass(frozen=True)
class Painted:
    """A picture, or why there is none."""

    place: int
    recipe: Recipe
    """With every default filled in."""
    digest: str
    """Of the recipe."""
    finish_reason: str
    """DONE or CONTENT_FILTERED, as `Picture` has it."""
    data: bytes | None
    """The stamped file; None where the content was filtered."""
    notes: tuple[str, ...] = ()
    weights: str = ""
    """Digest of the painter's."""


Event = Accepted | Stepped | Partial | Painted
"""In this order: Accepted, then the others, with Painted once for each recipe and last for each."""
