"""The two styles of telling two classes apart, and the second head that tells positives apart.

A network's C outputs are cut into the verdict's (two for softmax, one for sigmoid) and those of the kinds.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

NUM_VERDICT_OUTPUTS = {"softmax": 2, "sigmoid": 1}


@dataclass(frozen=True)
class Heads:
    """What the outputs of a network mean. loss: softmax or sigmoid; kinds: names of the kinds of positives."""

    loss: str
    kinds: tuple[str, ...] = ()

    @property
    def num_outputs(self) -> int:
        return NUM_VERDICT_OUTPUTS[self.loss] + len(self.kinds)

    def verdict(self, outputs: torch.Tensor) -> torch.Tensor:
        """[B, C] -> the logit of being positive [B]; its sigmoid is P(positive) in both styles."""
        return outputs[:, 1] - outputs[:, 0] if self.loss == "softmax" else outputs[:, 0]

    def kind_logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """[B, C] -> [B, K], of kinds among positives."""
        return outputs[:, NUM_VERDICT_OUTPUTS[self.loss] :]

    def verdict_losses(
        self, outputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float = 0.0
    ) -> torch.Tensor:
        """Return the loss of each picture [B]. labels: int64 [B] in {0, 1}; weights: float32 [2], by class."""
        if self.loss == "softmax":
            losses = F.cross_entropy(outputs[:, :2], labels, reduction="none", label_smoothing=smoothing)
        else:
            targets = labels.to(outputs.dtype) * (1 - smoothing) + smoothing / 2
            losses = F.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="none")
        return losses * weights[labels]

    def kind_losses(self, outputs: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy over kinds [B], 0 where a picture has none (-1)."""
        return F.cross_entropy(self.kind_logits(outputs), kinds, reduction="none", ignore_index=-1)
