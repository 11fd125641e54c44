"""Clients of the endpoints: what they ask, how often, and what they see. All of them are one process."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

TIMEOUT_S = 130
"""Longer than the server's own, which is to be seen."""
TEXTS = ("a cat", "two people on a street", "food on a plate", "a red dress", "a bus", "a dog in the snow", "shoes")
PROMPTS = ("a red apple on a white background", "a blue car on a green background", "a yellow cat on a red background")

Wish = tuple[str, str, dict[str, Any]]
"""Method, path, and what else httpx2's `request` takes."""

OnAnswer = Callable[[str, httpx2.Response], None]
"""Told of each accepted request, and of what kind it was."""


def nothing(name: str, answer: httpx2.Response) -> None:
    """Be told, and forget."""


@dataclass
class Seen:
    """What was answered to requests of one kind."""

    took_ms: list[float] = field(default_factory=list)
    """Of the accepted ones."""
    refused: Counter[int] = field(default_factory=Counter)
    """429 and 503 that say when to come again, by status."""
    failed: Counter[str] = field(default_factory=Counter)
    """All else, by status or kind of error."""

    @property
    def count(self) -> int:
        return len(self.took_ms) + self.refused.total() + self.failed.total()

    def quantile_ms(self, share: float) -> float:
        return float(np.quantile(self.took_ms, share)) if self.took_ms else float("nan")


@dataclass(frozen=True)
class Kind:
    """A kind of request, and how often it comes among the others."""

    weight: float
    make: Callable[[np.random.Generator], Wish]


def check(pictures: Sequence[Path], path: str = "/spoof/v1/check", **more: Any) -> Kind:
    """Judge a photograph, sent as a form. more: what else httpx2's `request` takes."""
    return Kind(0.3, lambda rng: ("POST", path, {"files": {"image": drawn(pictures, rng)}, **more}))


def mixed(pictures: Sequence[Path], ids: Sequence[str]) -> dict[str, Kind]:
    """Return what a page with all of it in use asks. ids: of pictures in the index."""

    def paint(rng: np.random.Generator) -> Wish:
        asked = {"prompt": str(rng.choice(PROMPTS)), "num_inference_steps": 4, "seed": int(rng.integers(2**32))}
        return "POST", "/v1/images/generations", {"json": asked}

    return {
        "check": check(pictures),
        "search by text": Kind(
            0.25, lambda rng: ("POST", "/search/v1/query", {"json": {"text": str(rng.choice(TEXTS)), "k": 20}})
        ),
        "search by picture": Kind(
            0.1, lambda rng: ("POST", "/search/v1/query", {"files": {"image": drawn(pictures, rng)}})
        ),
        "thumbnail": Kind(0.2, lambda rng: ("GET", f"/search/v1/items/{rng.choice(ids)}/thumbnail", {})),
        "paint": Kind(0.05, paint),
        "health": Kind(0.1, lambda rng: ("GET", "/spoof/healthz", {})),
    }


def drawn(pictures: Sequence[Path], rng: np.random.Generator) -> tuple[str, bytes]:
    return "photo.jpg", pictures[rng.integers(len(pictures))].read_bytes()


async def ask(
    address: str,
    kinds: dict[str, Kind],
    *,
    clients: int,
    until: Callable[[], bool],
    headers: dict[str, str] | None = None,
    on_answer: OnAnswer = nothing,
) -> dict[str, Seen]:
    """Let so many clients ask, each one request after the other, until it is enough; returns what they saw.

    A client that is told when to come again waits for so long, and then asks for something else. One that finds nobody
    waits a tenth of a second.
    """
    seen = {name: Seen() for name in kinds}
    weights = np.array([kind.weight for kind in kinds.values()])

    async def client(http: httpx2.AsyncClient, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not until():
            name = str(rng.choice(list(kinds), p=weights / weights.sum()))
            method, path, more = kinds[name].make(rng)
            began = time.perf_counter()
            try:
                answer = await http.request(method, path, **more)
            except httpx2.HTTPError as error:
                seen[name].failed[type(error).__name__] += 1
                await asyncio.sleep(0.1)
                continue
            if answer.is_success:
                seen[name].took_ms.append((time.perf_counter() - began) * 1000)
                on_answer(name, answer)
            elif answer.status_code in (429, 503) and "retry-after" in answer.headers:
                seen[name].refused[answer.status_code] += 1
                await asyncio.sleep(float(answer.headers["retry-after"]))
            else:
                seen[name].failed[f"{answer.status_code} {answer.text[:200]}"] += 1

    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    options: dict[str, Any] = {"timeout": TIMEOUT_S, "limits": limits, "headers": headers, "trust_env": False}
    async with httpx2.AsyncClient(base_url=address, **options) as http:
        await asyncio.gather(*(client(http, number) for number in range(clients)))
    return seen


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Return what says when the seconds from now are over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
