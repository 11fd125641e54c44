"""Probes: small judges on frozen features, after recipe R4 (Ojha et al. 2023, arXiv:2302.10174).

Every probe gives a logit, positive for spoof or generated. Its tensors go into a bundle as safetensors and come back
by name; no code is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from gencv.core.errors import BadInput
from gencv.core.seeds import rng_for


@dataclass(frozen=True)
class Probe:
    """One fitted probe: its kind (a key of PROBES) and its tensors."""

    kind: str
    tensors: dict[str, torch.Tensor]

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """float32 [N, D] -> float32 [N]."""
        with torch.inference_mode():
            return np.asarray(PROBES[self.kind].logits(torch.from_numpy(vectors), self.tensors).numpy(), np.float32)


@dataclass(frozen=True)
class Labelled:
    """Vectors float32 [N, D] with labels int8 [N] in {0, 1}."""

    vectors: np.ndarray
    labels: np.ndarray

    def require_both(self, what: str) -> None:
        """Raise BadInput unless both classes are there."""
        counts = [int((self.labels == label).sum()) for label in (0, 1)]
        if min(counts) == 0:
            raise BadInput(
                f"The {what} rows have {counts[0]} genuine and {counts[1]} positive pictures; a probe needs both."
            )


def fit_nearest(train: Labelled, val: Labelled, seed: int) -> dict[str, torch.Tensor]:
    """Keep the training features themselves."""
    return {
        name: torch.from_numpy(train.vectors[train.labels == label])
        for label, name in enumerate(("genuine", "positive"))
    }


def nearest_logits(vectors: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cosine to the closest positive feature minus that to the closest genuine one: above 0, the positive is closer."""
    closest = [(vectors @ tensors[name].T).amax(1) for name in ("genuine", "positive")]
    return closest[1] - closest[0]


def fit_linear(train: Labelled, val: Labelled, seed: int) -> dict[str, torch.Tensor]:
    """Fit a logistic regression on standardised features; its strength C is chosen by log loss on validation."""
    # Imported where it is needed: it takes 2 s, which scoring with a fitted probe need not pay.
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    mean, std = train.vectors.mean(0), train.vectors.std(0) + 1e-6
    fits = []
    for strength in (1e-3, 1e-2, 1e-1, 1.0):
        fit = LogisticRegression(C=strength, max_iter=2000).fit((train.vectors - mean) / std, train.labels)
        fits.append((log_loss(val.labels, fit.predict_proba((val.vectors - mean) / std)[:, 1]), strength, fit))
    best = min(fits, key=lambda candidate: candidate[:2])[2]  # on a tie the stronger regularisation wins
    weight = best.coef_[0] / std  # standardising folded in, so that inference is one product
    bias = best.intercept_[0] - float(weight @ mean)
    return {"weight": torch.from_numpy(weight).float(), "bias": torch.tensor([bias], dtype=torch.float32)}


def linear_logits(vectors: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return vectors @ tensors["weight"] + tensors["bias"]


def fit_mlp(train: Labelled, val: Labelled, seed: int) -> dict[str, torch.Tensor]:
    """Train Dense 768 ReLU, Dense 1 sigmoid exactly as R4 does: Adam, binary cross-entropy, batch 30, 7 epochs.

    Glorot initial weights and Adam's epsilon 1e-7, since the recipe was written in Keras. Validation is not used.
    """
    rng = rng_for(seed, "mlp")
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    dim = train.vectors.shape[1]
    tensors = {
        "hidden.weight": torch.nn.init.xavier_uniform_(torch.empty(768, dim), generator=generator),
        "hidden.bias": torch.zeros(768),
        "out.weight": torch.nn.init.xavier_uniform_(torch.empty(1, 768), generator=generator),
        "out.bias": torch.zeros(1),
    }
    for tensor in tensors.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam(tensors.values(), lr=1e-3, eps=1e-7)
    vectors, labels = torch.from_numpy(train.vectors), torch.from_numpy(train.labels.astype(np.float32))
    for _ in range(7):
        for rows in torch.from_numpy(rng.permutation(len(labels))).split(30):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                mlp_logits(vectors[rows], tensors), labels[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {name: tensor.detach() for name, tensor in tensors.items()}


def mlp_logits(vectors: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    hidden = torch.nn.functional.linear(vectors, tensors["hidden.weight"], tensors["hidden.bias"]).relu()
    return torch.nn.functional.linear(hidden, tensors["out.weight"], tensors["out.bias"]).squeeze(-1)


@dataclass(frozen=True)
class ProbeKind:
    """How to fit a probe and how to read its tensors."""

    fit: Callable[[Labelled, Labelled, int], dict[str, torch.Tensor]]
    logits: Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]


def fit_probe(kind: str, train: Labelled, val: Labelled, *, seed: int) -> Probe:
    """Fit a probe of a kind in PROBES. Raises BadInput if a class is missing in either split."""
    train.require_both("training")
    val.require_both("validation")
    return Probe(kind, PROBES[kind].fit(train, val, seed))


PROBES: dict[str, ProbeKind] = {
    "nearest": ProbeKind(fit_nearest, nearest_logits),
    "linear": ProbeKind(fit_linear, linear_logits),
    "mlp": ProbeKind(fit_mlp, mlp_logits),
}
