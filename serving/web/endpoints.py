"""The other applications, as the page asks them."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import gradio as gr
import httpx2

from serving.web.entry import COOKIE
from serving.web.said import Told

TIMEOUT = httpx2.Timeout(10, read=None)
"""Of a connection; an answer takes what it takes, and who waits for it can leave."""


AWAY = "The endpoints do not answer; try again in some seconds."


class Endpoints:
    """A client of the applications, for many people at once: each request brings the key of its own."""

    def __init__(self, address: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """transport: how they are reached, where not over a network."""
        self.client = httpx2.AsyncClient(base_url=address, transport=transport, timeout=TIMEOUT, trust_env=False)

    async def ask(self, asker: gr.Request, method: str, path: str, **content: Any) -> Any:
        """Return the JSON of an answer. content: json, data, files, params, headers, as httpx takes them.

        Raises Told, which the page shows, with the sentence of an error.
        """
        answer = await self.send(asker, method, path, **content)
        return answer.json()

    async def file(self, asker: gr.Request, path: str) -> bytes:
        """Return a file of an application. Raises Told."""
        return (await self.send(asker, "GET", path)).content

    async def shut(self, asker: gr.Request, application: str) -> str:
        """Return why a key opens none of an application's routes, "" where it does."""
        try:
            answer = await self.client.get(f"{application}/v1", headers=key_of(asker))  # whatever is there
        except httpx2.TransportError:
            return AWAY
        return sentence_of(answer.content) if answer.status_code in (401, 403) else ""

    async def send(self, asker: gr.Request, method: str, path: str, **content: Any) -> httpx2.Response:
        with_key = key_of(asker) | content.pop("headers", {})
        try:
            answer = await self.client.request(method, path, headers=with_key, **content)
        except httpx2.TransportError:
            raise Told(AWAY) from None
        if answer.is_error:
            raise Told(sentence_of(answer.content))
        return answer

    async def events(
        self, asker: gr.Request, method: str, path: str, **content: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Give the events of a stream, each as the dict of its `data`; who stops listening has left.

        A comment, which tells how far the work is, comes as {"comment": "step 3/30"}. Raises Told.
        """
        try:
            async with self.client.stream(method, path, headers=key_of(asker), **content) as answer:
                if answer.is_error:
                    raise Told(sentence_of(await answer.aread()))
                async for line in answer.aiter_lines():
                    if line.startswith(": "):
                        yield {"comment": line.removeprefix(": ")}
                    elif line.startswith("data: ") and line != "data: [DONE]":
                        event = json.loads(line.removeprefix("data: "))
                        if error := event.get("error"):
                            raise Told(error["message"])
                        yield event
        except httpx2.TransportError:
            raise Told("The endpoints stopped answering; try again in some seconds.") from None


def key_of(asker: gr.Request) -> dict[str, str]:
    """Return the header with the key that somebody signed in with."""
    key = asker.cookies.get(COOKIE)
    return {"x-api-key": key} if key else {}


def sentence_of(body: bytes) -> str:
    """Return what an error says."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "Something went wrong; the log has more."
