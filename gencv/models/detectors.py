"""Detectors: an encoder, a probe, and the preprocessing that they were fitted with, as one object.

The same object scores offline batches, requests, and the command line.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import expit

from gencv.core.contracts import Encoder
from gencv.core.embeddings import Space
from gencv.core.errors import BadInput
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import Transform
from gencv.models.probes import Probe

LABELS = {"spoof": ("live", "spoof"), "generated": ("real", "generated")}
"""What a task calls its genuine and its positive pictures."""

SPOOF_FAMILIES = frozenset({"print", "replay", "recapture"})


def task_of(families: set[str]) -> str:
    """Return the task that the families of the positive pictures make: `spoof` if all were put before a camera."""
    return "spoof" if families and families <= SPOOF_FAMILIES else "generated"


@dataclass(frozen=True)
class Chain:
    """What a detector does to a decoded picture: its preprocessing, then its encoder's transform."""

    preprocessing: Preprocessing | None
    transform: Transform

    @property
    def decode_side_px(self) -> int | None:
        return self.preprocessing.decode_side_px if self.preprocessing else self.transform.decode_side_px

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.transform(self.preprocessing.apply(image) if self.preprocessing else image)

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


@dataclass(frozen=True, kw_only=True)
class ProbeDetector:
    """P(positive) = sigmoid(probe(encoder(prepare(picture))) / temperature)."""

    encoder: Encoder
    probe: Probe
    task: str
    temperature: float = 1.0
    preprocessing: Preprocessing | None = None
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: value, expected error rates, and what they were set on; a value of None says why in `reason`."""

    @property
    def prepare(self) -> Chain:
        return Chain(self.preprocessing, self.encoder.transform)

    @property
    def labels(self) -> tuple[str, str]:
        return LABELS[self.task]

    @property
    def title(self) -> str:
        """Name it for people: "Spoof or live: mlp on starter-features"."""
        genuine, positive = self.labels
        return f"{positive.capitalize()} or {genuine}: {self.probe.kind} on {self.encoder.space.encoder}"

    @property
    def space(self) -> Space:
        """The space that the probe was fitted in."""
        return replace(self.encoder.space, preprocessing=self.preprocessing.to_dict() if self.preprocessing else None)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, S, S, 3], as `prepare` gives them -> float32 [B, D]."""
        return self.encoder.images(pixels)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """float32 [B, D] -> float32 [B], P(positive)."""
        logits = self.probe.logits(features).astype(np.float64) / self.temperature
        return np.asarray(expit(logits), np.float32)

    def score_image(self, image: np.ndarray) -> float:
        """uint8 RGB [H, W, 3] -> P(positive)."""
        return float(self.scores(self.features(self.prepare(image)[None]))[0])
