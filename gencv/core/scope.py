"""The scope of a detector: which pictures it was measured on, so that others can be told apart from them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

OUTSIDE = {
    "too_small": "fewer pixels than nearly all pictures that the detector was measured on",
    "blurred": "more blurred than nearly all pictures that the detector was measured on",
    "unfamiliar": "unlike the pictures that the detector was fitted on",
}
"""Why a picture is outside a detector's scope, by code."""
NEIGHBOUR = 5
"""Which nearest training picture tells how far a picture is from them: not the first, which may be a near-duplicate."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """How small, how blurred, and how far from the training pictures a picture may be; None sets no limit."""

    least_side_px: int | None = None
    most_blur: float | None = None
    most_distance: float | None = None
    bank: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float16))
    """float16 [M, D], unit features of some training pictures."""

    def limits(self) -> dict[str, Any]:
        """Return all but the bank, as JSON has it."""
        names = ("least_side_px", "most_blur", "most_distance")
        return {name: getattr(self, name) for name in names}

    def distances(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, D] of any norm -> float32 [N], 1 - cosine to the NEIGHBOUR-th nearest picture of the bank."""
        bank = self.bank.astype(np.float32)
        found = [1 - np.partition(unit(some) @ bank.T, -NEIGHBOUR, axis=1)[:, -NEIGHBOUR] for some in _slices(features)]
        return np.concatenate(found) if found else np.empty(0, np.float32)

    def outside(self, sides_px: np.ndarray, blurs: np.ndarray, features: np.ndarray) -> list[tuple[str, ...]]:
        """Return the codes of OUTSIDE for each of N pictures, () for one within the scope.

        sides_px, blurs: [N], NaN where it is not known; features: float32 [N, D], NaN for a picture without an answer.
        """
        no = np.zeros(len(features), bool)
        codes = {
            "too_small": no if self.least_side_px is None else sides_px < self.least_side_px,
            "blurred": no if self.most_blur is None else blurs > self.most_blur,
            "unfamiliar": no if self.most_distance is None else self.distances(features) > self.most_distance,
        }
        return [
            tuple(code for code, is_so in zip(codes, row, strict=True) if is_so)
            for row in zip(*codes.values(), strict=True)
        ]

    def describe(self) -> str:
        """Say in a sentence what is within the scope."""
        limits = [
            None if self.least_side_px is None else f"smaller than {self.least_side_px} px on its shorter side",
            None if self.most_blur is None else f"more blurred than {self.most_blur:.2f} of 1",
            None if self.most_distance is None else f"farther than {self.most_distance:.3f} from the training pictures",
        ]
        told = [limit for limit in limits if limit]
        if not told:
            return "Nothing is known of the pictures that it was measured on, so none is outside its scope."
        return f"A picture is called uncertain as well if it is {', or '.join(told)}."


def unit(features: np.ndarray) -> np.ndarray:
    """Scale float32 [N, D] to norm 1; a row of zeros stays one."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norms > 0, norms, 1), np.float32)


def _slices(features: np.ndarray, rows: int = 4096) -> list[np.ndarray]:
    return [features[start : start + rows] for start in range(0, len(features), rows)]
