"""Findings: what an audit has to say, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is, the worst first."""

    FAIL = "fail"
    """A detector trained or judged on these data would look better than it is."""
    WARN = "warn"
    """A person must look; nothing can be mended, or nothing can be said, without one."""
    REMARK = "remark"
    """Worth knowing when the figures are read."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence on the data. `part` is shortcuts, leaks, balance, or labels.

    weight: how much it weighs among findings of its level, larger is worse. examples: what a person may look up.
    """

    level: Level
    part: str
    sentence: str
    weight: float = 0.0
    examples: tuple[str, ...] = ()


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by level, then by weight; equal ones keep their order."""
    levels = list(Level)
    return sorted(findings, key=lambda finding: (levels.index(finding.level), -finding.weight))


def failed(findings: Iterable[Finding]) -> bool:
    """Say whether any finding forbids to train on the data as they are."""
    return any(finding.level == Level.FAIL for finding in findings)


def verdict(findings: Iterable[Finding]) -> str:
    """Say in one sentence what an audit came to."""
    ordered = worst_first(findings)
    fails, warnings = (sum(finding.level == level for finding in ordered) for level in (Level.FAIL, Level.WARN))
    if fails:
        reasons = "one reason" if fails == 1 else f"{fails} reasons, the first of which is"
        return f"Not fit to train on, for {reasons}: {ordered[0].sentence}"
    if warnings:
        said = "one warning" if warnings == 1 else f"{warnings} warnings"
        return f"Nothing was found that forbids training, with {said} to weigh."
    return "Nothing was found that would make a detector look better than it is."
