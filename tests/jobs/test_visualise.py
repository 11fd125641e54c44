"""What needs no cluster: a map of embeddings alone, and one sentence for what cannot be shown."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import manifest, write_embeddings

Job = Callable[..., tuple[int, str, str]]


def test_embeddings_alone_give_maps_and_nothing_else(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = manifest(80, split=["test"] * 70 + ["train"] * 10)
    vectors = np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32)
    vectors[3] = np.nan
    write_embeddings(pictures, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tmp_path / "e")
    monkeypatch.chdir(tmp_path)  # relative places become absolute ones
    assert job("visualise", "--embeddings", "e", "--per-class", "20", "--out", "out")[0] == 0
    found = json.loads((tmp_path / "out" / "visualise.json").read_text())
    (network,) = found["networks"]
    of_id = dict(zip(pictures["id"], pictures["generator"], strict=True))
    drawn = [of_id[point["id"]] for point in network["map"]]
    assert sorted(drawn) == ["camera"] * 20 + ["sd"] * 20 and pictures["id"][3] not in {p["id"] for p in network["map"]}
    assert not {point["id"] for point in network["map"]} & set(pictures["id"][70:]), "of the test split alone"
    assert found["spectra"] is network["neighbours"] is network["method"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 3 and "by generator" in page and "Mean spectra" not in page


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "--bundle with --manifest, or --embeddings alone"),
        (["--bundle", "b"], "--bundle with --manifest"),
        (["--bundle", "b", "--manifest", "m", "--embeddings", "e"], "or --embeddings alone"),
        (["--embeddings", "e", "--training", "t"], "it goes with --bundle"),
        (["--embeddings", "e", "--colour", "source"], "class, family, generator"),
        (["--embeddings", "e", "--split", "dev"], "Unknown split"),
        (["--embeddings", "e", "--per-class", "0"], "at least 1"),
        (["--embeddings", "e", "--projection", "pca"], "tsne, umap"),
        (["--embeddings", "e", "--spectrum-px", "99"], "an even side"),
        (["--embeddings", "e"], "holds no finished embeddings"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(job: Job, tmp_path: Path, flags: list[str], says: str) -> None:
    code, _, stderr = job("visualise", *flags, "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
