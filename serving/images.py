"""OpenAI's Images API on the wire: what requests say, what answers look like, and what is told of each picture."""

import base64
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.datastructures import FormData
from starlette.requests import Request

from gencv.core.errors import ContentFiltered
from gencv.services.orders import Accepted, Painted
from serving import errors, pictures
from serving.pictures import as_list
from serving.requests import validated

Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(ge=0)]


class Said(BaseModel):
    """Fields that are known; another one is refused, and a null is one that was left out."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class Asked(Said):
    """What a request may say, however it begins."""

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

    seed: Annotated[list[int], BeforeValidator(as_list, json_schema_input_type=int | list[int])] | None = None
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


class Axes(Said):
    """What a sweep goes over, beside all that a generation or an edit says; a value stands for a list of one."""

    strength: Annotated[list[Share], BeforeValidator(as_list)] | None = Field(None, min_length=1)
    guidance_scale: Annotated[list[Scale], BeforeValidator(as_list)] | None = Field(None, min_length=1)
    seed: Annotated[list[int], BeforeValidator(as_list)] | None = Field(None, min_length=1)


class Mockup(Said):
    """What /mockups takes beside `product`."""

    template: str = ""
    scene: str = ""
    """Of the two one: a name that GET /mockups lists."""
    fit: Literal["cover", "contain"] = "cover"
    art: Literal["photo", "cutout"] = "photo"
    """How a template is printed on, and with what."""
    seed: int = Field(0, ge=0, lt=2**63 - 2)
    """Of a scene's first try."""
    model: str = ""
    """Who paints a scene: a name that /models lists."""
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(90, ge=0, le=100)

    @model_validator(mode="after")
    def names_one(self) -> Self:
        if bool(self.template) == bool(self.scene):
            raise ValueError("give template or scene, one of them")
        others = {"fit", "art"} if self.scene else {"seed"}
        if wrong := sorted(self.model_fields_set & others):
            raise ValueError(f"{wrong[0]} says nothing of a {'scene' if self.scene else 'template'}; leave it out")
        return self


class Verification(Said):
    """What /provenance/verify takes beside `image`: nothing."""


def media_type(request: Request) -> str:
    """Return the type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_form(request: Request, model: type[Any], *names: str) -> tuple[Any, dict[str, bytes]]:
    """Return what a form says, and its files by their names, of which the first must be there. Raises Refused."""
    if media_type(request) != "multipart/form-data":
        raise errors.Refused(415, "unsupported_media_type", "Send multipart/form-data.")
    async with request.form(max_files=4) as form:
        given = [name for name in names if name == names[0] or name in form]
        files = {name: (await pictures.from_form(form, name, 1))[0][1] for name in given}
        return validated(model, texts_of(form, *names)), files


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
    schema["required"] = [*schema.get("required", []), files[0]]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
