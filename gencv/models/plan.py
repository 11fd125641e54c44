"""Which pictures each step of a training sees: a pure function of the seed, so that a resumed run goes on exactly.

A run is one long list of steps: the training steps of an epoch, then its validation steps, then the next epoch. The
plan knows nothing of workers; each takes its share of every step, so that their number may change in between.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gencv.core.seeds import rng_for


@dataclass(frozen=True)
class Step:
    """One step: its rows of the manifest, int64 [B]. epoch and index count from 0; index within the epoch."""

    epoch: int
    index: int
    is_training: bool
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps of a run.

    train, val: rows of the manifest, as tuples of ints. strata: for each of `train`, the number of the stratum
    that it is drawn from in equal shares; empty: all rows as they come, each once an epoch.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    epochs: int
    batch_size: int
    seed: int = 0
    strata: tuple[int, ...] = ()

    @property
    def num_train_steps(self) -> int:
        """Training steps of an epoch; the last one may be smaller."""
        return -(-len(self.train) // self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return self.num_train_steps + -(-len(self.val) // self.batch_size)

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __getitem__(self, number: int) -> Step:
        """Return step `number` of the whole run, 0 to len - 1."""
        assert 0 <= number < len(self)
        epoch, index = divmod(number, self.steps_per_epoch)
        is_training = index < self.num_train_steps
        order, place = (
            (order_of(self, epoch), index) if is_training else (np.array(self.val), index - self.num_train_steps)
        )
        rows = order[place * self.batch_size : (place + 1) * self.batch_size]
        return Step(epoch, index, is_training, rows)

    def __hash__(self) -> int:
        return hash((len(self.train), self.epochs, self.batch_size, self.seed))


@lru_cache(maxsize=2)
def order_of(plan: Plan, epoch: int) -> np.ndarray:
    """Return the rows of an epoch in their order, int64 [N].

    With strata, N rows are drawn so that each stratum has its equal share; a small one is gone through several times,
    each time whole before any of its rows comes again.
    """
    rng = rng_for(plan.seed, "order", str(epoch))
    rows = np.array(plan.train, np.int64)
    if not plan.strata:
        return np.asarray(rng.permutation(rows))
    strata = np.array(plan.strata)
    names = np.unique(strata)
    drawn = []
    for place, name in enumerate(names):
        members = rows[strata == name]
        share = len(rows) // len(names) + (place < len(rows) % len(names))
        rounds = [rng.permutation(members) for _ in range(-(-share // len(members)))]
        drawn.append(np.concatenate(rounds)[:share])
    return np.asarray(rng.permutation(np.concatenate(drawn)))


def share_of(rows: np.ndarray, rank: int, num_workers: int) -> np.ndarray:
    """Return one worker's part of a step's rows; all parts together are the step, each row once."""
    return rows[rank::num_workers]
