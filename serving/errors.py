"""Every answer that is no success, in one shape and from one table.

    {"error": {"message": "...", "type": "invalid_request_error", "code": "too_many_pixels", "param": "image"}}

It is OpenAI's, which their clients read everywhere. `message` is one sentence that says what was wrong and what is
accepted; `code` is stable.
"""

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from ray.exceptions import RayActorError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gencv.core.errors import (
    BadImage,
    BadInput,
    BrokenBundle,
    BrokenIndex,
    ContentFiltered,
    GencvError,
    Gone,
    HistoryUnavailable,
    InUse,
    KeyReused,
    ModelUnavailable,
    NotFound,
    NotSupported,
    OutOfMemory,
    QueueFull,
    UnknownName,
)

log = logging.getLogger("ray.serve")


class Refused(GencvError):
    """A request that is not served: an HTTP status, a stable code, and a sentence."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message, param, headers)

    @property
    def status(self) -> int:
        return int(self.args[0])

    @property
    def code(self) -> str:
        return str(self.args[1])

    @property
    def param(self) -> str | None:
        """The parameter that is at fault."""
        param: str | None = self.args[3]
        return param

    @property
    def headers(self) -> dict[str, str] | None:
        headers: dict[str, str] | None = self.args[4]
        return headers

    def __str__(self) -> str:
        return str(self.args[2])


class Busy(Refused):
    """All replicas have as much to do as they take; nothing of the request was begun."""

    def __init__(self, retry_after_s: int = 2) -> None:
        message = f"All replicas are busy; try again in {retry_after_s} seconds."
        Refused.__init__(self, 429, "busy", message, None, {"Retry-After": str(retry_after_s)})

    def __reduce__(self) -> Any:
        return Busy, (int(self.headers["Retry-After"]) if self.headers else 2,)


def died() -> Refused:
    """Return what is said where every copy that a call was tried on died under it."""
    message = "The copies that worked on this ended, and new ones start; try again in 10 seconds."
    return Refused(503, "copies_died", message, None, {"Retry-After": "10"})


STATUSES: dict[type[GencvError], tuple[int, str]] = {
    UnknownName: (400, "unknown_name"),
    NotFound: (404, "not_found"),
    Gone: (410, "gone"),
    InUse: (503, "in_use"),
    KeyReused: (409, "idempotency_mismatch"),
    QueueFull: (429, "busy"),
    BadInput: (400, "bad_input"),
    NotSupported: (400, "not_supported"),
    ContentFiltered: (400, "moderation_blocked"),
    OutOfMemory: (413, "out_of_memory"),
    ModelUnavailable: (503, "model_unavailable"),
    BrokenBundle: (503, "model_broken"),
    BrokenIndex: (503, "index_broken"),
    HistoryUnavailable: (503, "history_unavailable"),
}
"""Status and code of every error that a request can meet; the first class that fits."""

RETRY_AFTER_S = {"in_use": "5", "busy": "30"}
"""After which errors the same request may come again, and when."""

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def status_of(error: GencvError) -> tuple[int, str]:
    """Return the HTTP status and the code of an error."""
    if isinstance(error, Refused):
        return error.status, error.code
    if isinstance(error, BadImage):
        return (413 if error.code.startswith("too_many") else 400), error.code
    for kind, found in STATUSES.items():
        if isinstance(error, kind):
            return found
    return 500, "failed"


def body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """Return the one shape of an error."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def told(error: Exception, param: str | None = None) -> dict[str, Any]:
    """Return an error in the one shape where no status can go with it: in a stream, of a job, of one picture of many.

    param: at fault unless the error says another.
    """
    if isinstance(error, RayActorError):
        error = died()
    if isinstance(error, GencvError):
        status, code = status_of(error)
        own = error.param if isinstance(error, Refused) else None
        return body(status, code, str(error), own or param)
    log.exception("what was promised failed", exc_info=error)
    return body(500, "failed", "Something went wrong here; the log has more.")


def answer(error: GencvError) -> JSONResponse:
    """Return the response for an error that a person can mend."""
    status, code = status_of(error)
    after_s = RETRY_AFTER_S.get(code)
    param, headers = (None, {"Retry-After": after_s} if after_s else None)
    if isinstance(error, Refused):
        param, headers = error.param, error.headers
    return JSONResponse(body(status, code, str(error), param), status, headers=headers)


def install(api: FastAPI) -> None:
    """Give an API the one shape for all of its errors."""

    @api.exception_handler(GencvError)
    async def on_gencv(request: Request, error: GencvError) -> Response:
        return answer(error)

    @api.exception_handler(RayActorError)
    async def on_death(request: Request, error: RayActorError) -> Response:
        log.warning("all tries of a call died", exc_info=error)
        return answer(died())

    @api.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        return answer(refusal_of(error))

    @api.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        code = re.sub(r"\W+", "_", str(error.detail)).strip("_").lower() if error.status_code < 500 else "failed"
        return JSONResponse(
            body(error.status_code, code, f"{error.detail}."), error.status_code, headers=dict(error.headers or {})
        )

    @api.exception_handler(Exception)
    async def on_mistake(request: Request, error: Exception) -> Response:
        log.exception("a request failed", exc_info=error)
        return JSONResponse(body(500, "failed", "Something went wrong here; the log has more."), 500)


def refusal_of(error: RequestValidationError | ValidationError) -> Refused:
    """Say the first thing that is wrong with a request's fields, by the field's name."""
    first = error.errors()[0]
    where = [str(one) for one in first["loc"] if one not in ("body", "query", "path", "header")]
    name = ".".join(where)
    if first["type"] == "extra_forbidden":
        return Refused(400, "unknown_parameter", f"Unknown parameter: {name!r}.", name)
    if first["type"] == "missing":
        return Refused(400, "missing_parameter", f"The parameter {name or 'body'!r} is missing.", name or None)
    if first["type"] == "json_invalid":
        return Refused(400, "invalid_json", "The body is no valid JSON.")
    return Refused(400, "invalid_parameter", f"{name or 'The body'}: {first['msg']}.", name or None)
