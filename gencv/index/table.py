"""The table of an index: read at one version, and changed by one commit that readers see whole or not at all."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.fragment import FragmentMetadata, write_fragments
from lance.query import MatchQuery

from gencv.core import storage, tables
from gencv.core.embeddings import Space
from gencv.core.errors import BadInput, InUse, NotFound
from gencv.index import layout, upkeep
from gencv.index.lock import writing

UNFILTERED = ("digest", "caption", "vector", "thumbnail")
"""Columns that no filter may ask for."""


class Index:
    """One version of a table, for as long as the object lives: later writes do not change its answers.

    `where` is always SQL as `parse_filter(text, index.columns)` returns it; "" takes every row.
    """

    def __init__(self, folder: str, table: lance.LanceDataset) -> None:
        self.folder = folder
        self.space = layout.space_of(table, folder)
        self.version = int(table.version)
        self.num_rows = int(table.count_rows())
        self.columns: dict[str, pa.DataType] = {
            field.name: field.type for field in table.schema if field.name not in UNFILTERED
        }
        self._table = table
        self._indexed = upkeep.is_indexed(table)
        self._num_left = lru_cache(maxsize=256)(self._count)

    @classmethod
    def open(cls, folder: str, *, version: int | None = None) -> "Index":
        """Open the newest version or a given one.

        Raises BadInput if there is no index or no such version, and BrokenIndex that names a damaged file.
        """
        table = layout.open_table(folder, version)
        if table is None:
            raise BadInput(f"{folder} holds no index; run `index` into it.")
        return cls(folder, table)

    @cached_property
    def identity(self) -> str:
        """Tell this version of this table from that of any other, but for a copy of the folder; 16 hex digits.

        Lance draws the names of its files at random.
        """
        files = [fragment.metadata.to_json() for fragment in self._table.get_fragments()]
        return hashlib.blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def newest_version(self) -> int:
        """The number of the version that a writer made last."""
        with layout.reading(self._table, self.folder):
            return int(self._table.latest_version)

    def nearest(self, vector: np.ndarray, k: int, *, where: str = "", exact: bool = False) -> pa.Table:
        """Return columns id and score (cosine) of the k rows nearest to a vector, best first, ties by id.

        vector: float [D], of any norm but 0. exact: compare every vector, whatever index there is. Through the index,
        the k first of a longer list may be others: who pages asks for all pages at once. Raises BadInput if the vector
        is of another length, not finite, or zero.
        """
        vector = np.asarray(vector, np.float32)
        if vector.shape != (self.space.dim,) or not np.isfinite(vector).all() or not vector.any():
            raise BadInput(
                f"A query vector of shape {vector.shape}; this index takes {self.space.dim} finite numbers, not all 0."
            )
        if self.num_rows == 0:
            return _hits([], [])
        by_index = self._indexed and not exact and not self._is_small(where)
        nearest = {"column": "vector", "q": vector, "k": k, "metric": "cosine", "use_index": by_index}
        if by_index:
            nearest |= {"refine_factor": upkeep.REFINE_FACTOR, "nprobes": upkeep.probes(self.num_rows)}
        with layout.reading(self._table, self.folder):
            found = self._table.to_table(
                columns=["id", "_distance"], nearest=nearest, filter=where or None, prefilter=True
            )
        return _hits(found["id"], 1 - found["_distance"].to_numpy())

    def _is_small(self, where: str) -> bool:
        """Say whether a filter leaves so few rows that each is compared: lists that no query reads may hold them."""
        return bool(where) and self._num_left(where) <= upkeep.EXACT_ROWS

    def _count(self, where: str) -> int:
        with layout.reading(self._table, self.folder):
            return int(self._table.count_rows(where))

    def match(self, text: str, k: int, *, where: str = "") -> pa.Table:
        """Return columns id and score (BM25) of the k rows whose captions have most of a text's words, best first."""
        if self.num_rows == 0:
            return _hits([], [])
        with layout.reading(self._table, self.folder):
            found = self._table.to_table(
                columns=["id", "_score"],
                full_text_query=MatchQuery(text, "caption"),
                filter=where or None,
                prefilter=True,
                limit=k,
            )
        return _hits(found["id"], found["_score"].to_numpy())

    def rows(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows by id, in the order asked; without `columns` all but the vector.

        Raises NotFound for an id, BadInput for a column that is not there.
        """
        names = [name for name in self._table.schema.names if name != "vector"] if columns is None else list(columns)
        if unknown := [name for name in names if name not in self._table.schema.names]:
            raise BadInput(f"The index has no column {unknown[0]!r}; known: {', '.join(self._table.schema.names)}.")
        with layout.reading(self._table, self.folder):
            found = self._table.to_table(columns=list(dict.fromkeys(["id", *names])), filter=any_of(ids))
        place = {row_id: index for index, row_id in enumerate(found["id"].to_pylist())}
        if missing := [row_id for row_id in ids if row_id not in place]:
            raise NotFound(f"The index has no picture {missing[0]!r}.")
        return found.take(pa.array([place[row_id] for row_id in ids], pa.int64())).select(names)

    def holds(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that are there."""
        with layout.reading(self._table, self.folder):
            return set(self._table.to_table(columns=["id"], filter=any_of(ids))["id"].to_pylist())

    def posted(self) -> list[str]:
        """Return the ids of the pictures that came without a manifest."""
        with layout.reading(self._table, self.folder):
            found = self._table.to_table(columns=["id"], filter=f"uri LIKE '{layout.POSTED}%'")
        return list(found["id"].to_pylist())

    def scan(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of every row, in the order of their ids."""
        with layout.reading(self._table, self.folder):
            found = self._table.to_table(columns=list(dict.fromkeys(["id", *columns])))
        return found.take(pc.sort_indices(found, sort_keys=[("id", "ascending")])).select(columns)

    def digests(self) -> dict[str, str]:
        """Return the digest of every row by its id."""
        found = self.scan(["id", "digest"])
        return dict(zip(found["id"].to_pylist(), found["digest"].to_pylist(), strict=True))


def any_of(ids: Iterable[str]) -> str:
    """Return the filter for rows by id, as SQL."""
    wanted = ", ".join("'" + one.replace("'", "''") + "'" for one in dict.fromkeys(ids))
    return f"id IN ({wanted})" if wanted else "false"


def _hits(ids: Sequence[str] | pa.ChunkedArray, scores: Sequence[float] | np.ndarray) -> pa.Table:
    columns = {
        "id": pa.array(ids, pa.string()) if isinstance(ids, list) else ids,
        "score": pa.array(scores, pa.float32()),
    }
    found = pa.table(columns)
    return found.take(pc.sort_indices(found, sort_keys=[("score", "descending"), ("id", "ascending")]))


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What an update did, in rows, and the version that readers now get."""

    added: int
    changed: int
    removed: int
    kept: int
    version: int


@dataclass(frozen=True)
class Written:
    """A data file that lies beside a table's others and that no version names yet."""

    ids: list[str]
    fragment: str
    """Lance's own description, as JSON."""


def write_rows(folder: str, rows: pa.Table, *, is_new: bool) -> Written:
    """Write rows into a data file of an index's table, from any process; an `update` makes them seen.

    is_new: there is no table yet.
    """
    address = layout.lance_address(layout.table_path(folder))
    try:
        made = write_fragments(
            rows,
            address["uri"],
            schema=rows.schema,
            mode="create" if is_new else "append",
            storage_options=address["storage_options"],
        )
    except OSError as error:
        raise _unwritten(folder, error) from None
    assert len(made) == 1, "one file holds a million rows"
    return Written(rows["id"].to_pylist(), json.dumps(made[0].to_json()))


def update(folder: str, space: Space, rows: Iterable[pa.Table | Written], keep_ids: set[str]) -> Changes:
    """Make an index hold `keep_ids`, of which `rows` are new or changed, by one commit; then see to its upkeep.

    rows: tables of `layout.row_schema`, or what `write_rows` wrote of them, no id twice. Rows of the index whose id is
    not kept are removed. Where nothing changes nothing is committed. Raises BadInput if another writer is at work, the
    index is of another space, or nothing would be in it.
    """
    with writing(folder):
        table = layout.open_table(folder)
        if table is not None:
            layout.check_space(table, space, folder)
        return commit(folder, space, table, rows, keep_ids)


def commit(
    folder: str,
    space: Space,
    table: lance.LanceDataset | None,
    rows: Iterable[pa.Table | Written],
    keep_ids: set[str],
) -> Changes:
    """Do the work of `update` for one who holds the lock and has opened the table."""
    schema = layout.row_schema(space)
    written = [
        one
        if isinstance(one, Written)
        else write_rows(folder, tables.conform(one, schema, "table of rows"), is_new=table is None)
        for one in rows
    ]
    new = {row_id for one in written for row_id in one.ids}
    assert len(new) == sum(len(one.ids) for one in written), "an id is written twice"
    if table is None:
        if not written:
            raise BadInput(f"There is nothing to index into {folder}: no picture has a vector.")
        fragments = [FragmentMetadata.from_json(one.fragment) for one in written]
        table = _kept_up(folder, _commit(folder, lance.LanceOperation.Overwrite(schema, fragments), 0))
        changes = {"added": len(new), "changed": 0, "removed": 0, "kept": 0}
    else:
        with layout.reading(table, folder):
            there = table.to_table(columns=["id"], with_row_address=True)
        ids = there["id"].to_pylist()
        gone = np.array([row_id in new or row_id not in keep_ids for row_id in ids], bool)
        addresses = there["_rowaddr"].to_numpy()[gone]
        changed = len(new.intersection(ids))
        table = _change(folder, table, written, addresses)
        changes = {
            "added": len(new) - changed,
            "changed": changed,
            "removed": len(addresses) - changed,
            "kept": len(ids) - len(addresses),
        }
    return Changes(**changes, version=int(table.version))


def edit(index: Index, rows: pa.Table | None, gone: Iterable[str]) -> Changes:
    """Add some rows of `layout.row_schema` and remove others by id, by one commit on top of an index's version.

    For one who holds the pen and opened the newest version. Rows whose id is there replace it. What it takes grows with
    what is changed, not with the index.
    """
    added = [] if rows is None else rows["id"].to_pylist()
    with layout.reading(index._table, index.folder):
        found = index._table.to_table(columns=["id"], filter=any_of([*added, *gone]), with_row_address=True)
    changed = len(set(added).intersection(found["id"].to_pylist()))
    written = []
    if rows is not None:
        conformed = tables.conform(rows, layout.row_schema(index.space), "table of rows")
        written.append(write_rows(index.folder, conformed, is_new=False))
    table = _change(index.folder, index._table, written, found["_rowaddr"].to_numpy())
    return Changes(
        added=len(added) - changed,
        changed=changed,
        removed=found.num_rows - changed,
        kept=index.num_rows - found.num_rows,
        version=int(table.version),
    )


def _change(
    folder: str, table: lance.LanceDataset, written: Sequence[Written], addresses: np.ndarray
) -> lance.LanceDataset:
    """Add files and remove the rows at some addresses by one commit, and see to the upkeep; returns the newest version.

    Where nothing changes nothing is committed.
    """
    if written or len(addresses):
        try:
            operation = _replacement(table, [FragmentMetadata.from_json(one.fragment) for one in written], addresses)
        except OSError as error:
            raise _unwritten(folder, error) from None
        table = _commit(folder, operation, table.version)
    return _kept_up(folder, table)


def _kept_up(folder: str, table: lance.LanceDataset) -> lance.LanceDataset:
    try:
        return upkeep.keep_up(table, alone=not storage.is_uri(folder))
    except OSError as error:
        raise _unwritten(folder, error) from None


def _replacement(
    table: lance.LanceDataset, fragments: list[FragmentMetadata], addresses: np.ndarray
) -> lance.LanceOperation.BaseOperation:
    """Return the operation that removes the rows at some addresses and adds files, as one.

    addresses: uint64, the number of a fragment in the upper half and the row in it in the lower.
    """
    emptied: list[int] = []
    thinned: list[FragmentMetadata] = []
    for number in np.unique(addresses >> 32).tolist():
        offsets = (addresses[addresses >> 32 == number] & 0xFFFFFFFF).tolist()
        fragment = table.get_fragment(number)
        assert fragment is not None, "the rows were just read from it"
        left = fragment.delete_rows(offsets)
        if left is None:
            emptied.append(number)
        else:
            thinned.append(left)
    # Two commits that touch other files do not conflict, and pictures that both add would be there twice. Two that
    # name the same old file do, so the first file is always named, as it is if nothing in it goes.
    first = table.get_fragments()[:1]
    if first and first[0].fragment_id not in {*emptied, *(fragment.id for fragment in thinned)}:
        thinned.append(first[0].metadata)
    return lance.LanceOperation.Update(removed_fragment_ids=emptied, updated_fragments=thinned, new_fragments=fragments)


def _commit(folder: str, operation: lance.LanceOperation.BaseOperation, version: int) -> lance.LanceDataset:
    """Commit on top of a version, 0 for a new table, or raise BadInput if another writer was there first."""
    newest = layout.open_table(folder)
    if (0 if newest is None else newest.version) != version:
        raise overtaken(folder)
    address = layout.lance_address(layout.table_path(folder))
    try:
        return lance.LanceDataset.commit(
            address["uri"], operation, read_version=version, storage_options=address["storage_options"], max_retries=0
        )
    except OSError as error:
        raise _unwritten(folder, error) from None


def _unwritten(folder: str, error: OSError) -> BadInput:
    if layout.is_conflict(error):
        return overtaken(folder)
    return BadInput(f"The index in {folder} cannot be written ({layout.first_line(error)}).")


def overtaken(folder: str) -> InUse:
    """Return what is raised where another writer was there first."""
    return InUse(f"Another writer changed the index in {folder} meanwhile; run the same command again.")
