"""Work that whoever waits for it may stop, at once and whatever else is going on.

Gradio can cancel an event too, but what the page shows of that depends on which of two messages is faster.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import gradio as gr

Given = TypeVar("Given")


class Stops:
    """What is going on in one tab of all open pages."""

    def __init__(self) -> None:
        self.asked: dict[str, set[asyncio.Event]] = {}

    async def until_stopped(self, asker: gr.Request, work: AsyncGenerator[Given, None]) -> AsyncGenerator[Given, None]:
        """Give what work gives, until the page says `stop`; then work is closed."""
        stop = asyncio.Event()
        page = asker.session_hash or ""
        self.asked.setdefault(page, set()).add(stop)
        told = asyncio.ensure_future(stop.wait())
        async with aclosing(work):
            try:
                while not stop.is_set():
                    coming = asyncio.ensure_future(anext(work, None))
                    try:
                        await asyncio.wait({coming, told}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not coming.done():
                            coming.cancel()
                            await asyncio.wait({coming})
                    if coming.cancelled() or (given := coming.result()) is None:
                        return
                    yield given
            finally:
                told.cancel()
                self.asked[page].discard(stop)
                if not self.asked[page]:
                    del self.asked[page]

    async def stop(self, asker: gr.Request) -> None:
        """Stop all that a page waits for."""
        for stop in self.asked.get(asker.session_hash or "", ()):
            stop.set()
