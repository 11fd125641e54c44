"""What a request of /search says: a question to the index, or pictures for it; and what /search is started with."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serving.settings import Settings

ID = "^[0-9A-Za-z._-]{1,64}$"
MAX_DIM = 8_192


class SearchSettings(Settings):
    """What /search is started with."""

    index: str = Field(min_length=1)
    """Folder or URI of the index; a request cannot name another."""
    reranker: str = ""
    """Who orders the first 50 hits anew where a request asks for it; "" is nobody."""
    show_uri: bool = False
    """Tell where pictures lie, and let filters ask for it. It may be a path on this machine."""
    writable: bool = False
    """Let pictures be added and deleted."""


class Similar(BaseModel):
    """What may be said beside a picture that is given by its id."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    text: str = ""
    """What the pictures should show, in words."""
    negative: str = ""
    """What they should not show."""
    text_weight: float = 1.0
    image_weight: float = 1.0
    """How much pictures count beside the text."""
    negative_weight: float = 0.5
    where: str = ""
    """A condition on the columns, as in "split = 'test' AND width >= 640"."""
    k: int = 10
    """Hits on a page."""
    cursor: str = ""
    """As the page before had it: go on from there, in the version of the index that it was of."""
    hybrid: bool = False
    """Rank by the words of the captions as well."""
    collapse: bool = False
    """Show one of those that look the same, and the ids of the others."""
    rerank: bool = False
    """Order the first 50 anew by a network that sees text and picture together, if there is one here."""


class Asked(Similar):
    """What a question may say; at least one of text, like, vector, and a picture."""

    like: str = Field("", pattern=f"{ID}|^$")
    """The id of a picture of the index."""
    region: tuple[int, ...] = Field((), max_length=4)
    """The part of the picture that counts: left, top, right, bottom, in px."""
    vector: list[float] | list[Annotated[list[float], Field(max_length=MAX_DIM)]] | None = Field(
        None, max_length=MAX_DIM
    )
    """A picture's vector in the space that /readyz names, or several that are averaged."""


class JsonAsked(Asked):
    """The same, with a picture beside it."""

    image: str | None = None
    """Base64, or a `data:` URL with base64."""


class Said(BaseModel):
    """What is said of the pictures that are added, of each of them the same."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    caption: list[str] = []
    label: int | None = None
    """1 spoof or generated, 0 live or real."""
    generator: str = "unknown"
    family: str = ""
    """What kind of thing made them; by default what the generator's name tells."""
    source: str = "posted"
    split: str | None = None
    """train, val, or test."""


class JsonSaid(Said):
    """The same, with the pictures beside it."""

    image: str | list[str]
    """Base64, or `data:` URLs with base64."""
