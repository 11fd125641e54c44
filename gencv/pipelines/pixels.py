"""From a part of a manifest to a network's input: read, decode, augment, transform."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gencv.core.errors import BadImage
from gencv.core.manifest import read_part
from gencv.images.chain import Chain, Examined
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.images.reencode import REENCODINGS

Made = TypeVar("Made")
NUM_VIEWS = 1 + len(REENCODINGS)
PIXELS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("error", pa.string()),
        ("pixels", pa.binary()),  # uint8 [V, S, S, 3], null for a picture with an error
        ("num_views", pa.int32()),  # V, the same in all rows: a picture itself, and its re-encodings if asked for
        ("side_px", pa.int32()),  # shorter side of the part that is judged, as it came
        ("blur", pa.float32()),  # `blur_of` what is judged
    ]
)


@dataclass(frozen=True)
class ReadPixels:
    """Part number -> rows of PIXELS_SCHEMA.

    stored: the pictures are what `preprocess` stored, which is decoded whole, as the detector does in memory.
    augment: makes of each raw picture what `preprocess` would have stored, blur and all, before `prepare` sees it.
    reencode: let each picture have the views that REENCODINGS make of it.
    """

    manifest_dir: str
    prepare: Chain
    stored: bool = False
    augment: Preprocessing | None = None
    reencode: bool = False

    def __call__(self, part: int) -> pa.Table:
        rows, made, errors = try_pictures(self.manifest_dir, part, self.flat)
        pixels, sides_px, blurs = zip(*(one or (None, None, None) for one in made), strict=True)
        columns = {
            "id": rows["id"],
            "error": errors,
            "pixels": pixels,
            "num_views": [NUM_VIEWS if self.reencode else 1] * len(made),
            "side_px": rows["side_px"] if self.stored else sides_px,
            "blur": blurs,
        }
        return pa.table(columns, PIXELS_SCHEMA)

    def flat(self, data: bytes, image_id: str, split: str) -> tuple[bytes, int, float]:
        """Return what is kept of one picture until its whole part is read. Raises BadImage."""
        picture = self.read(data, image_id, split)
        return picture.views.tobytes(), picture.side_px, picture.blur

    def read(self, data: bytes, image_id: str, split: str) -> Examined:
        """Return what is judged of one picture. Raises BadImage."""
        if self.augment is not None:
            part = self.augment.cut(decode(data, min_side_px=self.augment.decode_side_px))
            stored = self.augment.whole.store(part, image_id, split)
            return replace(self.prepare.examine(decode(stored)), side_px=min(part.shape[:2]))
        image = decode(data, min_side_px=None if self.stored else self.prepare.decode_side_px)
        return self.prepare.examine(image, reencode=self.reencode)


def try_pictures(
    manifest_dir: str, part: int, make: Callable[[bytes, str, str], Made], places: Sequence[int] | None = None
) -> tuple[pa.Table, list[Made | None], list[str | None]]:
    """Make something of every picture of a part, or of the rows at some places in it: (bytes, id, split) -> anything.

    Returns the part's rows, what was made, and error codes; a picture whose `make` raises BadImage, whose file is gone,
    or that had an error before is None with its code.
    """
    rows, images = read_part(manifest_dir, part, places)
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


def views_of(table: pa.Table) -> tuple[list[np.ndarray], int, np.ndarray]:
    """Return the views of the good rows of a part, uint8 [S, S, 3] each, V a row, without a copy.

    Also returns V, and bool [N] that says which rows are good.
    """
    good = table["pixels"].is_valid().to_numpy()
    num_views = table["num_views"][0].as_py()
    views: list[np.ndarray] = []
    for value in table["pixels"].drop_null():
        flat = np.frombuffer(value.as_buffer(), np.uint8)
        side = round((len(flat) / 3 / num_views) ** 0.5)
        views.extend(flat.reshape(num_views, side, side, 3))
    return views, num_views, good
