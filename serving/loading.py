"""Load models in threads, and go on with it when those who wait leave.

A client, or what balances load, gives up after some seconds. A load that ended with it would begin anew for the next
one, and a model that takes longer than they wait would never be there.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any


class Loads:
    """What is being loaded, by name; used on one event loop."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def __call__(self, name: str, load: Callable[[], Any]) -> Any:
        """Return what `load` gives. Raises what it raises.

        One that still runs is not begun again, nor one that is done and for which nobody has stayed.
        """
        task = self.tasks.get(name)
        if task is None:
            task = self.tasks[name] = asyncio.create_task(asyncio.to_thread(load))
            task.add_done_callback(partial(self.forget, name))
        await asyncio.wait([task])  # which does not cancel it when it is cancelled itself
        self.tasks.pop(name, None)
        return task.result()

    def forget(self, name: str, task: asyncio.Task[Any]) -> None:
        """Let the next one try again what has failed."""
        if task.cancelled() or task.exception():
            self.tasks.pop(name, None)
