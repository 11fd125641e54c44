"""Measurements of our own, beside Ray's on the same page of Prometheus."""

from collections.abc import Callable
from functools import cache

from ray.util.metrics import Counter, Gauge, Histogram

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
SIZES: list[float] = [1, 2, 4, 8, 16, 32, 64]


@cache
def requests() -> Counter:
    return Counter("gencv_requests", "Requests, by their answer.", tag_keys=("application", "route", "status"))


@cache
def latency() -> Histogram:
    return Histogram("gencv_request_seconds", "From the first byte to the last.", SECONDS, ("application", "route"))


@cache
def stages() -> Histogram:
    return Histogram("gencv_stage_seconds", "Time of a step of a request.", SECONDS, ("application", "stage"))


@cache
def batch_sizes() -> Histogram:
    return Histogram("gencv_batch_size", "Requests that a model took at once.", SIZES, ("application",))


@cache
def in_flight() -> Gauge:
    return Gauge("gencv_requests_in_flight", "Requests that a copy of the API has not answered yet.", ("application",))


@cache
def waiting() -> Gauge:
    tags = ("application", "model")
    return Gauge(
        "gencv_waiting", "What waits for a model: requests, and of a painter pictures, painted ones too.", tags
    )


@cache
def verdicts() -> Counter:
    return Counter("gencv_verdicts", "Verdicts, by their label.", tag_keys=("task", "label"))


def count_waiting(application: str, model: str = "") -> Callable[[int], None]:
    """Return what is told how much waits for a model."""
    return lambda count: waiting().set(count, {"application": application, "model": model})


def measure_request(application: str, route: str, status: int, took_s: float) -> None:
    """Count a request and its time."""
    requests().inc(tags={"application": application, "route": route, "status": str(status)})
    latency().observe(took_s, {"application": application, "route": route})
