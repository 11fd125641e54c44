"""The band of scores that settle nothing: which scores fit which class, and what is promised of the verdicts."""

from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadInput
from gencv.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Band(Settings):
    """Which scores fit which class: genuine up to `upper`, positive from `lower` on, both bounds included.

    A score that fits exactly one class has a verdict; one that fits both or neither is uncertain.
    """

    error_rate: float
    """The promised share of a class's pictures that get the other class as their verdict, at most."""
    upper: float | None = None
    lower: float | None = None
    """None where nothing can be promised; `reason` says why, and no verdict is uncertain."""
    num_genuine_groups: int = 0
    num_positive_groups: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.error_rate <= 0.5:
            raise BadInput(f"An error rate to promise lies above 0 and is at most .5, not {self.error_rate}.")
        if (self.upper is None) != (self.lower is None):
            raise BadInput("A band has both bounds or none.")

    @property
    def promises(self) -> bool:
        """Whether there are bounds."""
        return self.upper is not None

    def fits(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bool [N], fits genuine, and bool [N], fits positive, of a band that has bounds."""
        assert self.upper is not None and self.lower is not None
        return scores <= self.upper, scores >= self.lower

    def describe(self, labels: tuple[str, str]) -> str:
        """Say in a sentence what is promised. labels: what to call genuine and positive."""
        if self.upper is None or self.lower is None:
            return f"No error rate is promised: {self.reason.removeprefix('too_few: ')}."
        genuine, positive = labels
        return (
            f"A score fits {genuine} up to {self.upper:.4f} and {positive} from {self.lower:.4f} on. One that does not "
            "fit exactly one of them, or fits the one that the threshold speaks against, is called uncertain, so that "
            "of new pictures that are drawn as those of validation were, every group counted once, at most "
            f"{self.error_rate:.1%} of either class are called the other."
        )
