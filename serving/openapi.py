"""The page that describes an application's requests, and the document behind it.

`/docs` brings its own scripts, so it opens without a network. To what FastAPI finds out about the
routes the document adds what all of them share: keys, the one shape of errors, and examples, which are real answers of
the starter models (`examples/`; long texts of base64 are cut).
"""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving import errors
from serving.answers import Failure, Fault

SCRIPTS = "/static-offline-docs"
PAGES = ("/docs", "/openapi.json")
HEALTH, HISTORY = "health", "history"
"""The tags of routes that ask for no key, and of those that all applications have: they come last on a page."""
EXAMPLES = Path(__file__).with_name("examples")
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}


JSON = "application/json"
REFERENCE = "#/components/schemas/{model}"


FAILURES: dict[int, tuple[str, dict[str, Any]]] = {
    status: (meaning, errors.body(status, code, message, param))
    for status, meaning, code, message, param in (
        (400, "Something is wrong with the request.", "unknown_parameter", "Unknown parameter: 'speed'.", "speed"),
        (401, "No valid key.", "invalid_api_key", "Give a valid API key as `Authorization: Bearer KEY`.", None),
        (403, "Not for this key, or switched off here.", "wrong_scope", "This key is not for search.", None),
        (404, "It is not there.", "not_found", "The index has no picture 'a1'.", None),
        (408, "The request came too slowly.", "body_timeout", "The request took too long to arrive.", None),
        (409, "It was said before, and otherwise.", "idempotency_mismatch", "Take another key for another job.", None),
        (410, "It was there once.", "gone", "Version 3 of the index is not there any more.", None),
        (413, "Too large.", "body_too_large", "The request is too large; 32 MB are accepted.", None),
        (415, "Of another type.", "unsupported_media_type", "Send multipart/form-data or application/json.", None),
        (429, "Too much at once: again after `Retry-After` seconds.", "busy", str(errors.Busy()), None),
        (501, "Not switched on here.", "no_jobs", "No jobs are kept here; `jobs.folder` starts that.", None),
        (503, "Not at the moment.", "index_broken", "The index is damaged; the log names the file.", None),
    )
}
"""What each status means, and an example."""
ALWAYS = (400, 401, 403, 413, 429, 503)
WITH_BODY = (408, 415)


def new_documented(name: str, **facts: Any) -> FastAPI:
    """Return a FastAPI with its page. name: of its file of examples, where there is one."""
    # Redoc's page would ask its maker's site for a picture.
    api = FastAPIOffline(**facts, redoc_url=None, swagger_ui_parameters={"validatorUrl": None})
    described = api.openapi
    path = EXAMPLES / f"{name}.json"
    examples = json.loads(path.read_text()) if path.exists() else {}

    def completed() -> dict[str, Any]:
        if not api.openapi_schema:
            complete(described(), name, examples)
        return described()

    api.openapi = completed  # type: ignore[method-assign]
    return api


def complete(document: dict[str, Any], name: str, examples: dict[str, Any]) -> None:
    """Add what all routes share, and their examples. name: the tag of routes without one."""
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = SECURITY
    schemas = parts.setdefault("schemas", {})
    for model in (Fault, Failure):
        schemas[model.__name__] = model.model_json_schema(ref_template=REFERENCE)
    schemas["Failure"].pop("$defs")
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which is never sent
        schemas.pop(unused, None)
    tags: dict[str, None] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            untwist(operation)
            tags |= dict.fromkeys(operation.setdefault("tags", [name]))
            if said := operation.get("description"):
                operation["summary"] = said.partition("\n")[0].rstrip(".")
            add_failures(path, operation)
            add_examples(operation, examples.get(f"{method.upper()} {path}", {}))
    last = (HISTORY, HEALTH)
    document["tags"] = [{"name": tag} for tag in [*(tag for tag in tags if tag not in last), *last] if tag in tags]


def untwist(operation: dict[str, Any]) -> None:
    """Let an answer be what its route says it is, and not also the dict that it is sent as."""
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            if "$ref" in content.get("schema", {}):
                content["schema"] = {"$ref": content["schema"]["$ref"]}


def add_failures(path: str, operation: dict[str, Any]) -> None:
    """Say with what a route may fail, in the one shape. What is its own has it as a `responses` without a content."""
    answers = operation["responses"]
    answers.pop("422", None)
    statuses = {int(status) for status in answers if int(status) >= 400} | {503}
    if HEALTH not in operation["tags"]:
        operation["security"] = [*({name: []} for name in SECURITY), {}]
        statuses |= {*ALWAYS, *(WITH_BODY if "requestBody" in operation else ()), *((404,) if "{" in path else ())}
    for status in sorted(statuses):
        meaning, example = FAILURES[status]
        content = {"schema": {"$ref": REFERENCE.format(model="Failure")}, "example": example}
        answers[str(status)] = {"description": meaning, "content": {JSON: content}} | answers.get(str(status), {})


def add_examples(operation: dict[str, Any], example: dict[str, Any]) -> None:
    """Show what was asked, in JSON, in a form, or in the address, and what was answered."""
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        if kind in example.get("request", {}):
            body["example"] = example["request"][kind]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]
    for status, answer in example.get("responses", {}).items():
        for kind, body in answer.items():
            operation["responses"][status].setdefault("content", {}).setdefault(kind, {})["example"] = body


def is_page(path: str) -> bool:
    """Whether a path within an application is one of its pages, or part of one."""
    return path in PAGES or path.startswith(f"{SCRIPTS}/")
