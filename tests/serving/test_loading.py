"""Models that are loaded while their callers come and go."""

import asyncio
import threading
from typing import Any

import pytest

from serving.loading import Loads


def test_a_load_goes_on_when_its_caller_leaves() -> None:
    begun, go = [], threading.Event()

    def load() -> str:
        begun.append("once")
        go.wait(5)
        return "model"

    async def main() -> list[Any]:
        loads = Loads()
        first = asyncio.create_task(loads("a", load))
        while not begun:
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        second, third = asyncio.create_task(loads("a", load)), asyncio.create_task(loads("a", load))
        await asyncio.sleep(0)
        go.set()
        found = [first.cancelled(), await second, await third, len(begun), len(loads.tasks)]
        return [*found, await loads("a", load), len(begun)]  # it is for others to keep it

    assert asyncio.run(main()) == [True, "model", "model", 1, 0, "model", 2]


def test_what_was_loaded_for_nobody_is_there_for_the_next() -> None:
    begun: list[str] = []

    async def main() -> list[Any]:
        loads = Loads()
        first = asyncio.create_task(loads("a", lambda: begun.append("once") or "model"))
        await asyncio.sleep(0)
        first.cancel()
        while not loads.tasks["a"].done():
            await asyncio.sleep(0.01)
        return [await loads("a", lambda: "another"), len(begun), len(loads.tasks)]

    assert asyncio.run(main()) == ["model", 1, 0]


def test_a_load_that_failed_is_tried_again() -> None:
    def fail() -> str:
        raise OSError("no disk")

    async def main() -> str:
        loads = Loads()
        left = asyncio.create_task(loads("a", fail))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(OSError, match="no disk"):
            await loads("b", fail)
        while loads.tasks:
            await asyncio.sleep(0.01)
        found: str = await loads("a", lambda: "model")
        return found

    assert asyncio.run(main()) == "model"
