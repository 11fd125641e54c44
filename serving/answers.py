"""What answers look like, for the pages of requests. Nothing is sent through these; tests hold the answers to them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Fault(BaseModel):
    """What was wrong."""

    message: str
    """One sentence: what was wrong, and what is accepted."""
    type: str
    code: str
    """Stable, for programs."""
    param: str | None
    """The field that is at fault."""


class Failure(BaseModel):
    """Every answer that is no success."""

    error: Fault


class Answer(BaseModel):
    """Something that is answered: these fields and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Alive(Answer):
    status: Literal["ok"]


class Ready(BaseModel):
    """What is loaded, by name and version; each application adds its own."""

    status: Literal["ready"]
    version: str


class Face(Answer):
    """A box in px of the upright picture."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


class Judged(Answer):
    """What one bundle says of one picture, or of one face in it."""

    bundle: str
    digest: str
    """Of the bundle."""
    id: str
    task: str
    label: str
    """The verdict: one of the task's two labels, or `uncertain`."""
    reasons: list[str]
    """Why it is uncertain."""
    score: float
    """P(positive): of being a spoof, or generated."""
    scores: dict[str, float]
    """Of either label, best first."""
    threshold: float
    threshold_id: str
    expected_fpr: float | None
    expected_fnr: float | None
    """The error rates to expect at the threshold."""
    error_rate: float | None
    """What the band of uncertain scores was fitted to."""
    kind: str | None = None
    kind_score: float | None = None
    """Which kind of positive it is, where the bundle tells one."""
    face: Face | None = None
    explanations: dict[str, Any] | None = None
    """By what `explain` asked for; pictures are `data:` URLs."""
    verdict_id: str | None = None
    """Its row in the history; null where it could not be written down."""


class Evidence(Answer):
    """What a file says of its origin."""

    found: list[Literal["parameters", "credentials", "watermark"]]
    agree: bool | None
    """Whether the watermark is that of these very parameters."""
    parameters: dict[str, Any]
    credentials: dict[str, Any]
    watermark: dict[str, Any]


class Result(Answer):
    """One picture's answers, or its error."""

    name: str
    """Of the file, or the URL."""
    id: str | None
    answers: list[Judged]
    provenance: Evidence | None
    error: Fault | None
    timing_ms: dict[str, dict[str, float]]
    """Of each bundle's steps."""


class Checked(Answer):
    id: str
    """Of the request."""
    results: list[Result]
    timing_ms: dict[str, float]


class Item(BaseModel):
    """A picture of an index: what is known of it."""

    id: str
    caption: list[str] | None = None
    width: int | None = None
    height: int | None = None
    label: int | None = None
    generator: str | None = None
    family: str | None = None
    source: str | None = None
    split: str | None = None
    uri: str | None = None
    """Where it lies, if that may be told."""
    thumbnail: str
    """The path of a small picture."""


class Hit(Item):
    score: float
    copies: list[str]
    """Ids of those that look the same, where they are collapsed."""
    cosine: float | None = None
    reranked: bool | None = None
    """Whether the score is a reranker's."""


class Page(Answer):
    id: str
    """Of the request."""
    hits: list[Hit]
    cursor: str | None
    """What the next page is asked for with."""
    no_good_match: bool | None
    remarks: list[str]
    best: dict[str, float | None]
    index: dict[str, int]
    """Version and number of pictures."""
    encoder: str
    reranker: str | None
    asked: dict[str, Any]
    timing_ms: dict[str, float]


class AddedItem(Answer):
    name: str
    id: str | None
    added: bool
    """False for a picture that was there already, or is none."""
    error: Fault | None


class Added(Answer):
    id: str
    items: list[AddedItem]
    version: int
    """Of the index that has them."""


class Removed(Answer):
    id: str
    deleted: str
    version: int


class Model(Answer):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Answer):
    object: Literal["list"]
    data: list[Model]


class Picture(Answer):
    b64_json: str | None = None
    url: str | None = None
    """A `data:` URL, where `response_format` asks for it."""
    seed: int
    finish_reason: Literal["done", "content_filtered"]
    recipe: str
    """Digest of all that it follows from."""
    notes: list[str]


class Pictures(Answer):
    created: int
    data: list[Picture]
    background: str
    output_format: str
    quality: str
    size: str
    usage: dict[str, Any]


class Choice(Answer):
    name: str
    description: str


class Choices(Answer):
    """What products are printed on and put into."""

    templates: list[Choice]
    scenes: list[Choice]


class MadeMockup(Answer):
    b64_json: str
    name: str
    """Of the template or scene."""
    seed: int | None
    tries: int | None
    finish_reason: str
    notes: list[str]
    recipe: str | None
    fidelity: dict[str, Any]
    """How much of the product is still its own."""
    width: int
    height: int
    watermarked: bool
    cut: str
    """How the product was cut out: `alpha`, `key`, `grabcut`, or `rembg`; "" where it was not."""


class Mockups(Answer):
    created: int
    data: list[MadeMockup]
    output_format: str


class JobResult(Answer):
    data: list[dict[str, Any]]
    """Each picture that is done so far, with the path of it as `url`."""
    sheet: str | None
    """The path of a sweep's contact sheet."""


class Job(Answer):
    id: str
    object: Literal["job"]
    kind: Literal["generation", "edit", "variation", "mockup", "sweep"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    created_at: int
    position: int
    """Pictures that come first."""
    eta_s: float | None
    progress: dict[str, float]
    result: JobResult | None
    error: Fault | None


class Jobs(Answer):
    object: Literal["list"]
    data: list[Job]
    cursor: str | None


class Row(Answer):
    """A row of the history."""

    id: str
    time: datetime
    request_id: str
    caller: str
    """Name of a key; empty without one."""
    picture_id: str | None


class Verdict(Row):
    bundle: str
    digest: str
    task: str
    label: str
    score: float
    threshold_id: str
    reasons: list[str]
    attribution: str | None
    attribution_score: float | None
    corrected: str | None
    """The last label that a person gave the picture."""


class Search(Row):
    asked: dict[str, Any]
    index_version: int
    hits: list[str]


class Painting(Row):
    recipe: dict[str, Any]
    model: str
    model_digest: str
    finish_reason: str


class Said(Row):
    label: str
    note: str
    verdict_id: str | None


class Verdicts(Answer):
    items: list[Verdict]
    cursor: str | None


class Searches(Answer):
    items: list[Search]
    cursor: str | None


class Paintings(Answer):
    items: list[Painting]
    cursor: str | None


class Corrections(Answer):
    items: list[Said]
    cursor: str | None


class Corrected(Answer):
    id: str
    time: datetime
    picture_id: str
    label: str


class Deleted(Answer):
    id: str
    deleted: dict[str, int]
    """Rows of each kind."""


HISTORIES: dict[str, type[Answer]] = {
    "verdicts": Verdicts,
    "searches": Searches,
    "paintings": Paintings,
    "feedback": Corrections,
}
"""Pages of rows, by their kind."""
