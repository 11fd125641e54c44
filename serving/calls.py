"""Call a deployment from another, and try again where a replica died under the call."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from gencv.core.errors import GencvError
from serving.errors import Busy

MAX_TRIES = 3
"""Of a call whose replica died; each try is another replica's, as far as there are any."""


async def call(handle: Any, method: str, *args: Any, **options: Any) -> Any:
    """Return what a method of a deployment gives; for methods that may run twice.

    options: of the handle, `multiplexed_model_id` say. Raises the GencvError that the method raised, or Busy where its
    queue is full; a replica's death only after MAX_TRIES.
    """
    chosen = handle.options(**options) if options else handle
    for left in reversed(range(MAX_TRIES)):
        try:
            with plain_errors():
                return await answer_of(getattr(chosen, method).remote(*args))
        except RayActorError:
            if not left:
                raise
    raise AssertionError


async def answer_of(response: Any) -> Any:
    """Wait for an answer; who is cancelled while he waits cancels the work for it."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


async def stream(handle: Any, method: str, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
    """Give what a generator of a deployment yields; who stops listening cancels it there.

    Raises as `call` does, but is not tried again: what came before a replica's death is the caller's to know.
    """
    response = getattr(handle.options(stream=True, **options), method).remote(*args)
    try:
        with plain_errors():
            async for item in response:
                yield item
    finally:
        response.cancel()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what a deployment raised as it was raised there, not in Ray's wrapping."""
    try:
        yield
    except BackPressureError:
        raise Busy() from None
    except RayTaskError as error:
        if isinstance(error.cause, GencvError):
            raise error.cause from None
        raise
