"""Mean power spectra of every generator of a manifest, in one pass over the pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.core.spectra import MeanSpectrum, Spectra
from gencv.images.decode import decode
from gencv.images.spectra import MAX_SIDE_PX, MIN_SIDE_PX, SIGNALS, log_power, radial_profile
from gencv.pipelines.parts import PartWork, map_parts
from gencv.pipelines.pixels import try_pictures

SPECTRA = "spectra"
SPECTRA_SCHEMA = pa.schema(
    [
        ("generator", pa.string()),
        ("signal", pa.string()),
        ("count", pa.int64()),
        ("num_small", pa.int64()),  # pictures that are smaller than the square
        *((name, pa.list_(pa.float64())) for name in ("power", "profile", "profile_squared")),
    ]
)
USUAL_SIDE_PX = 224
SUMS = ("power", "profile", "profile_squared")


@dataclass(frozen=True)
class SumSpectra:
    """Part number -> a row of SPECTRA_SCHEMA for each generator and signal in it; unreadable pictures are left out."""

    manifest_dir: str
    side_px: int

    def __call__(self, part: int) -> pa.Table:
        rows, squares, _ = try_pictures(self.manifest_dir, part, self.read)
        sums: dict[tuple[str, str], MeanSpectrum] = {}
        small: dict[tuple[str, str], int] = {}
        for generator, square in zip(rows["generator"].to_pylist(), squares, strict=True):
            if square is None:
                continue
            for signal in SIGNALS:
                key, power = (generator, signal), log_power(square, signal, self.side_px)
                if power is None:
                    small[key] = small.get(key, 0) + 1
                else:
                    one = MeanSpectrum.of(power, radial_profile(power))
                    sums[key] = sums[key] + one if key in sums else one
        found = []
        for key in sorted(sums.keys() | small.keys()):
            of_key = {name: getattr(sums[key], name).ravel() for name in SUMS} if key in sums else {}
            count = sums[key].count if key in sums else 0
            generator, signal = key
            names = {"generator": generator, "signal": signal, "count": count, "num_small": small.get(key, 0)}
            found.append({**names, **of_key})
        return pa.Table.from_pylist(found, SPECTRA_SCHEMA)

    def read(self, data: bytes, image_id: str, split: str) -> np.ndarray:
        """Return the middle of a picture, uint8 [S, S, 3], less where a side is under S. Raises BadImage."""
        image = decode(data)  # every pixel: a scaled decode is a filter
        top, left = (max(0, (side - self.side_px) // 2) for side in image.shape[:2])
        return image[top : top + self.side_px, left : left + self.side_px].copy()  # a view would keep all of it


def mean_spectra(
    manifest_dir: str, manifest: Manifest, out: str, *, side_px: int, address: str | None = None, workers: int = 0
) -> tuple[Spectra, dict[str, Any]]:
    """Write the sums of every part into `out`; returns them added up, and map_parts' facts."""
    require_side(side_px)
    folder = storage.join(out, SPECTRA)
    work = PartWork(
        name="spectra", out_dir=folder, num_parts=manifest.num_parts, prepare=SumSpectra(manifest_dir, side_px)
    )
    done = map_parts(work, address=address, workers=workers)
    return add_up(tables.iterate_parts(folder), side_px), done


def add_up(parts: Iterable[pa.Table], side_px: int) -> Spectra:
    """Add up the rows of parts, one part in memory at a time."""
    by_signal: dict[str, dict[str, MeanSpectrum]] = {signal: {} for signal in SIGNALS}
    num_small: dict[str, int] = {}
    for part in parts:
        for row in part.to_pylist():
            generator, of_signal = row["generator"], by_signal[row["signal"]]
            if row["signal"] == next(iter(SIGNALS)):
                num_small[generator] = num_small.get(generator, 0) + row["num_small"]
            if row["count"]:
                power, profile, squared = (np.array(row[name]) for name in SUMS)
                one = MeanSpectrum(
                    count=row["count"], power=power.reshape(side_px, side_px), profile=profile, profile_squared=squared
                )
                of_signal[generator] = of_signal[generator] + one if generator in of_signal else one
    return Spectra(side_px=side_px, by_signal=by_signal, num_small={k: n for k, n in num_small.items() if n})


def usual_side(manifest: Manifest) -> int:
    """Return the side of a square, in px, that nine of ten pictures of every generator have: USUAL_SIDE_PX at most."""
    sides: dict[str, list[int]] = {}
    for generator, width, height in zip(*(manifest[name] for name in ("generator", "width", "height")), strict=True):
        if width and height:
            sides.setdefault(generator, []).append(min(width, height))
    least = min((int(np.quantile(found, 0.1, method="lower")) for found in sides.values()), default=USUAL_SIDE_PX)
    return max(MIN_SIDE_PX, min(USUAL_SIDE_PX, least - least % 2))


def require_side(side_px: int) -> None:
    """Raise BadInput for a side that is odd, or out of range."""
    if not MIN_SIDE_PX <= side_px <= MAX_SIDE_PX or side_px % 2:
        raise BadInput(
            f"A spectrum of {side_px} px cannot be taken; an even side from {MIN_SIDE_PX} to {MAX_SIDE_PX} is accepted."
        )
