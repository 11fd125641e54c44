"""Find the cluster, or start a local one, quietly."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from gencv.core.errors import BadInput

QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else every actor pool prints an alarming line that means nothing (ray#53727)
    # A worker inherits the driver's environment as it is; resolving it again would need the network.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


def connect(address: str | None) -> None:
    """Connect to a cluster: `address`, else $RAY_ADDRESS, else one running on this machine, else a new local one.

    Raises BadInput if the given address does not answer. A process connects once; a second call does nothing.
    """
    if ray.is_initialized():
        return
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with silent_stderr():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise BadInput(f"No Ray cluster answers at {address or os.environ.get('RAY_ADDRESS')!r}: {error}") from None
    context = ray.data.DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = 600


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep what native code writes to stderr to itself: Ray's core announces there that it will be quiet."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def num_gpus() -> int:
    """Return the GPUs of the connected cluster."""
    return int(ray.cluster_resources().get("GPU", 0))


def num_cpus() -> int:
    """Return the CPUs of the connected cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
