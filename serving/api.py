"""What every application shares: the door, request ids, one log line and one measurement a request, health."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.answers import Alive
from serving.answers import Ready as IsReady
from serving.door import Door, Doorkeeper
from serving.metrics import in_flight, measure_request
from serving.openapi import HEALTH, new_documented

log = logging.getLogger("ray.serve")
VERSION = version("gencv")

Ready = Callable[[], Awaitable[dict[str, Any]]]
"""What is loaded, by name and version; raises a GencvError where it is not."""


def new_api(
    scope: str,
    title: str,
    description: str,
    door: Door,
    ready: Ready,
    on_stop: Callable[[], None] | None = None,
    is_counted: bool = True,
) -> FastAPI:
    """Return an application of which only health is served yet.

    scope: its name, and what a key must be for. description: its module's docstring; its last paragraph, for readers of
    the code, does not go onto the page of requests. on_stop: called once, in a thread, when the application stops.
    is_counted: whether requests use up the rate of their key.
    """

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        yield
        if on_stop:
            await asyncio.to_thread(on_stop)

    said = description.rpartition("\n\n")[0]
    api = new_documented(scope, title=title, description=said, version=VERSION, lifespan=lifespan)
    errors.install(api)
    api.add_middleware(Doorkeeper, door=door, scope=scope, is_counted=is_counted)
    api.add_middleware(Noted, name=scope)

    @api.get("/healthz", tags=[HEALTH], responses={200: {"model": Alive}})
    async def healthz() -> dict[str, str]:
        """Say that this process answers."""
        return {"status": "ok"}

    @api.get("/readyz", tags=[HEALTH], responses={200: {"model": IsReady}})
    async def readyz() -> dict[str, Any]:
        """Name the models that are loaded, and their versions."""
        return {"status": "ready", "version": VERSION, **await ready()}

    return api


class Noted:
    """ASGI middleware: an id for each request, in its log line; its time into the metrics.

    The id is Serve's own, which its proxy makes where a client gives none, and puts into the answer's `x-request-id`.
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        self.app, self.name, self.open = app, name, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if re.fullmatch(r"[\w.-]{1,64}", given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0
        self.count(1)

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            status = status or 499  # its client went away
            raise
        finally:
            self.count(-1)
            status = status or 500
            took_s = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "none")
            measure_request(self.name, route, status, took_s)
            state = scope["state"]
            log.info(
                "%s %s %d",
                scope["method"],
                route,
                status,
                extra={"request": request_id, "caller": state.get("caller", ""), "ms": round(took_s * 1000, 1)},
            )

    def count(self, more: int) -> None:
        self.open += more
        in_flight().set(self.open, {"application": self.name})
