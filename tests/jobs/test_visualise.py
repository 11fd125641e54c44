"""What needs no cluster: a map of embeddings alone, and one sentence for what cannot be shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import load_job
from fakes import manifest, manifest_of, write_embeddings, write_pictures

from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.models import bundle
from gencv.models.detectors import NetworkDetector, Runner
from gencv.models.losses import Heads
from gencv.models.networks import build_network
from gencv.pipelines.spectra import SumSpectra, add_up
from gencv.runs.launch import launch

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


def test_columns_are_read_once_and_not_once_a_row(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = manifest(80, split="test", error=["missing"] * 40 + [None] * 40)
    write_embeddings(pictures, np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32), tmp_path / "e")
    read: list[str] = []
    of_column = Manifest.__getitem__
    monkeypatch.setattr(Manifest, "__getitem__", lambda self, name: read.append(name) or of_column(self, name))
    flags = ("--embeddings", tmp_path / "e", "--max-bad-fraction", "1", "--out", tmp_path / "out")
    assert job("visualise", *flags)[0] == 0
    assert max(map(read.count, ("id", "uri", "generator"))) < 20


def write_bundle(folder: Path, task: str = "generated") -> Path:
    """Write a network that nobody trained."""
    torch.manual_seed(0)
    eer = {"name": "eer", "value": 0.5, "expected_fpr": 0.1, "expected_fnr": 0.1, "num_genuine": 9, "num_positive": 9}
    heads = Heads("softmax", ())
    network = Runner(build_network("tiny-vit", heads.num_outputs), "cpu")
    made = NetworkDetector(running=network, heads=heads, network_name="tiny-vit", task=task, thresholds={"eer": eer})
    bundle.save(made, str(folder), training={}, metrics={})
    return folder


def test_two_networks_of_one_name_are_told_apart_and_what_either_could_not_judge_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = manifest_of(write_pictures(tmp_path / "pictures", 12), split="test")
    pictures.save(str(tmp_path / "m"))
    bundles = [write_bundle(tmp_path / name / "all") for name in ("deit", "vit")]
    visualise = load_job("visualise")

    def judge(config: Any, folder: str, detector: Any, place: str, chosen: Manifest, out: str) -> tuple:
        scores, bad = np.linspace(0, 1, 12).astype(np.float32), bundles.index(Path(folder))
        scores[bad] = np.nan
        errors = ["missing" if row == bad else None for row in range(12)]
        answers = pa.table({"score": pa.array(scores, mask=np.isnan(scores)), "error": pa.array(errors)})
        return Predictions.of(chosen.table, answers), np.random.default_rng(0).normal(size=(12, 4)) + scores[:, None]

    def mean_spectra(place: str, chosen: Manifest, out: str, *, side_px: int, **how: Any) -> tuple:
        return add_up([SumSpectra(place, side_px)(0)], side_px), {}

    monkeypatch.setattr(visualise, "judge", judge)
    monkeypatch.setattr(visualise, "mean_spectra", mean_spectra)
    flags = ["--manifest", tmp_path / "m", "--out", tmp_path / "out", "--max-bad-fraction", "1"]
    launch(visualise.main, [str(word) for word in ("--bundle", *bundles, *flags)])
    told = json.loads((tmp_path / "out" / "visualise.json").read_text())
    ends = [network["name"].rpartition(" ")[2] for network in told["networks"]]
    assert ends == ["(deit/all)", "(vit/all)"]
    bad = json.loads((tmp_path / "out" / "report.json").read_text())["bad"]
    assert bad == [{"uri": pictures["uri"][row], "error": "missing"} for row in range(2)]


@pytest.mark.parametrize(
    ("folders", "called"),
    [
        (["/r/vit"], ["net"]),
        (["/r/vit", "/r/deit/"], ["net (vit)", "net (deit)"]),
        (["/r/deit/all", "/r/vit/all", "/r/b"], ["net (deit/all)", "net (vit/all)", "net (b)"]),
        (["/r/all", "/r/r/all"], ["net (/r/all)", "net (r/r/all)"]),
        (["/r/all", "/r/all"], ["net (/r/all)", "net (/r/all)"]),
    ],
)
def test_a_name_has_as_much_of_its_folder_as_it_needs(folders: list[str], called: list[str]) -> None:
    names_of = load_job("visualise").names_of
    assert names_of(["net"] * len(folders), folders) == called
    assert names_of(["other", *["net"] * len(folders)], ["/r/vit", *folders]) == ["other", *called]


def test_a_bundle_of_another_task_is_refused_before_anything_is_judged(job: Job, tmp_path: Path) -> None:
    manifest(4, split="test").save(str(tmp_path / "m"))
    bundles = (write_bundle(tmp_path / "generated"), write_bundle(tmp_path / "spoof", "spoof"))
    flags = ("--bundle", *bundles, "--manifest", tmp_path / "m", "--out", tmp_path / "out")
    code, _, stderr = job("visualise", *flags)
    assert code == 2 and "the positives here are generated (diffusion)" in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "--bundle with --manifest, or --embeddings alone"),
        (["--bundle", "b"], "--bundle with --manifest"),
        (["--bundle", "b", "--manifest", "m", "--embeddings", "e"], "or --embeddings alone"),
        (["--embeddings", "e", "--training", "t"], "--training does nothing with --embeddings"),
        (["--embeddings", "e", "--pictures", "7"], "--pictures does nothing with --embeddings"),
        (["--embeddings", "e", "--spectrum-px", "64"], "--spectrum-px does nothing with --embeddings"),
        (["--embeddings", "e", "--threshold", "none"], "--threshold does nothing with --embeddings"),
        (["--embeddings", "e", "--batch-size", "3"], "--batch-size does nothing with --embeddings"),
        (["--embeddings", "e", "--seed", "-1"], "--seed is -1; a number from 0 to 4294967295"),
        (["--embeddings", "e", "--colour", "source"], "class, family, generator"),
        (["--embeddings", "e", "--split", "dev"], "Unknown split"),
        (["--embeddings", "e", "--per-class", "0"], "at least 1"),
        (["--embeddings", "e", "--projection", "pca"], "tsne, umap"),
        (["--bundle", "b", "--manifest", "m", "--spectrum-px", "99"], "an even side"),
        (["--embeddings", "e"], "holds no finished embeddings"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(job: Job, tmp_path: Path, flags: list[str], says: str) -> None:
    code, _, stderr = job("visualise", *flags, "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
