"""What training changes in a picture by chance: a mirror, and the degradations of the world.

Every choice is drawn by the picture's id and the epoch, so that a resumed training sees the same pictures.
"""

from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadInput, UnknownName
from gencv.core.seeds import rng_for
from gencv.core.settings import Settings
from gencv.images.degrade import DEGRADATIONS
from gencv.images.transform import resize


@dataclass(frozen=True, kw_only=True)
class Augmentation(Settings):
    """uint8 RGB [S, S, 3] -> the same size, changed by chance; the default changes nothing.

    It comes after the network's resize and crop, as Wang et al. 2020 (arXiv:1912.11035) do: a strength means the same
    for a picture of any size. Raises BadInput at a field out of range.
    """

    flip: bool = False
    """Mirror half of the pictures."""
    degradations: tuple[str, ...] = ()
    """Keys of DEGRADATIONS, applied in this order, each with `probability` and at one of its strengths."""
    probability: float = 0.5
    """Of each degradation, by itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "degradations", tuple(self.degradations))  # JSON brings lists
        for name in self.degradations:
            if name not in DEGRADATIONS:
                raise UnknownName("degradation", name, DEGRADATIONS)
        if not 0 <= self.probability <= 1:
            raise BadInput(f"probability is {self.probability}; a share from 0 to 1 is accepted.")

    def __call__(self, image: np.ndarray, image_id: str, epoch: int, seed: int) -> np.ndarray:
        if not self.flip and not self.degradations:
            return image
        rng = rng_for(seed, image_id, f"augment {epoch}")
        height, width = image.shape[:2]
        if self.flip and rng.random() < 0.5:
            image = image[:, ::-1]
        for name in self.degradations:
            if rng.random() < self.probability:
                degradation = DEGRADATIONS[name]
                strength = degradation.strengths[rng.integers(len(degradation.strengths))]
                image = resize(degradation.function(np.ascontiguousarray(image), strength, rng), height, width, "area")
        return np.ascontiguousarray(image)
