"""Groups that never cross a split, splits in proportion, and balance."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.record import Split
from gencv.core.seeds import uniform_for

FRACTIONS = (0.8, 0.1, 0.1)
"""Train, val, test."""

_STRICTNESS = (Split.TRAIN, Split.VAL, Split.TEST)


def group_rows(groups: Sequence[str], edges: np.ndarray, ids: Sequence[str]) -> list[str]:
    """Join N rows that share a group, or an edge, or a chain of these, and return the name of each row's component.

    groups: the explicit group of a row, "" for none. edges: int [E, 2], pairs of rows such as near-duplicates. A
    component is called after the smallest of its explicit groups, else after the smallest of its ids, so that the names
    do not depend on the order of rows.
    """
    assert len(groups) == len(ids)
    parents = list(range(len(ids)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    first: dict[str, int] = {}
    shared = [(first.setdefault(group, row), row) for row, group in enumerate(groups) if group]
    for left, right in (*shared, *np.asarray(edges, np.int64).reshape(-1, 2).tolist()):
        parents[root(left)] = root(right)
    names: dict[int, tuple[bool, str]] = {}
    for row, (group, row_id) in enumerate(zip(groups, ids, strict=True)):
        name = (not group, group or row_id)
        names[root(row)] = min(names.get(root(row), name), name)
    return [names[root(row)][1] for row in range(len(ids))]


def settle_fixed(
    explicit: Sequence[str], components: Sequence[str], fixed: Sequence[Split | None]
) -> list[Split | None]:
    """Return for each of N rows the split that its component is bound to, None where it is free.

    explicit: the groups that the sources name ("" for none); components: what `group_rows` made of them. Where near-
    duplicates join rows of two official splits, all go to the strictest, test before val before train: a test set stays
    whole, and training loses what was in it. Raises BadInput, naming the group, if a source puts one and the same
    explicit group into two splits: that is a contradiction, and no such chance.
    """
    said: dict[str, Split] = {}
    bound: dict[str, Split] = {}
    for group, component, split in zip(explicit, components, fixed, strict=True):
        if split is None:
            continue
        if group and said.setdefault(group, split) != split:
            raise BadInput(
                f"The group {group!r} is fixed both to {said[group]} and to {split}; the sources must agree, or leave "
                "its split open (split=none, free=train)."
            )
        bound[component] = max(bound.get(component, split), split, key=_STRICTNESS.index)
    return [bound.get(component) for component in components]


def assign_splits(
    groups: Sequence[str],
    strata: Sequence[Hashable],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    fixed: Sequence[Split | None] | None = None,
) -> list[Split]:
    """Give each of N rows a split, in proportion within each stratum, and never cut a group.

    groups: every row's group, none empty. strata: what the splits should hold in equal shares, most often (label,
    generator). fractions: of train, val, and test among all rows, the fixed ones included; where those alone fill a
    split, nothing is added. Large groups go first, equal ones in an order drawn by (seed, group); each goes to the
    split that lacks most of the group's strata, relative to what it should have. The result does not depend on the
    order of rows, and without fixed rows each split is off its share by one largest group at most.
    Raises BadInput if the fractions do not sum to 1, or a group is fixed to two splits.
    """
    shares = shares_of(fractions)
    bound = _bound(groups, fixed if fixed is not None else [None] * len(groups))
    members: dict[str, Counter[Hashable]] = defaultdict(Counter)
    for group, stratum in zip(groups, strata, strict=True):
        assert group, "every row has a group; group_rows gives it one"
        members[group][stratum] += 1
    wanted = _Wanted(shares, members)
    for group, split in bound.items():
        wanted.take(split, members[group])
    free = [group for group in members if group not in bound]
    for group in sorted(free, key=lambda group: (-members[group].total(), uniform_for(seed, group, "split"), group)):
        bound[group] = wanted.choose(members[group])
        wanted.take(bound[group], members[group])
    return [bound[group] for group in groups]


class _Wanted:
    """How many rows each split should have, and still lacks, of each stratum and in all."""

    def __init__(self, shares: dict[Split, float], members: dict[str, Counter[Hashable]]) -> None:
        totals: Counter[Hashable] = Counter()
        for counts in members.values():
            totals.update(counts)
        self.shares = {split: share for split, share in shares.items() if share > 0}
        self.totals = totals
        self.taken: dict[Split, Counter[Hashable]] = {split: Counter() for split in Split}
        self.num_taken: Counter[Split] = Counter()
        self.num_rows = totals.total()

    def take(self, split: Split, counts: Counter[Hashable]) -> None:
        self.taken[split].update(counts)
        self.num_taken[split] += counts.total()

    def choose(self, counts: Counter[Hashable]) -> Split:
        """Return the split for a group with these counts of strata.

        Among the splits that it fits into, the one with the largest relative lack, so that each split gets large groups
        and small ones; if it fits into none, the one with the largest lack in rows, which keeps the excess small.
        """
        lacks = {split: share * self.num_rows - self.num_taken[split] for split, share in self.shares.items()}
        fitting = [split for split in lacks if lacks[split] >= counts.total() - 1e-9]
        if not fitting:
            return max(lacks, key=lambda split: lacks[split])
        return max(fitting, key=lambda split: (self._relative_lack(split, counts), self.shares[split]))

    def _relative_lack(self, split: Split, counts: Counter[Hashable]) -> float:
        # fsum is exact, so the order in which a group's strata were met does not matter.
        lack = math.fsum(
            count * (1 - self.taken[split][stratum] / (self.shares[split] * self.totals[stratum]))
            for stratum, count in counts.items()
        )
        return round(lack / counts.total(), 9)


def shares_of(fractions: Sequence[float]) -> dict[Split, float]:
    """Name the fractions of train, val, and test. Raises BadInput unless they are three that sum to 1."""
    if len(fractions) != 3 or min(fractions) < 0 or abs(math.fsum(fractions) - 1) > 1e-6:
        raise BadInput(
            f"The fractions {list(fractions)} are not three (train, val, test), none negative, with the sum 1."
        )
    return dict(zip(_STRICTNESS, fractions, strict=True))


def _bound(groups: Sequence[str], fixed: Sequence[Split | None]) -> dict[str, Split]:
    bound: dict[str, Split] = {}
    for group, split in zip(groups, fixed, strict=True):
        if split is not None and bound.setdefault(group, split) != split:
            raise BadInput(f"The group {group!r} is fixed to {bound[group]} and to {split}; it can lie in one only.")
    return bound


def balance(
    labels: Sequence[int | None],
    generators: Sequence[str],
    *,
    ids: Sequence[str],
    seed: int = 0,
    splits: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Choose rows so that each split has as many genuine as positive ones, and these in equal parts by generator.

    labels: 1, 0, or None for N rows; splits: if given, each is balanced by itself. Returns bool [N]. The smallest
    generator of a split sets the number, or the genuine rows if they are fewer. Who stays is drawn by (seed, id), so a
    row's luck does not depend on the others' order. Rows without a label stay, as they count for neither side.
    Raises BadInput if a split has one label only, or fewer genuine rows than generators.
    Source: FACEAUTH's data, 60,000 real faces and 12,000 of each of five sources.
    """
    cells: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for row, (label, generator) in enumerate(zip(labels, generators, strict=True)):
        if label is not None:
            split = str(splits[row]) if splits is not None and splits[row] is not None else ""
            cells[split, label, generator if label == 1 else ""].append(row)
    keep = np.array([label is None for label in labels], bool)
    for split in sorted({split for split, _, _ in cells}):
        genuine = cells.get((split, 0, ""), [])
        positive = {cell[2]: rows for cell, rows in cells.items() if cell[:2] == (split, 1)}
        if not positive or len(genuine) < len(positive):
            raise BadInput(
                f"{split or 'The whole'} cannot be balanced: it has {len(genuine)} genuine rows and positive ones of "
                f"{len(positive)} generators; one generator is needed, and a genuine row for each."
            )
        size = min(len(genuine) // len(positive), *(len(rows) for rows in positive.values()))
        for rows, count in [(genuine, size * len(positive)), *((rows, size) for rows in positive.values())]:
            rows.sort(key=lambda row: (uniform_for(seed, ids[row], "balance"), ids[row]))
            keep[rows[:count]] = True
    return keep
