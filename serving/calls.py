"""Call a deployment from another, and try again where a replica died under the call."""

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
            return await getattr(chosen, method).remote(*args)
        except BackPressureError:
            raise Busy() from None
        except RayTaskError as error:
            if isinstance(error.cause, GencvError):  # as it was raised there, not Ray's wrapping of it
                raise error.cause from None
            raise
        except RayActorError:
            if not left:
                raise
    raise AssertionError
