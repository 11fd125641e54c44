"""Randomness that belongs to a picture, never to a position, a batch, or a worker."""

import hashlib

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


def _digest(seed: int, *names: str) -> bytes:
    return hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()
