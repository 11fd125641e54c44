"""Embeddings: one unit vector a picture, and the space that the vectors live in."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.core.settings import Settings

VECTORS = "vectors"
SPACE = "space.json"


@dataclass(frozen=True, kw_only=True)
class Space(Settings):
    """What two vectors must share to be compared: the encoder with its weights, and every step before it."""

    encoder: str
    """The name that `load_encoder` takes."""
    weights: str
    """Digest of the weights, so that a changed checkpoint under an old name is another space."""
    dim: int
    transform: dict[str, Any]
    """The encoder's own input transform."""
    preprocessing: dict[str, Any] | None = None
    """What was done to the picture before; None for pictures as they came."""


def vector_schema(dim: int) -> pa.Schema:
    """Return the schema of a part of vectors; a picture that failed has a null vector and an error code."""
    columns = [("id", pa.string()), ("vector", pa.list_(pa.float32(), dim)), ("error", pa.string())]
    return pa.schema([*columns, ("side_px", pa.int32()), ("blur", pa.float32())])


@dataclass(frozen=True)
class Embeddings:
    """`manifest` row i has `vectors[i]`: float32 [N, D] of norm 1, NaN where `errors[i]` is a code."""

    manifest: Manifest
    vectors: np.ndarray
    errors: list[str | None]
    space: Space
    condition: pa.Table
    """Columns side_px and blur, row by row: in which condition the picture was encoded, as in `Predictions`."""

    @classmethod
    def load(cls, folder: str) -> "Embeddings":
        """Open what `embed` wrote. Raises BadInput if the run is not finished, is none, or is of an earlier version."""
        manifest, table, space = read_vectors(folder)
        if not {"side_px", "blur"} <= set(table.column_names):
            raise BadInput(f"{folder} was embedded by an earlier version; run `embed` again, into a new folder.")
        condition = table.select(["side_px", "blur"])
        return cls(manifest, matrix(table["vector"], space.dim), table["error"].to_pylist(), space, condition)

    @property
    def good(self) -> np.ndarray:
        """bool [N]: the rows that have a vector."""
        return np.array([error is None for error in self.errors])

    def bad(self) -> list[tuple[str, str]]:
        """Return uri and error code of every picture without a vector."""
        return [(uri, error) for uri, error in zip(self.manifest["uri"], self.errors, strict=True) if error]

    def digest(self) -> str:
        """Digest the pictures, their labels and splits, their vectors, and the space."""
        columns = {"id": self.manifest.table["id"], "vector": vector_column(self.vectors), "error": self.errors}
        digests = (self.manifest.digest(), tables.content_digest(pa.table(columns)), self.space.digest())
        return hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest()


def read_vectors(folder: str, columns: list[str] | None = None) -> tuple[Manifest, pa.Table, Space]:
    """Return what `embed` wrote: the manifest, columns of `vector_schema` row by row, by default all, and the space.

    The space is written after the last vector, so where it lies all vectors do. Raises BadInput as `Embeddings.load`.
    """
    path = storage.join(folder, SPACE)
    if not storage.exists(path):
        raise BadInput(f"{folder} holds no finished embeddings; run `embed` into it (the same command goes on).")
    try:
        space = Space.from_dict(json.loads(storage.read_bytes(path)))
    except ValueError as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    manifest = Manifest.load(folder)
    table = tables.read_parts(storage.join(folder, VECTORS), columns)
    if table["id"].to_pylist() != manifest["id"]:
        raise BadInput(f"The vectors in {folder} belong to other pictures than its manifest.")
    return manifest, table, space


def matrix(column: pa.ChunkedArray, dim: int) -> np.ndarray:
    """Return a FixedSizeList column as float32 [N, D], NaN for nulls."""
    column = column.combine_chunks()
    values = np.full((len(column), dim), np.nan, np.float32)
    values[column.is_valid().to_numpy(zero_copy_only=False)] = column.drop_null().flatten().to_numpy().reshape(-1, dim)
    return values


def vector_column(vectors: np.ndarray) -> pa.Array:
    """Return float32 [N, D] as a FixedSizeList column, null where a row is NaN."""
    missing = np.isnan(vectors).any(axis=1)
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array(missing))
