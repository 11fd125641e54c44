"""From a part of a manifest to a network's input: read, decode, augment, transform."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gencv.core.contracts import Prepare
from gencv.core.errors import BadImage
from gencv.core.manifest import read_part
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing

Made = TypeVar("Made")


@dataclass(frozen=True)
class ReadPixels:
    """Part number -> `id`, `error`, and `pixels`: the bytes of uint8 [S, S, 3], null for a picture with an error.

    stored: the pictures are what `preprocess` stored, which is decoded whole, as the detector does in memory.
    augment: makes of each raw picture what `preprocess` would have stored, blur and all, before `prepare` sees it.
    """

    manifest_dir: str
    prepare: Prepare
    stored: bool = False
    augment: Preprocessing | None = None

    def __call__(self, part: int) -> pa.Table:
        ids, pixels, errors = map_pictures(
            self.manifest_dir, part, lambda data, image_id, split: self.read(data, image_id, split).tobytes()
        )
        return pa.table({"id": ids, "error": errors, "pixels": pixels})

    def read(self, data: bytes, image_id: str, split: str) -> np.ndarray:
        """Return one picture's uint8 [S, S, 3]. Raises BadImage."""
        if self.augment is not None:
            data = self.augment.store(decode(data, min_side_px=self.augment.decode_side_px), image_id, split)
            return self.prepare(decode(data))
        return self.prepare(decode(data, min_side_px=None if self.stored else self.prepare.decode_side_px))


def map_pictures(
    manifest_dir: str, part: int, make: Callable[[bytes, str, str], bytes]
) -> tuple[pa.ChunkedArray, pa.Array, pa.Array]:
    """Make something of every picture of a part: (bytes, id, split) -> bytes.

    Returns ids, what was made, and error codes, row by row, as `try_pictures` does.
    """
    rows, made, errors = try_pictures(manifest_dir, part, make)
    return rows["id"], pa.array(made, pa.binary()), pa.array(errors, pa.string())


def try_pictures(
    manifest_dir: str, part: int, make: Callable[[bytes, str, str], Made]
) -> tuple[pa.Table, list[Made | None], list[str | None]]:
    """Make something of every picture of a part: (bytes, id, split) -> anything.

    Returns the part's rows, what was made, and error codes; a picture whose `make` raises BadImage, whose file is gone,
    or that had an error before is None with its code.
    """
    rows, images = read_part(manifest_dir, part)
    made: list[Made | None] = []
    errors: list[str | None] = []
    for data, image_id, split, error in zip(
        images, *(rows[name].to_pylist() for name in ("id", "split", "error")), strict=True
    ):
        result = None
        if error is None:
            try:
                if isinstance(data, BadImage):
                    raise data
                assert data is not None
                result = make(data, image_id, split or "")
            except BadImage as bad:
                error = bad.code
        made.append(result)
        errors.append(error)
    return rows, made, errors


def stack(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the good rows of a part as uint8 [B, S, S, 3], and bool [N] that says which they are."""
    good = table["pixels"].is_valid().to_numpy()
    values = [value.as_buffer() for value in table["pixels"].drop_null()]
    if not values:
        return np.empty((0, 0, 0, 3), np.uint8), good
    side = round((len(values[0]) / 3) ** 0.5)
    return np.stack([np.frombuffer(value, np.uint8).reshape(side, side, 3) for value in values]), good
