"""Put requests that wait for the same model into one batch.

Nobody waits for company: an idle model starts at once with what is there, and all that comes meanwhile is the next
batch. So the wait grows with the load only, and never by a clock.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Batcher:
    """Calls of one item each, made into calls of many."""

    run: Callable[[Sequence[Any]], Sequence[Any]]
    """Items to as many results, in a thread of its own. An Exception as a result is raised for its caller alone."""
    max_size: int
    weight: Callable[[Any], int] = lambda item: 1
    """How much of `max_size` an item takes."""
    waiting: list[tuple[Any, asyncio.Future[Any]]] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None
    on_batch: Callable[[int], None] = lambda size: None
    """Told the size of each batch."""
    on_waiting: Callable[[int], None] = lambda count: None
    """Told how many wait for the next one, whenever that changes."""

    async def __call__(self, item: Any) -> Any:
        """Return the result of one item. A caller that is cancelled before its batch begins costs nothing."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((item, future))
        self.on_waiting(len(self.waiting))
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while batch := self._next():
            items = [item for item, _ in batch]
            self.on_batch(len(items))
            try:
                results = await asyncio.to_thread(self.run, items)
            except Exception as error:
                results = [error] * len(items)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # its caller went away
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _next(self) -> list[tuple[Any, asyncio.Future[Any]]]:
        """Take what fits, oldest first; one item always fits."""
        self.waiting = [pair for pair in self.waiting if not pair[1].done()]
        taken = used = 0
        for item, _ in self.waiting:
            used += self.weight(item)
            if taken and used > self.max_size:
                break
            taken += 1
        batch, self.waiting = self.waiting[:taken], self.waiting[taken:]
        self.on_waiting(len(self.waiting))
        return batch
