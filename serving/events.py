"""Clients that wait: events as they happen (server-sent events, as the WHATWG's HTML has them), and who has left."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serving import errors

DONE = b"data: [DONE]\n\n"
"""What ends a stream of OpenAI's."""


class Events(StreamingResponse):
    """A stream of events; it is closed, and its work with it, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.lines.aclose()


def event(kind: str, data: dict[str, Any]) -> bytes:
    """Return an event; its kind stands in its data too."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def comment(text: str) -> bytes:
    """Return a line that clients skip, which keeps the connection open and tells a person what is going on."""
    return f": {text}\n\n".encode()


def failed(error: Exception) -> bytes:
    """Return the event of an error after the stream has begun: its status was 200, and cannot be another any more."""
    return f"data: {json.dumps(errors.told(error))}\n\n".encode()


async def unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """Return what work gives, for a client that waits for it; one that goes away cancels it, and is answered 499.

    The body must have been read. A server says that a client has left only to those who ask.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise errors.Refused(499, "disconnected", "The client went away.")
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
