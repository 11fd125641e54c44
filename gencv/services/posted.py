"""Bring single pictures into an index, and take them out of it again: what a service is given, one by one.

What is kept of a posted picture lies in its row alone, as the table has a column for each: its vector, what is said of
it, and a thumbnail of 256 px. So one commit has all of it, a deletion leaves nothing behind in the newest version, and
the picture itself is kept by nobody. A folder beside the table would be a second truth, which a killed writer leaves at
odds with the first. The price: nothing larger can be shown, and a reranker judges it from its thumbnail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage
from gencv.core.embeddings import vector_column
from gencv.core.errors import BadInput, GencvError, InUse, NotFound, UnknownName
from gencv.core.record import FAMILIES, Split, family_of, picture_id
from gencv.images.decode import decode, image_size
from gencv.images.preprocess import Preprocessing
from gencv.images.thumbnail import thumbnail
from gencv.index.layout import POSTED, row_digests, row_schema
from gencv.index.lock import writing
from gencv.index.query import require_space
from gencv.index.table import Index, edit
from gencv.services.search import Searcher

MAX_CAPTIONS = 16
MAX_LETTERS = 1_000
"""Of a caption; of a name, a tenth."""
WAIT_S = 10.0
"""For the pen of an index that another writer holds."""
MAX_TRIES = 3
"""Of a commit where there is no pen, in an object store, and another writer was first."""
AT_ONCE = 32
"""Pictures in one call of the encoder."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What is said of a posted picture. Raises BadInput."""

    caption: tuple[str, ...] = ()
    label: int | None = None
    """1 spoof or generated, 0 live or real, None not known."""
    generator: str = "unknown"
    family: str = ""
    """One of FAMILIES; "" takes what the generator's name tells."""
    source: str = "posted"
    split: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or family_of(self.generator))
        if len(self.caption) > MAX_CAPTIONS or any(not 0 < len(one) <= MAX_LETTERS for one in self.caption):
            raise BadInput(f"At most {MAX_CAPTIONS} captions of 1 to {MAX_LETTERS:,} characters are accepted.")
        if self.label not in (None, 0, 1):
            raise BadInput(f"label is {self.label}; 1 is spoof or generated, 0 is live or real.")
        for name in ("generator", "source"):
            if not 0 < len(getattr(self, name)) <= MAX_LETTERS // 10:
                raise BadInput(f"{name} has {len(getattr(self, name))} characters; 1 to {MAX_LETTERS // 10} do.")
        if self.family not in FAMILIES:
            raise UnknownName("family", self.family, FAMILIES)
        if self.split is not None and self.split not in set(Split):
            raise UnknownName("split", self.split, set(Split))


@dataclass(frozen=True)
class Posted:
    """A picture that is ready to be encoded and added."""

    row: dict[str, Any]
    """Columns of the index but for `vector`."""
    pixels: np.ndarray
    """uint8 [S, S, 3], the encoder's input."""

    @property
    def id(self) -> str:
        return str(self.row["id"])


@dataclass(frozen=True)
class Done:
    """What came of one wish."""

    id: str
    changed: bool
    """Whether the index is another one for it: False for a picture that was there already."""
    version: int
    """Of the index that readers get now."""


class Writer:
    """Changes the index of a searcher."""

    def __init__(self, searcher: Searcher, *, wait_s: float = WAIT_S) -> None:
        self.searcher, self.wait_s = searcher, wait_s

    def examine(self, data: bytes, about: About) -> Posted:
        """Prepare a file, on a CPU, as `index` prepares those of a manifest. Raises BadImage."""
        searcher = self.searcher
        prepared, transform = searcher.index().space.preprocessing, searcher.encoder.transform
        width, height = image_size(data, limits=searcher.limits)
        if prepared is None:
            image = decode(data, limits=searcher.limits, min_side_px=transform.decode_side_px)
        else:
            image = Preprocessing.from_dict(prepared).apply(decode(data, limits=searcher.limits))
        id = picture_id(data)
        said = {"id": id, "uri": f"{POSTED}{id}", "width": width, "height": height, **asdict(about)}
        said["caption"] = list(about.caption)
        digest = row_digests(pa.Table.from_pylist([said]))[id]
        return Posted({**said, "digest": digest, "thumbnail": thumbnail(image)}, transform(image))

    def write(self, wishes: Sequence[Posted | str]) -> list[Done | GencvError]:
        """Add pictures, and remove others by their ids, in the order given and by one commit.

        Returns what came of each: NotFound for an id that is not there; a picture that is there stays as it is. What
        the cut-off was measured on is another table then (`Searcher.measure_cutoff`). Raises
        InUse where another writer is at work for longer than one waits, BadInput for an index of another space.
        """
        vectors: dict[str, np.ndarray] = {}
        posted = {wish.id: wish for wish in wishes if isinstance(wish, Posted)}
        there = self.searcher.index().holds(posted)
        self._encode(vectors, (one for name, one in posted.items() if name not in there))
        is_alone = not storage.is_uri(self.searcher.folder)
        for left in reversed(range(1 if is_alone else MAX_TRIES)):
            try:
                return self._write(wishes, vectors)
            except InUse:
                if not left:
                    raise
        raise AssertionError

    def _write(self, wishes: Sequence[Posted | str], vectors: dict[str, np.ndarray]) -> list[Done | GencvError]:
        folder = self.searcher.folder
        with writing(folder, wait_s=self.wait_s):
            index = Index.open(folder)
            require_space(self.searcher.encoder.space, index.space)
            there = index.holds(wish if isinstance(wish, str) else wish.id for wish in wishes)
            new: dict[str, Posted] = {}
            gone: set[str] = set()
            found: list[tuple[str, bool | NotFound]] = []
            for wish in wishes:
                if isinstance(wish, Posted):
                    found.append((wish.id, wish.id not in there))
                    if wish.id not in there:
                        new[wish.id] = wish
                        there.add(wish.id)
                elif wish not in there:
                    found.append((wish, NotFound(f"The index has no picture {wish!r}.")))
                else:
                    found.append((wish, True))
                    there.remove(wish)
                    if new.pop(wish, None) is None:
                        gone.add(wish)
            self._encode(vectors, new.values())
            version = index.version
            if new or gone:
                version = edit(index, rows_of(index, new.values(), vectors) if new else None, gone).version
        return [
            changed if isinstance(changed, NotFound) else Done(id=id, changed=changed, version=version)
            for id, changed in found
        ]

    def _encode(self, vectors: dict[str, np.ndarray], posted: Iterable[Posted]) -> None:
        """Add the vectors that are missing."""
        missing = [one for one in posted if one.id not in vectors]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            found = self.searcher.encoder.images(np.stack([one.pixels for one in some]))
            vectors.update(zip((one.id for one in some), found, strict=True))


def rows_of(index: Index, posted: Iterable[Posted], vectors: dict[str, np.ndarray]) -> pa.Table:
    """Return posted pictures as rows of an index."""
    schema = row_schema(index.space)
    rows = pa.Table.from_pylist([one.row for one in posted], pa.schema([one for one in schema if one.name != "vector"]))
    column = vector_column(np.stack([vectors[id] for id in rows["id"].to_pylist()]))
    return rows.append_column("vector", column).select(schema.names).replace_schema_metadata(schema.metadata)
