import numpy as np
import pytest
from fakes import manifest

from gencv.core.manifest import Manifest
from gencv.plots import pages
from gencv.runs.report import Report


def test_a_map_reads_every_column_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    of_column = Manifest.__getitem__
    monkeypatch.setattr(Manifest, "__getitem__", lambda self, name: read.append(name) or of_column(self, name))
    report = Report("Embeddings", "")
    pages.add_map(report, np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), manifest(30))
    assert sorted(read) == ["generator", "label"]
