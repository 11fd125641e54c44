"""All that happens to a decoded picture before a network sees it, and in which condition it came."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gencv.core.errors import BadInput
from gencv.images.faces import Face
from gencv.images.preprocess import Preprocessing
from gencv.images.reencode import reencodings
from gencv.images.sharpness import blur_of
from gencv.images.transform import Transform


@dataclass(frozen=True)
class Examined:
    """One picture, ready to be judged."""

    views: np.ndarray
    """uint8 [V, S, S, 3]: the picture as it is, then as each of REENCODINGS makes it, where that was asked for."""
    side_px: int
    """Shorter side of the part that is judged, before any resize but that of a scaled decode."""
    blur: float
    """`blur_of` what the network sees, 0 to 1."""


@dataclass(frozen=True)
class Chain:
    """A detector's preprocessing, then its network's own transform."""

    preprocessing: Preprocessing | None
    transform: Transform

    @property
    def decode_side_px(self) -> int | None:
        return self.preprocessing.decode_side_px if self.preprocessing else self.transform.decode_side_px

    @property
    def side_px(self) -> int:
        """The least side that a picture has on its way: one that is not enlarged for it shows all that can be seen."""
        return min(self.transform.size_px, self.preprocessing.size_px if self.preprocessing else self.transform.size_px)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.transform(self.preprocessing.apply(image) if self.preprocessing else image)

    def examine(self, image: np.ndarray, *, face: Face | None = None, reencode: bool = False) -> Examined:
        """Make of uint8 RGB [H, W, 3] what is judged; the first view is what a call of the chain gives.

        face: cut out this one, of several. Raises BadImage where what is to be cut out is not there.
        """
        part, chain = image, self
        if self.preprocessing is not None:
            part = self.preprocessing.cut(image, face)
            chain = replace(self, preprocessing=self.preprocessing.whole)
        views = np.stack([chain(view) for view in (part, *(reencodings(part) if reencode else ()))])
        return Examined(views, min(part.shape[:2]), blur_of(views[0]))

    def for_pictures(self, preprocessed: dict[str, Any] | None) -> "Chain":
        """Return the chain for pictures that were preprocessed before, so that nothing is done twice.

        Raises BadInput if they were preprocessed in another way than this detector was fitted with.
        """
        if preprocessed is None:
            return self
        if self.preprocessing is None or preprocessed != self.preprocessing.to_dict():
            mine = self.preprocessing.to_dict() if self.preprocessing else None
            raise BadInput(
                f"These pictures were preprocessed as {preprocessed}, the detector expects {mine}; "
                "give the raw manifest."
            )
        return replace(self, preprocessing=None)
