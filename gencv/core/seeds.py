"""Randomness that belongs to a picture, never to a position, a batch, or a worker."""

import hashlib
from collections.abc import Sequence

import numpy as np


def rng_for(seed: int, *names: str) -> np.random.Generator:
    """Return the random state of one named thing under one seed.

    names: what the draw is for, most often an image id and the act, as in `rng_for(seed, id, "blur")`. The same seed
    and names give the same draws on any machine, with any number of workers and any batch size.
    """
    return np.random.default_rng(int.from_bytes(_digest(seed, *names), "big"))


def uniform_for(seed: int, *names: str) -> float:
    """Return one draw from [0, 1) for a named thing: `rng_for` without the cost of building a generator."""
    return int.from_bytes(_digest(seed, *names)[:7], "big") / 2**56


def draw_each(names: Sequence[str], ids: Sequence[str], count: int, seed: int, act: str) -> list[int]:
    """Draw at most `count` rows of every name, by their ids; returns the rows in their order."""
    left: dict[str, int] = dict.fromkeys(names, count)
    drawn = []
    for row in sorted(range(len(ids)), key=lambda row: uniform_for(seed, ids[row], act)):
        if left[names[row]]:
            left[names[row]] -= 1
            drawn.append(row)
    return sorted(drawn)


def _digest(seed: int, *names: str) -> bytes:
    return hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()
