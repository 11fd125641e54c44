"""Batches are made of what waits, never of a clock."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batching import Batcher


def test_one_alone_does_not_wait_and_the_rest_share_the_next_batch() -> None:
    go, sizes = threading.Event(), []

    def run(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        go.wait(5)
        return [2 * item for item in items]

    async def main() -> list[int]:
        batcher = Batcher(run, max_size=3)
        calls = [asyncio.create_task(batcher(item)) for item in range(1)]
        while not sizes:  # the first began before the others came
            await asyncio.sleep(0.01)
        calls += [asyncio.create_task(batcher(item)) for item in range(1, 6)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == [0, 2, 4, 6, 8, 10]
    assert sizes == [1, 3, 2]


def test_an_error_is_for_its_caller_alone_or_for_the_batch() -> None:
    def run(items: Sequence[Any]) -> list[Any]:
        if "all" in items:
            raise RuntimeError("no memory")
        return [ValueError(item) if item == "bad" else item for item in items]

    async def main(*items: str) -> list[Any]:
        batcher = Batcher(run, max_size=8)
        return await asyncio.gather(*map(batcher, items), return_exceptions=True)

    good, bad = asyncio.run(main("good", "bad"))
    assert good == "good" and isinstance(bad, ValueError)
    assert all(isinstance(one, RuntimeError) for one in asyncio.run(main("all", "good")))


def test_a_caller_that_left_costs_nothing() -> None:
    seen: list[str] = []
    go = threading.Event()

    def run(items: Sequence[str]) -> list[str]:
        seen.extend(items)
        go.wait(5)
        return list(items)

    async def main() -> str:
        batcher = Batcher(run, max_size=1)
        first = asyncio.create_task(batcher("first"))
        while not seen:
            await asyncio.sleep(0.01)
        left, stays = asyncio.create_task(batcher("left")), asyncio.create_task(batcher("stays"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        go.set()
        await first
        return await stays

    assert asyncio.run(main()) == "stays" and seen == ["first", "stays"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(1, 8))
def test_every_item_is_answered_once_and_no_batch_is_too_heavy(weights: list[int], max_size: int) -> None:
    batches: list[list[int]] = []

    def run(items: Sequence[tuple[int, int]]) -> list[int]:
        batches.append([weight for _, weight in items])
        return [number for number, _ in items]

    async def main() -> list[int]:
        batcher = Batcher(run, max_size=max_size, weight=lambda item: item[1])
        return await asyncio.gather(*(batcher((number, weight)) for number, weight in enumerate(weights)))

    assert asyncio.run(main()) == list(range(len(weights)))
    assert [weight for batch in batches for weight in batch] == weights
    assert all(len(batch) == 1 or sum(batch) <= max_size for batch in batches)


def test_the_next_call_after_an_idle_time_is_served() -> None:
    async def main() -> list[int]:
        batcher = Batcher(list, max_size=2)
        return [await batcher(1), await batcher(2)]

    assert asyncio.run(main()) == [1, 2]


@pytest.mark.parametrize("size", [1, 7])
def test_sizes_are_told(size: int) -> None:
    told: list[int] = []

    async def main() -> None:
        batcher = Batcher(list, max_size=8, on_batch=told.append)
        await asyncio.gather(*map(batcher, range(size)))

    asyncio.run(main())
    assert told == [size]
