import numpy as np
import pytest
from fakes import manifest

from gencv.core.manifest import Manifest
from gencv.core.seeds import uniform_for
from gencv.plots import robustness
from gencv.runs.report import Report


def test_the_example_of_a_class_is_drawn_from_all_of_its_readable_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever generator it is of, so that no order of all rows is needed."""
    shown: list[int] = []

    def note(of: Manifest, rows: list[int], **how: object) -> list[None]:
        shown.extend(rows)
        return [None] * len(rows)

    monkeypatch.setattr(robustness, "pictures_of", note)
    draws = [uniform_for(0, f"{row:032x}", "sample") for row in range(40)]
    least, second = np.argsort(draws)[:2]
    errors = ["missing" if row == least else None for row in range(40)]
    rows = manifest(40, label=1, generator=["a" if row == 0 else "b" for row in range(40)], error=errors)
    robustness.add_examples(Report("Robustness", ""), rows, seed=0)
    assert shown == [second]
