"""What a request says: pictures and choices, in a form or in JSON."""

from typing import Any, get_origin

from fastapi import Request
from pydantic import BaseModel, ValidationError

from serving import errors, pictures

FIELD = "image"


async def read(
    request: Request, options: type[BaseModel], in_json: type[BaseModel], max_images: int
) -> tuple[list[tuple[str, bytes]], Any]:
    """Return the pictures of a request, names and bytes, and its choices. Raises Refused.

    in_json: `options` and the pictures beside them as base64, in `image`; whether one is needed counts for forms too.
    """
    is_needed = in_json.model_fields[FIELD].is_required()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=max_images + 1) as form:
            given: dict[str, Any] = {}
            has_images = False
            for name, value in form.multi_items():
                field = name.removesuffix("[]")
                if field == FIELD:
                    has_images = True
                elif field in options.model_fields and is_list(options, field):
                    given.setdefault(field, []).extend([value] if value != "" else [])  # as forms say that of none
                else:
                    given[field] = value
            images = await pictures.from_form(form, FIELD, max_images) if is_needed or has_images else []
        return images, validated(options, given)
    if kind == "application/json":
        whole = validated(in_json, await request.body())
        texts: str | list[str] | None = getattr(whole, FIELD)
        said = options.model_construct(**whole.model_dump(exclude={FIELD}))  # the text of a picture goes no further
        if texts is None:
            return [], said
        return pictures.from_base64([texts] if isinstance(texts, str) else texts, FIELD, max_images), said
    raise errors.Refused(415, "unsupported_media_type", "Send multipart/form-data or application/json.")


def is_list(model: type[BaseModel], field: str) -> bool:
    """Whether a form gives a field by repeating it."""
    return get_origin(model.model_fields[field].annotation) in (list, tuple)


def validated(model: type[Any], given: dict[str, Any] | bytes) -> Any:
    """Read what a request says. Raises Refused."""
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as error:
        raise errors.refusal_of(error) from None


def body_of(options: type[BaseModel], in_json: type[BaseModel]) -> dict[str, Any]:
    """Return what `read` takes, for the OpenAPI page."""
    in_form = options.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    for name, field in in_form["properties"].items():
        if is_list(options, name):
            in_form["properties"][name] = field | {"type": "array", "items": field.get("items", {"type": "string"})}
            in_form["properties"][name].pop("anyOf", None)
    in_form["properties"] = {FIELD: files, **in_form["properties"]}
    if in_json.model_fields[FIELD].is_required():
        in_form["required"] = [FIELD, *in_form.get("required", ())]
    content = {"multipart/form-data": in_form, "application/json": in_json.model_json_schema()}
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in content.items()}}
