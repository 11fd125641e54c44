"""How far a figure can be trusted: the percentile bootstrap over groups of related pictures.

Pictures of one identity, or from one source photograph, fail together, so a bootstrap over single rows is far too
narrow. Here whole groups are drawn with replacement, within each class, so that no class can vanish. A replicate is
a vector of row weights (how often the row's group was drawn), which turns every figure into a weighted sum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Row weights [R, N] -> figures by name, each [R], NaN where a replicate leaves one undefined."""

NUM_REPLICATES = 1_000
FEW_GROUPS = 10
"""Under so many groups in a class the percentiles say little."""
_CELLS = 1_000_000  # weights held at a time: 8 MB, so that a chunk stays near the processor


@dataclass(frozen=True)
class Interval:
    """The central 95 % of a figure's replicates, and what speaks against trusting it."""

    low: float | None
    high: float | None
    note: str = ""


def bootstrap(
    statistics: Statistics,
    groups: np.ndarray,
    strata: np.ndarray,
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Resample groups with replacement within each stratum and return the percentile 95 % interval of each figure.

    groups, strata: [N], any type that sorts; the stratum is most often the class. A group with rows in two strata is
    drawn in each of them apart. The result is the same for the same seed whatever the order of the rows, up to
    rounding. Source: Efron and Tibshirani 1993, chapter 13; clusters as in ISO/IEC 19795-1.
    """
    found = replicate(statistics, groups, strata, num_replicates=num_replicates, seed=seed)
    fewest = fewest_groups(groups, strata)
    return {name: percentiles(values, fewest) for name, values in found.items()}


def replicate(
    statistics: Statistics, groups: np.ndarray, strata: np.ndarray, *, num_replicates: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the replicates [R] of each figure: what `bootstrap` takes its intervals from."""
    found: dict[str, list[np.ndarray]] = {}
    for weights in _weights(groups, strata, num_replicates, np.random.default_rng(seed)):
        for name, values in statistics(weights).items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def fewest_groups(groups: np.ndarray, strata: np.ndarray) -> int:
    """Return the number of groups in the stratum that has fewest; 0 without rows."""
    return min((len(np.unique(groups[strata == stratum])) for stratum in np.unique(strata)), default=0)


def exact_rate(value: float, num_groups: int) -> tuple[float, float]:
    """Return the 95 % Clopper-Pearson interval of a rate of exactly 0 or 1 over independent groups.

    Every replicate of such a rate is the same, so the bootstrap would claim certainty. A group counts as one trial,
    which is the careful reading. Source: Clopper and Pearson 1934.
    """
    assert value in (0.0, 1.0) and num_groups > 0
    doubt = float(betaincinv(1, num_groups, 0.975))
    return (0.0, doubt) if value == 0.0 else (1 - doubt, 1.0)


def _weights(
    groups: np.ndarray, strata: np.ndarray, num_replicates: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield float64 [R, N] until `num_replicates` rows have come: how often each row's group was drawn."""
    members = []
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        names, codes = np.unique(groups[rows], return_inverse=True)
        members.append((rows, codes, len(names)))
    step = max(1, _CELLS // max(1, len(groups)))
    for start in range(0, num_replicates, step):
        size = min(step, num_replicates - start)
        weights = np.zeros((size, len(groups)))
        for rows, codes, num in members:
            # Each replicate counts in its own range of bins, so that one bincount serves the whole chunk.
            drawn = rng.integers(num, size=(size, num)) + num * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * num).reshape(size, num)
            weights[:, rows] = counts[:, codes]
        yield weights


def percentiles(values: np.ndarray, num_groups: int) -> Interval:
    """Return the central 95 % of replicates [R]; those in which the figure is undefined are left out, and noted.

    num_groups: groups in the class that has fewest.
    """
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    notes = []
    if num_groups < FEW_GROUPS:
        notes.append(f"unreliable: few groups ({num_groups})")
    if undefined:
        notes.append(f"{undefined} of {len(values)} replicates undefined")
    if not len(defined):
        return Interval(None, None, "; ".join(notes))
    low, high = np.percentile(defined, [2.5, 97.5])
    if low == high:
        notes.append("every replicate gave the same value")
    return Interval(float(low), float(high), "; ".join(notes))
