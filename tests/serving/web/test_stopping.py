"""Work that a page may stop."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from serving.web.stopping import Stops

MINE: Any = SimpleNamespace(session_hash="mine")
YOURS: Any = SimpleNamespace(session_hash="yours")


def run(act: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own; where a browser is driven, this thread has one already."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, act).result(20)


class Work:
    """Gives 1 and 2, and then, if it waits, nothing until it is closed."""

    def __init__(self, waits: bool) -> None:
        self.waits, self.is_closed, self.waiting = waits, False, asyncio.Event()

    async def run(self) -> AsyncGenerator[int, None]:
        try:
            for number in (1, 2):
                yield number
            if self.waits:
                self.waiting.set()
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def collected(stops: Stops, asker: Any, work: Work) -> list[int]:
    return [number async for number in stops.until_stopped(asker, work.run())]


def test_work_that_nobody_stops_ends_by_itself() -> None:
    async def act() -> None:
        stops, work = Stops(), Work(waits=False)
        await stops.stop(MINE)  # nothing is there yet
        assert await collected(stops, MINE, work) == [1, 2]
        assert work.is_closed and not stops.asked

    run(act())


def test_who_stops_stops_his_own_and_nobody_elses() -> None:
    async def act() -> None:
        stops, mine, yours = Stops(), Work(waits=True), Work(waits=True)
        first, second = (asyncio.create_task(collected(stops, *one)) for one in ((MINE, mine), (YOURS, yours)))
        await asyncio.gather(mine.waiting.wait(), yours.waiting.wait())
        await stops.stop(MINE)
        assert await first == [1, 2] and mine.is_closed
        assert not second.done() and not yours.is_closed
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert yours.is_closed and not stops.asked

    run(act())


def test_an_error_of_the_work_is_told() -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("no")

    async def act() -> None:
        stops = Stops()
        with pytest.raises(ValueError, match="no"):
            async for _ in stops.until_stopped(MINE, broken()):
                pass
        assert not stops.asked

    run(act())
