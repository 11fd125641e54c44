"""Find the cluster, or start a local one, quietly."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from joblib import cpu_count
from ray._private.utils import read_ray_address  # of a note that Ray gives no public way to read

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
    require_answer(address)
    address = living(address)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with silent_stderr():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BadInput(f"No Ray cluster answers at {address or os.environ.get('RAY_ADDRESS')!r}: {error}") from None
    context = ray.data.DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = 600


def is_there(address: str | None) -> bool:
    """Connect to a cluster if one is meant or running; False if a new local one would have to be started.

    Raises BadInput if the given address does not answer.
    """
    given = address or os.environ.get("RAY_ADDRESS", "")
    if not ray.is_initialized() and given != "local":
        try:
            connect(given or "auto")
        except BadInput:
            if given:
                raise
    return ray.is_initialized()


def require_answer(address: str | None) -> None:
    """Raise BadInput if nothing listens at HOST:PORT, the address or $RAY_ADDRESS.

    Ray itself would go on trying in silence for minutes.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    found = re.fullmatch(r"(?:ray://)?([\w.-]+):(\d+)", address)
    if found:
        try:
            socket.create_connection((found[1], int(found[2])), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise BadInput(f"No Ray cluster answers at {address!r}: {error}.") from None


def living(address: str | None) -> str | None:
    """Return what `ray.init` takes for an address: the same, or "local" where Ray would go to a cluster that is dead.

    `ray start` notes its address on the machine; where its head is killed the note stays, and Ray tries for minutes to
    reach it. Raises BadInput for "auto" then, which means that one must run.
    """
    if address not in (None, "", "auto") or os.environ.get("RAY_ADDRESS"):
        return address
    noted = read_ray_address()
    try:
        require_answer(noted)
    except BadInput:
        if address == "auto":
            raise
        return "local"
    return address


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


def device_for(address: str | None) -> str:
    """Return "cuda" where `map_parts` would infer on GPUs, those of a running cluster or else of this machine."""
    if is_there(address):
        return "cuda" if num_gpus() else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def num_cpus_here() -> int:
    """Return the CPUs that this process may use, as its affinity and the limit of its container have it."""
    return int(cpu_count())


def num_cpus_of_smallest_node() -> int:
    """Return what one process may ask for and still find a place on any node that has CPUs."""
    counts = (int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    return min((count for count in counts if count), default=1)


def room_for(bytes_each: int) -> int:
    """Return how many processes of this many bytes find a place in the memory of the cluster's nodes, one at least."""
    return max(1, sum(int(node["Resources"].get("memory", 0) // bytes_each) for node in ray.nodes() if node["Alive"]))


def num_cpus() -> int:
    """Return the CPUs of the connected cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
