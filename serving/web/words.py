"""What the page calls things, in words for people who know nothing of detectors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A label, as the page speaks of it."""

    headline: str
    icon: str
    """Stands beside the headline, so that nobody has to tell colours apart."""
    plural: str = ""


LABELS = {
    "live": Words("Looks live", "✓", "live pictures"),
    "spoof": Words("Looks like a spoof", "!", "spoofs"),
    "real": Words("Looks real", "✓", "real pictures"),
    "generated": Words("Looks generated", "!", "generated pictures"),
    "uncertain": Words("Not certain", "?"),
}
TASKS = {"spoof": ("live", "spoof"), "generated": ("real", "generated")}
"""What a detector's task calls genuine and positive."""
CHOICES = {"spoof": ("It is live", "It is a spoof"), "generated": ("It is real", "It is generated")}
"""What a person says of a picture, in the order of TASKS."""


def out_of(rate: float, things: str) -> str:
    """Say a share as a person counts: "of 100 spoofs about 25"."""
    if not rate:
        return f"of the {things} that it was measured on none"
    whole = 100 if rate >= 0.01 else 1_000 if rate >= 0.001 else 10_000
    return f"of {whole:,} {things} about {round(rate * whole)}"


def of_hundred(share: float, digits: int = 0) -> str:
    """Say a share, from 0 to 1, as a number up to 100, which only the whole is, as only nothing is 0."""
    if 0.99 < share < 1:
        return "over 99"
    return "under 1" if 0 < share < 0.01 else f"{100 * share:.{digits}f}"


def apart(score: float, threshold: float) -> tuple[str, str]:
    """Say a score and its threshold with so many digits that they differ where they do."""
    pairs = ((of_hundred(score, digits), of_hundred(threshold, digits)) for digits in range(4))
    return next((pair for pair in pairs if pair[0] != pair[1]), (of_hundred(score), of_hundred(threshold)))
