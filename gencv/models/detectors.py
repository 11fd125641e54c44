"""Detectors: a network, or an encoder and a probe, and the preprocessing that they were fitted with, as one object.

The same object scores offline batches, requests, and the command line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.contracts import Encoder, Judged
from gencv.core.embeddings import Space
from gencv.core.scope import Scope
from gencv.images.chain import Chain, Examined
from gencv.images.faces import Face
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import Transform
from gencv.models.losses import Heads
from gencv.models.network import forward
from gencv.models.networks import Classifier
from gencv.models.probes import Probe

LABELS = {"spoof": ("live", "spoof"), "generated": ("real", "generated")}
"""What a task calls its genuine and its positive pictures."""

SPOOF_FAMILIES = frozenset({"print", "replay", "recapture"})

AT_ONCE = {"cpu": 16, "cuda": 256}
"""Views in one forward pass: on a CPU 64 take more than twice as long each as 16, on a GPU they fit into its memory."""


def task_of(families: set[str]) -> str:
    """Return the task that the families of the positive pictures make: `spoof` if all were put before a camera."""
    return "spoof" if families and families <= SPOOF_FAMILIES else "generated"


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What every detector has: a task, a calibrator, thresholds, the preprocessing that it was fitted with."""

    task: str
    calibrator: Calibrator = field(default_factory=Calibrator)
    preprocessing: Preprocessing | None = None
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: value, expected error rates, and what they were set on; a value of None says why in `reason`."""
    band: Band | None = None
    """The scores that are called `uncertain`, and the error rate that this promises."""
    scope: Scope = field(default_factory=Scope)
    """Which pictures it was measured on; one outside is called `uncertain`."""

    @property
    def transform(self) -> Transform:
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What judges, for people: "mlp on starter-features"."""
        raise NotImplementedError

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of positives that it tells apart; () for none."""
        raise NotImplementedError

    @property
    def num_features(self) -> int:
        raise NotImplementedError

    @property
    def runner(self) -> Any:
        """Who computes, and says by `bf16` whether in half precision."""
        raise NotImplementedError

    def judge(self, pixels: np.ndarray) -> Judged:
        """Judge uint8 [B, S, S, 3], as `prepare` gives them."""
        raise NotImplementedError

    @property
    def prepare(self) -> Chain:
        return Chain(self.preprocessing, self.transform)

    @property
    def labels(self) -> tuple[str, str]:
        return LABELS[self.task]

    @property
    def title(self) -> str:
        """Name it for people: "Spoof or live: mlp on starter-features"."""
        genuine, positive = self.labels
        return f"{positive.capitalize()} or {genuine}: {self.name}"

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits [B] -> float32 [B], P(positive) as calibrated."""
        return self.calibrator(logits).astype(np.float32)

    def judge_image(self, image: np.ndarray, *, face: Face | None = None, reencode: bool = False) -> Judged:
        """Judge one picture, uint8 RGB [H, W, 3], and say whether it is outside the scope; B is 1.

        face: judge this one, of several. reencode: give the range of the scores of its re-encodings. Raises BadImage.
        """
        return self.judge_examined([self.prepare.examine(image, face=face, reencode=reencode)])[0]

    def judge_examined(self, pictures: Sequence[Examined]) -> list[Judged]:
        """Judge pictures and their re-encodings together; each answer is as of that picture alone, with B = 1."""
        pixels, size = np.concatenate([picture.views for picture in pictures]), AT_ONCE[self.runner.device]
        judged = [self.judge(pixels[first : first + size]) for first in range(0, len(pixels), size)]
        views = Judged(
            np.concatenate([one.scores for one in judged]),
            np.concatenate([one.kinds for one in judged]),
            np.concatenate([one.features for one in judged]),
        )
        ends = np.cumsum([len(picture.views) for picture in pictures])
        return [
            self._of_one(picture, views, int(end) - len(picture.views), int(end))
            for picture, end in zip(pictures, ends, strict=True)
        ]

    def _of_one(self, picture: Examined, views: Judged, first: int, end: int) -> Judged:
        scores, features = views.scores[first:end], views.features[first : first + 1]
        # As a table of predictions keeps them.
        sides, blurs = np.array([picture.side_px]), np.array([picture.blur], np.float32)
        return Judged(
            scores=scores[:1],
            kinds=views.kinds[first : first + 1],
            features=features,
            lows=scores.min(keepdims=True),
            highs=scores.max(keepdims=True),
            outside=self.scope.outside(sides, blurs, features),
        )


@dataclass(frozen=True, kw_only=True)
class ProbeDetector(Detector):
    """P(positive) = calibrator(probe(encoder(prepare(picture))))."""

    encoder: Encoder
    probe: Probe

    @property
    def kinds(self) -> tuple[str, ...]:
        return ()

    @property
    def transform(self) -> Transform:
        transform: Transform = self.encoder.transform
        return transform

    @property
    def name(self) -> str:
        return f"{self.probe.kind} on {self.encoder.space.encoder}"

    @property
    def num_features(self) -> int:
        return self.encoder.space.dim

    @property
    def space(self) -> Space:
        """The space that the probe was fitted in."""
        return replace(self.encoder.space, preprocessing=self.preprocessing.to_dict() if self.preprocessing else None)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """float32 [B, D], embeddings -> float32 [B], P(positive)."""
        return self.probabilities(self.probe.logits(features))

    def judge(self, pixels: np.ndarray) -> Judged:
        features = self.encoder.images(pixels)
        return Judged(self.scores(features), np.empty((len(pixels), 0), np.float32), features)

    @property
    def runner(self) -> Any:
        return self.encoder


class Runner:
    """A classifier on a device, ready to judge."""

    def __init__(self, network: Classifier, device: str) -> None:
        self.device, self.bf16 = device, device == "cuda"
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pixels: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """uint8 [B, S, S, 3] -> outputs float32 [B, C] and features float32 [B, D], both on the CPU."""
        joined = forward(
            lambda images: torch.cat(self.network(images), 1),
            pixels,
            self.network.transform,
            self.device,
            bf16=self.bf16,
        )
        outputs, features = joined.split([joined.shape[1] - self.network.num_features, self.network.num_features], 1)
        return outputs, features.numpy()


@dataclass(frozen=True, kw_only=True)
class NetworkDetector(Detector):
    """P(positive) = calibrator(verdict(network(prepare(picture)))), and the kind of positive beside it."""

    running: Runner
    heads: Heads
    network_name: str

    @property
    def runner(self) -> Runner:
        return self.running

    @property
    def transform(self) -> Transform:
        return self.running.network.transform

    @property
    def name(self) -> str:
        return self.network_name

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.heads.kinds

    @property
    def num_features(self) -> int:
        return self.running.network.num_features

    def judge(self, pixels: np.ndarray) -> Judged:
        outputs, features = self.running(pixels)
        kinds = self.heads.kind_logits(outputs).numpy()
        kinds = softmax(kinds, axis=1) if self.kinds else kinds
        return Judged(self.probabilities(self.heads.verdict(outputs).numpy()), kinds, features)
