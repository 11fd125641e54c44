"""From inspected pictures to a manifest: duplicates out, groups joined, splits assigned, classes balanced."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import tables
from gencv.core.errors import BadInput
from gencv.core.manifest import SCHEMA
from gencv.core.record import Split
from gencv.datasets.splits import FRACTIONS, assign_splits, group_rows, settle_fixed
from gencv.datasets.splits import balance as balanced
from gencv.images.hashing import MAX_DISTANCE, near_duplicates

EXCLUDED_SCHEMA = pa.schema([("uri", pa.string()), ("id", pa.string()), ("reason", pa.string())])


def build_manifest(
    rows: pa.Table,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    balance: bool = False,
    max_distance: int = MAX_DISTANCE,
) -> tuple[pa.Table, pa.Table]:
    """Return the manifest's rows (SCHEMA) and those left out (EXCLUDED_SCHEMA), both in the order of `rows`.

    rows: all columns of SCHEMA in source order; `split` is the one that a source fixes, or null; `group` the one that
    it names, or "" or null. Of pictures with the same bytes the first one stays, joined with the others as
    near-duplicates are, so that a dropped copy in a test set still keeps its twin out of training.
    max_distance: bits between the `phash`es of near-duplicates. balance: as `splits.balance`, split by split. Rows with
    an error stay, and get a split too, so that each split has its share of them. Every row is in exactly one of the two
    results.
    Raises BadInput, naming both uris, if the same bytes come with two labels, and as `splits` does.
    """
    rows = tables.conform(rows, SCHEMA, "inspected rows")
    columns = {name: rows[name].to_pylist() for name in ("id", "uri", "label", "generator", "group", "error", "phash")}
    ids, uris, errors = columns["id"], columns["uri"], columns["error"]
    good = [error is None for error in errors]
    first = _first_of_each(columns)
    explicit = [group or "" for group in columns["group"]]
    fixed = [Split(name) if name else None for name in _splits(rows)]
    copies = [(original, row) for row, original in enumerate(first) if original != row]
    groups = group_rows(explicit, np.concatenate([_edges(copies), _near(columns["phash"], good, max_distance)]), ids)
    # The copies still count here: an official test set that one of them came from binds the picture that stays.
    bound = settle_fixed(explicit, groups, fixed)
    reasons: dict[int, str] = {row: f"same bytes as {uris[original]}" for original, row in copies}

    used = [row for row in range(len(ids)) if row not in reasons]
    strata = [(str(columns["label"][row]), columns["generator"][row] or "") for row in used]
    assigned = assign_splits(
        [groups[row] for row in used], strata, fractions=fractions, seed=seed, fixed=[bound[row] for row in used]
    )
    splits: list[str | None] = [None] * len(ids)
    for row, split in zip(used, assigned, strict=True):
        splits[row] = split.value
    if balance:
        used = [row for row in used if good[row]]
        keep = balanced(
            [columns["label"][row] for row in used],
            [columns["generator"][row] or "" for row in used],
            ids=[ids[row] for row in used],
            seed=seed,
            splits=[splits[row] for row in used],
        )
        reasons |= {row: "balanced out" for row, kept in zip(used, keep, strict=True) if not kept}
    return _manifest(rows, groups, splits, reasons), _excluded(ids, uris, reasons)


def _first_of_each(columns: dict[str, list[Any]]) -> list[int]:
    """Return for each row the first row with the same bytes. Raises BadInput if two such rows have different labels."""
    seen: dict[str, int] = {}
    labelled: dict[str, int] = {}
    first = []
    for row, (row_id, label, error) in enumerate(zip(columns["id"], columns["label"], columns["error"], strict=True)):
        first.append(seen.setdefault(row_id, row))
        if label is None or error is not None:
            continue
        other = labelled.setdefault(row_id, row)
        if columns["label"][other] != label:
            raise BadInput(
                f"{columns['uri'][other]} and {columns['uri'][row]} are the same bytes with the labels "
                f"{columns['label'][other]} and {label}; one of them is wrong."
            )
    return first


def _splits(rows: pa.Table) -> list[str | None]:
    names: list[str | None] = rows["split"].to_pylist()
    unknown = set(names) - {None, *Split}
    if unknown:
        raise BadInput(f"The inspected rows have the splits {sorted(map(str, unknown))}; known: {', '.join(Split)}.")
    return names


def _near(hashes: list[int | None], good: list[bool], max_distance: int) -> np.ndarray:
    """Return the edges int64 [E, 2] between near-duplicates among the good rows that have a hash."""
    at = np.array([row for row, value in enumerate(hashes) if value is not None and good[row]], np.int64)
    found = near_duplicates(np.array([hashes[row] for row in at], np.uint64), max_distance)
    return at[np.asarray(found, np.int64).reshape(-1, 2)]


def _edges(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _manifest(rows: pa.Table, groups: list[str], splits: list[str | None], reasons: dict[int, str]) -> pa.Table:
    rows = rows.set_column(rows.column_names.index("group"), "group", pa.array(groups, pa.string()))
    rows = rows.set_column(rows.column_names.index("split"), "split", pa.array(splits, pa.string()))
    return rows.filter(pa.array([row not in reasons for row in range(len(groups))], pa.bool_())).cast(SCHEMA)


def _excluded(ids: list[str], uris: list[str], reasons: dict[int, str]) -> pa.Table:
    lines = [{"uri": uris[row], "id": ids[row], "reason": reasons[row]} for row in sorted(reasons)]
    return pa.Table.from_pylist(lines, EXCLUDED_SCHEMA)
