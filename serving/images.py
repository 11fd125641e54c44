"""OpenAI's Images API on the wire: what requests say, what answers look like, and what is told of each picture."""

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.datastructures import FormData
from starlette.requests import Request

from gencv.core.errors import ContentFiltered
from gencv.services.orders import Accepted, Painted


def as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


class Asked(BaseModel):
    """What a request may say, however it begins."""

    model_config = ConfigDict(extra="forbid")

    model: str = ""
    """A name that /models lists."""
    n: int = Field(1, ge=1, le=10)
    size: str = Field("auto", pattern=r"^(auto|\d{1,5}x\d{1,5})$")
    """As in 512x512; "auto" is what the painter was trained on."""
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(90, ge=0, le=100)
    """The quality of JPEG and WebP; 0 counts as 1."""
    response_format: Literal["b64_json", "url"] = "b64_json"
    """url is a `data:` URL: nothing is kept here that another one could name."""
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    """Unfinished pictures in a stream, of each."""

    seed: Annotated[list[int], BeforeValidator(as_list)] | None = None
    """Of the first picture, the others having those that follow; or one for each. Drawn, and told, if left out."""
    negative_prompt: str = ""
    num_inference_steps: int | None = Field(None, ge=1)
    guidance_scale: float | None = Field(None, ge=0)
    scheduler: str = "default"

    background: Literal["auto", "opaque"] = "auto"
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] = "auto"
    """Read and told back; steps and size are what a picture's quality follows from here."""
    moderation: Literal["auto", "low"] = "auto"
    """Read, and no other for it."""
    user: str = Field("", max_length=512)
    safety_identifier: str = Field("", max_length=512)

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, given: Any) -> Any:
        """A null is a field that was left out."""
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class Generation(Asked):
    """What /images/generations takes."""

    prompt: str
    style: Literal["vivid", "natural"] = "vivid"
    """Read, and no other for it: say it in the prompt."""


class Edit(Asked):
    """What /images/edits takes beside `image` and `mask`."""

    prompt: str
    strength: float | None = Field(None, ge=0, le=1)
    """How far to leave the picture; unasked .8, with a mask 1."""
    input_fidelity: Literal["low", "high"] = "low"
    """Read, and no other for it: `strength` says it here."""


class Variation(Asked):
    """What /images/variations takes beside `image`."""

    prompt: str = ""
    strength: float | None = Field(None, ge=0, le=1)


class Verification(BaseModel):
    """What /provenance/verify takes beside `image`: nothing."""

    model_config = ConfigDict(extra="forbid")


def media_type(request: Request) -> str:
    """Return the type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def texts_of(form: FormData, *files: str) -> dict[str, Any]:
    """Return a form's fields but for its files: `name[]`, or one that comes again, as a list."""
    found: dict[str, Any] = {}
    for field, value in form.multi_items():
        name = field.removesuffix("[]")
        if name in files:
            continue
        if name in found or field != name:
            before = found.get(name, [])
            found[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[name] = value
    return found


def item_of(painted: Painted, asked: Asked | None = None) -> dict[str, Any]:
    """Return what is told of a picture. asked: None for the pictures of a stream, which are base64 always."""
    text = None if painted.data is None else base64_of(painted.data)
    is_url = asked is not None and asked.response_format == "url"
    url = f"data:image/{asked.output_format};base64,{text}" if asked and is_url and text else None
    return {
        **({"url": url} if is_url else {"b64_json": text}),
        "seed": painted.recipe.seed,
        "finish_reason": painted.finish_reason,
        "recipe": painted.digest,
        "notes": painted.notes,
    }


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def filtered(found: list[Painted]) -> ContentFiltered:
    return ContentFiltered(" ".join(dict.fromkeys(note for one in found for note in one.notes)) or "Nothing is shown.")


def common(accepted: Accepted, asked: Asked) -> dict[str, Any]:
    """Return what answers and events say of all their pictures."""
    size = f"{accepted.width}x{accepted.height}"
    return {"background": "opaque", "output_format": asked.output_format, "quality": asked.quality, "size": size}


def usage_of(accepted: Accepted) -> dict[str, Any]:
    """Count what the text encoder read; pictures are no tokens here."""
    read = accepted.num_tokens
    counts: dict[str, Any] = {"input_tokens": read, "output_tokens": 0, "total_tokens": read}
    return counts | {"input_tokens_details": {"text_tokens": read, "image_tokens": 0}}


def body_of(model: type[BaseModel], *files: str) -> dict[str, Any]:
    """Return what a request takes, for the OpenAPI page."""
    schema = model.model_json_schema()
    if not files:
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    schema["properties"] = schema.get("properties", {}) | {
        name: {"type": "string", "format": "binary"} for name in files
    }
    schema["required"] = [*schema.get("required", []), "image"]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
