"""What a data set is made of, split by split, and what about that is odd."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gencv.core.findings import Finding, Level
from gencv.core.record import Split

MAX_RATIO = 10.0
"""Pictures of one class for each of the other from which accuracy, precision, and F1 mislead."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The readable pictures of one split, label, generator, and source; their sizes by the shorter side, in px."""

    split: str
    label: int | None
    generator: str
    source: str
    num_pictures: int
    smallest_px: int | None
    median_px: int | None
    largest_px: int | None


def compose(
    splits: Sequence[str],
    labels: Sequence[int | None],
    generators: Sequence[str],
    sources: Sequence[str],
    shorter_sides_px: Sequence[int | None],
) -> list[Cell]:
    """Count N pictures by split, label, generator, and source, in that order."""
    sides: dict[tuple[str, int | None, str, str], list[int | None]] = {}
    for split, label, generator, source, side in zip(
        splits, labels, generators, sources, shorter_sides_px, strict=True
    ):
        sides.setdefault((split, label, generator or "", source or ""), []).append(side)
    order = [split.value for split in Split]
    cells = []
    for key in sorted(sides, key=lambda key: (order.index(key[0]), str(key[1]), key[2:])):
        split, label, generator, source = key
        known = [side for side in sides[key] if side is not None]
        cells.append(
            Cell(
                split=split,
                label=label,
                generator=generator,
                source=source,
                num_pictures=len(sides[key]),
                smallest_px=min(known, default=None),
                median_px=int(np.median(known)) if known else None,
                largest_px=max(known, default=None),
            )
        )
    return cells


def findings_of(cells: Sequence[Cell]) -> list[Finding]:
    """Say which split lacks a class or is lopsided, and whether all genuine pictures come from one place."""
    found = []
    for split in dict.fromkeys(cell.split for cell in cells):
        counts: Counter[int | None] = Counter()
        for cell in cells:
            if cell.split == split:
                counts[cell.label] += cell.num_pictures
        few, many = sorted((counts[0], counts[1]))
        said = f"The {split} split has {counts[0]:,} genuine and {counts[1]:,} positive pictures"
        if not few:
            sentence = f"{said}; it takes both to fit or to judge a detector."
            found.append(Finding(level=Level.WARN, part="balance", sentence=sentence, weight=1.0))
        elif many > MAX_RATIO * few:
            sentence = f"{said}: read AUROC and balanced accuracy, as accuracy and precision mislead there."
            found.append(Finding(level=Level.REMARK, part="balance", sentence=sentence, weight=1 - few / many))
    sources = {cell.source for cell in cells if cell.label == 0}
    if len(sources) == 1:
        sentence = (
            f"All genuine pictures come from one source ({sources.pop() or 'unnamed'}); false positives on others can "
            "be many times as frequent, so judge on genuine pictures from elsewhere as well."
        )
        found.append(Finding(level=Level.REMARK, part="balance", sentence=sentence))
    return found
