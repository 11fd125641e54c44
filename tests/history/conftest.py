"""Ledgers and rows for the tests of the history."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gencv.history.ledger import Ledger, open_ledger
from gencv.history.schema import Verdict

PICTURE = "5f" * 16


@pytest.fixture
def ledger(history_url: str, tmp_path: Any) -> Iterator[Ledger]:
    """An empty ledger that keeps pictures."""
    ledger = open_ledger(history_url, keep_pictures=str(tmp_path / "kept"))
    yield ledger
    ledger.close()


@pytest.fixture
def verdict() -> Callable[..., Verdict]:
    """Make a verdict, of PICTURE unless something else is said."""

    def make(**fields: Any) -> Verdict:
        said = {"picture_id": PICTURE, "bundle": "b", "digest": "d", "task": "spoof", "label": "live"}
        return Verdict(**{**said, "score": 0.25, "threshold_id": "eer", **fields})

    return make
