"""Leaks: what stands in two splits, so that a detector is judged on what it was fitted on."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gencv.core.findings import Finding, Level
from gencv.images.hashing import MAX_DISTANCE, near_duplicates

NEIGHBOUR_COSINE = 0.98
"""Cosine from which two pictures of different splits are shown to a person.

With `starter-features`, the nearest neighbours across splits of 444 aligned pictures that are not copies of each other
have cosines of .56 (median), .82 (99th percentile), and .90 at most: .98 leaves room for encoders that see less.
"""
_BLOCK_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Leak:
    """One kind of thing that lies in two splits.

    pairs: two rows, and how near they are: bits for hashes, a cosine for embeddings, None for what is the same; at
    most one pair for each thing, the nearest first.
    """

    kind: str
    count: int
    pairs: tuple[tuple[int, int, float | None], ...]


def same_in_two_splits(kind: str, values: Sequence[Hashable], splits: Sequence[str]) -> Leak:
    """Find values (digests, groups) that rows of two splits share. None and "" are no value."""
    first: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for row, (value, split) in enumerate(zip(values, splits, strict=True)):
        if value is not None and value != "":
            first[value].setdefault(split, row)
    shared = [tuple(rows.values())[:2] for rows in first.values() if len(rows) > 1]
    return Leak(kind=kind, count=len(shared), pairs=tuple((one, other, None) for one, other in shared))


def copies_in_two_splits(ids: Sequence[str], digests: Sequence[str | None], splits: Sequence[str]) -> list[Leak]:
    """Find pictures that are the same by the bytes they came as (id), and others by the bytes that lie here (digest).

    The two differ in stored pictures: two files of the same pixels have two ids, and one of them may be blurred.
    """
    counts = Counter(ids)
    others = [digest if counts[row_id] == 1 else None for row_id, digest in zip(ids, digests, strict=True)]
    return [
        same_in_two_splits("same_originals", ids, splits),
        same_in_two_splits("same_bytes", others, splits),
    ]


def near_duplicates_in_two_splits(
    hashes: Sequence[int | None], splits: Sequence[str], max_distance: int = MAX_DISTANCE
) -> Leak:
    """Find near-duplicates, by perceptual hash, of which one lies in another split.

    The count is that of links of the spanning forest which cross a split: at least one for each cluster that does.
    """
    at = np.array([row for row, value in enumerate(hashes) if value is not None], np.int64)
    known = np.array([hashes[row] for row in at], np.uint64)
    pairs = []
    for one, other in near_duplicates(known, max_distance).tolist():
        left, right = int(at[one]), int(at[other])
        if splits[left] != splits[right]:
            pairs.append((left, right, float(np.bitwise_count(known[one] ^ known[other]))))
    pairs.sort(key=lambda pair: pair[2])
    return Leak(kind="near_duplicates", count=len(pairs), pairs=tuple(pairs))


def neighbours_in_two_splits(vectors: np.ndarray, splits: Sequence[str], cosine: float = NEIGHBOUR_COSINE) -> Leak:
    """Find, for each picture of the smaller of two splits, its nearest one in the other, if it is that near.

    vectors: float32 [N, D] of norm 1, NaN for a picture without one. One product of matrices for each two splits.
    """
    names = np.array(splits, dtype=object)
    good = ~np.isnan(vectors).any(axis=1)
    rows_of = {name: np.flatnonzero(good & (names == name)) for name in sorted(set(splits))}
    pairs = []
    for here, there in combinations(sorted(rows_of, key=lambda name: (len(rows_of[name]), name)), 2):
        others = rows_of[there]
        for start in range(0, len(rows_of[here]) if len(others) else 0, _BLOCK_ROWS):
            rows = rows_of[here][start : start + _BLOCK_ROWS]
            near = vectors[rows] @ vectors[others].T
            best = near.argmax(axis=1)
            for place in np.flatnonzero(near.max(axis=1) >= cosine):
                pairs.append((int(rows[place]), int(others[best[place]]), float(near[place, best[place]])))
    pairs.sort(key=lambda pair: -pair[2])
    return Leak(kind="neighbours", count=len(pairs), pairs=tuple(pairs))


def findings_of(leaks: Sequence[Leak], uris: Sequence[str], splits: Sequence[str]) -> list[Finding]:
    """Say in a sentence what each leak is."""
    found = []
    for leak in leaks:
        if leak.count:
            level, sentence = SENTENCES[leak.kind]
            examples = tuple(
                f"{splits[one]}: {uris[one]} = {splits[other]}: {uris[other]}" for one, other, _ in leak.pairs[:10]
            )
            found.append(
                Finding(
                    level=level,
                    part="leaks",
                    sentence=sentence.format(count=f"{leak.count:,}"),
                    weight=leak.count / max(len(uris), 1),
                    examples=examples,
                )
            )
    return found


def remarks_on_generators(
    generators: Sequence[str | None], labels: Sequence[int | None], splits: Sequence[str]
) -> list[Finding]:
    """Remark which generators of positives stand in training and in test.

    That is no leak: it is evaluation in distribution. But it says nothing of generators that a detector has not met.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for name, label, split in zip(generators, labels, splits, strict=True):
        if label == 1 and name:
            seen[name].add(split)
    both = sorted(name for name, where in seen.items() if {"train", "test"} <= where)
    if not both:
        return []
    sentence = (
        f"{len(both)} of {len(seen)} generators of positives stand in training and in test ({_some(both)}): the test "
        "says how well known generators are found, and nothing of new ones."
    )
    return [Finding(level=Level.REMARK, part="leaks", sentence=sentence, weight=len(both) / len(seen))]


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


SENTENCES = {
    "same_originals": (Level.FAIL, "{count} pictures lie in two splits, by their id; make the manifest again."),
    "same_bytes": (Level.FAIL, "{count} files lie in two splits, byte for byte; make the manifest again."),
    "groups": (
        Level.FAIL,
        "{count} groups (identities or source photographs) lie in two splits; make the manifest again.",
    ),
    "near_duplicates": (
        Level.FAIL,
        "{count} pairs of near-duplicates lie in two splits, by their perceptual hash; make the manifest again, which "
        "keeps them together.",
    ),
    "neighbours": (
        Level.WARN,
        "{count} pictures have a neighbour in another split that their embeddings hardly tell from them; look at the "
        "pairs, and give those of one photograph one group.",
    ),
}
"""What each kind of leak means."""
