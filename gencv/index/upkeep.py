"""What keeps a table quick: its indices, few and full files, and no more old versions than readers need.

Nothing here changes a row, so every step is a version of its own that readers need not notice, and a step that was
killed is made by the next call.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import lance

from gencv.index import layout

EXACT_ROWS = 20_000
"""Up to so many rows every vector is compared: 15 ms at 512 dimensions, and no neighbour is missed."""
LIST_ROWS = 4_096
"""Rows of an inverted list as Lance makes them, and keeps them when it splits and joins lists of a growing table."""
PROBED = 0.5
"""Share of the lists that a query reads. Texts lie apart from pictures, so that the centre nearest to a text says
little of where its pictures are: of a million vectors and 244 lists, recall@10 is .755 with 20 lists in 5.6 ms, .881
with 40, .985 with 80 in 7.5 ms, .996 with 122 in 8.5 ms, and 1.000 with all in 10.5 ms."""
NUM_BITS = 5
REFINE_FACTOR = 3
"""RaBitQ codes of 5 bits a dimension, and three times the wanted hits compared again by their true vectors; five times
and ten times find no more. Product quantisation as it comes has a recall@10 of .13 there, refined ten times .41."""
UNINDEXED_ROWS = 2_000
"""Rows that may wait outside the indices, where each query looks at them one by one."""
FRAGMENT_ROWS = 4_096
"""Rows of a full data file; smaller ones are put together when there are MANY_SMALL of them."""
MANY_SMALL = 128
DELETED_SHARE = 0.1
"""Deleted rows are skipped while reading, until they are more than this share."""
READERS_KEEP = timedelta(hours=1)
"""A version stays for so long after a newer one came, for readers that page through it."""
VECTOR_INDEX, ID_INDEX, CAPTION_INDEX = "vector_idx", "id_idx", "caption_idx"


def keep_up(table: lance.LanceDataset, *, alone: bool) -> lance.LanceDataset:
    """Bring a table's files and indices up to date; returns its newest version.

    alone: nobody else can be writing, so that files of dead writers may be removed at once instead of in a week. Where
    somebody can, a step that meets another commit is left to the next call.
    """
    for step in (compact, index):
        try:
            step(table)
        except OSError as error:
            if alone or not layout.is_conflict(error):
                raise
            table.checkout_latest()
    remove_old(table, now=datetime.now(UTC), alone=alone)
    return table


def compact(table: lance.LanceDataset) -> None:
    """Put small files together, and drop deleted rows, where there are many."""
    files = [fragment.metadata for fragment in table.get_fragments()]
    small = sum(file.num_rows < FRAGMENT_ROWS for file in files)
    deleted, rows = sum(file.num_deletions for file in files), sum(file.physical_rows for file in files)
    if small > MANY_SMALL or deleted > DELETED_SHARE * rows:
        table.optimize.compact_files(target_rows_per_fragment=FRAGMENT_ROWS)


def index(table: lance.LanceDataset) -> None:
    """Make the indices that are missing, and let the others catch up with new rows."""
    rows = table.count_rows()
    if rows == 0:
        return
    there = {one.name for one in table.describe_indices()}
    if ID_INDEX not in there:
        table.create_scalar_index("id", "BTREE", name=ID_INDEX)
    if CAPTION_INDEX not in there:
        table.create_scalar_index("caption", "INVERTED", name=CAPTION_INDEX)
    if VECTOR_INDEX not in there and rows > EXACT_ROWS:
        table.create_index("vector", "IVF_RQ", VECTOR_INDEX, metric="cosine", num_bits=NUM_BITS)
    behind = [name for name in there if num_unindexed(table, name) > UNINDEXED_ROWS]
    if behind:
        table.optimize.optimize_indices(index_names=behind)


def probes(num_rows: int) -> int:
    """Return how many lists a query reads in a table of so many rows."""
    return max(1, round(PROBED * num_rows / LIST_ROWS))


def num_unindexed(table: lance.LanceDataset, name: str) -> int:
    """Count the rows in files that an index does not know yet."""
    (found,) = (one for one in table.describe_indices() if one.name == name)
    known = {number for segment in found.segments for number in segment.fragment_ids}
    return sum(file.metadata.num_rows for file in table.get_fragments() if file.fragment_id not in known)


def is_indexed(table: lance.LanceDataset) -> bool:
    """Say whether this version of a table is searched through its vector index."""
    return table.count_rows() > EXACT_ROWS and VECTOR_INDEX in {one.name for one in table.describe_indices()}


def remove_old(table: lance.LanceDataset, *, now: datetime, alone: bool) -> None:
    """Remove the versions that were superseded more than READERS_KEEP ago.

    A version's own age says nothing: one of last week may have been the newest until a minute ago.
    """
    known = sorted(table.versions(), key=lambda one: one["version"])
    times = [_utc(one["timestamp"]) for one in known]
    ended = [one["version"] for one, next_time in zip(known, times[1:], strict=False) if now - next_time > READERS_KEEP]
    if ended:
        table.cleanup_old_versions(versions=ended, delete_unverified=alone, error_if_tagged_old_versions=False)


def _utc(time: Any) -> datetime:
    assert isinstance(time, datetime)
    return time.astimezone(UTC)  # Lance gives local times without a zone
