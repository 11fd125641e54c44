"""What `evaluate` refuses before anything is judged, and --reproduce, which needs neither Ray nor a detector."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import load_job
from fakes import manifest, manifest_of, rows, write_pictures

from gencv.core import tables
from gencv.core.calibrator import Calibrator
from gencv.core.embeddings import vector_column
from gencv.core.manifest import Manifest
from gencv.core.predictions import FILE, Predictions
from gencv.core.record import Split
from gencv.evaluate.evaluation import Terms, figures_of
from gencv.evaluate.thresholds import Threshold
from gencv.models import bundle, fitted
from gencv.models.detectors import NetworkDetector, Runner
from gencv.models.losses import Heads
from gencv.models.networks import build_network

Job = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
EER = {"name": "eer", "value": 0.5, "expected_fpr": 0.1, "expected_fnr": 0.1, "num_genuine": 9, "num_positive": 9}


@pytest.fixture(scope="module")
def spoof_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that nobody trained, whose bundle says that it learnt prints from the first eight of `manifest`."""
    torch.manual_seed(0)
    heads = Heads("softmax", ())
    made = NetworkDetector(
        running=Runner(build_network("tiny-vit", heads.num_outputs), "cpu"),
        heads=heads,
        network_name="tiny-vit",
        task="spoof",
        thresholds={"eer": EER},
    )
    folder = tmp_path_factory.mktemp("bundle")
    bundle.save(made, str(folder), training={"counts": {"family": {"real": 4, "print": 4}}}, metrics={})
    fitted.record(manifest(8, split=["train"] * 6 + ["val"] * 2), str(folder))
    return folder


def refused(job: Job, *flags: object) -> str:
    code, _, stderr = job("evaluate", *flags)
    assert code == 2 and len(stderr.strip().splitlines()) == 1, stderr
    return stderr


def test_flags_that_mean_nothing(job: Job, tmp_path: Path) -> None:
    assert "--manifest, --out is missing; give --bundle" in refused(job, "--bundle", "b")
    assert "--bundle, --manifest, --out is missing" in refused(job)
    said = refused(job, "--reproduce", tmp_path, "--bundle", "b", "--robustness-pictures", "3")
    assert "--bundle, --robustness-pictures does nothing with --reproduce" in said
    judging = ("--bundle", "b", "--manifest", "m", "--out", tmp_path / "out")
    assert "known: all, none, tiers" in refused(job, *judging, "--robustness", "some")
    assert "number from 1" in refused(job, *judging, "--robustness-pictures", "0")


def test_a_detector_is_not_judged_on_another_task_or_on_what_it_was_trained_on(
    job: Job, spoof_bundle: Path, tmp_path: Path
) -> None:
    judging = ("--bundle", spoof_bundle, "--manifest", tmp_path / "m", "--out", tmp_path / "out")
    manifest(4, split="test").save(str(tmp_path / "m"))
    assert "the positives here are generated (diffusion)" in refused(job, *judging)
    manifest(4, split="test", family=["real", "replay"] * 2).save(str(tmp_path / "m"))
    said = refused(job, *judging)
    assert "trained on 4 of the 4 pictures of the test split" in said and f"{0:032x}" in said
    manifest(4, split="val", family=["real", "replay"] * 2).save(str(tmp_path / "m"))
    assert "has no test rows" in refused(job, *judging)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run that is done, of 12 pictures and a detector that nobody needs any more."""
    folder = tmp_path / "finished"
    judged = manifest_of(write_pictures(tmp_path / "pictures", 12), split="test")
    judged.save(str(folder))
    scores = np.linspace(0, 1, 12).astype(np.float32)
    said = pa.table({"id": judged.table["id"], "score": scores, "error": judged.table["error"]})
    predictions = Predictions.of(judged.table, said)
    tables.write_table(predictions.table, str(folder / FILE))
    vectors = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    tables.write_table(
        said.append_column("features", vector_column(vectors)), tables.part_path(str(folder / "scores"), 0)
    )
    terms = Terms(
        title="Generated or real: nobody",
        task="generated",
        labels=("real", "generated"),
        split=Split.TEST,
        threshold=Threshold("eer", 0.5, 0.1, 0.1, 9, 9),
        calibrator=Calibrator(),
        band=None,
        no_robustness="--robustness none was asked for",
        num_replicates=50,
    )
    terms.save(str(folder))
    (folder / "metrics.json").write_text(json.dumps(figures_of(predictions, None, terms).to_dict()))
    return folder


def test_reproducing_says_that_all_figures_are_the_same_and_writes_nothing(job: Job, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    code, stdout, _ = job("evaluate", "--reproduce", finished)
    assert code == 0 and stdout.startswith("All ") and "figures are the same" in stdout
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_reproducing_into_a_folder_leaves_page_and_metrics(job: Job, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    code, stdout, stderr = job("evaluate", "--reproduce", finished, "--out", out)
    assert code == 0 and stdout.startswith("All ") and "AUROC" in stdout, stderr
    assert json.loads((out / "metrics.json").read_text()) == json.loads((finished / "metrics.json").read_text())
    page = (out / "report.html").read_text()
    assert "t-SNE" in page and "Nothing was degraded: --robustness none was asked for." in page


def test_a_run_with_bad_pictures_is_reproduced_with_the_same_leave(job: Job, finished: Path, tmp_path: Path) -> None:
    path = finished / FILE
    table = tables.read_table(str(path))
    scores, errors = table["score"].to_pylist(), table["error"].to_pylist()
    scores[0], errors[0] = None, "truncated"
    tables.write_table(Predictions(table).filled(score=scores, error=errors).table, str(path))
    told = figures_of(Predictions.load(str(finished)), None, Terms.load(str(finished)))
    (finished / "metrics.json").write_text(json.dumps(told.to_dict()))
    call = ("evaluate", "--reproduce", finished, "--out", tmp_path / "again")
    code, stdout, stderr = job(*call)
    assert code == 2 and "figures are the same" in stdout and "1 of 12 pictures failed" in stderr
    code, stdout, stderr = job(*call[:-1], tmp_path / "anew", "--max-bad-fraction", ".2")
    assert code == 0 and "figures are the same" in stdout, stderr


def test_a_figure_that_does_not_follow_is_shown_with_both_values(job: Job, finished: Path) -> None:
    told = json.loads((finished / "metrics.json").read_text())
    told["metrics"]["auroc"]["value"] = 0.99
    (finished / "metrics.json").write_text(json.dumps(told))
    code, stdout, stderr = job("evaluate", "--reproduce", finished)
    assert code == 1 and "1 of " in stderr and len(stderr.strip().splitlines()) == 1
    assert stdout.startswith("metrics.auroc.value: the run says 0.99, its tables say 0.")


def test_a_folder_that_holds_no_run_cannot_be_reproduced(job: Job, finished: Path, tmp_path: Path) -> None:
    assert "holds no metrics.json" in refused(job, "--reproduce", tmp_path)
    (finished / "metrics.json").write_text("{")
    assert "no JSON" in refused(job, "--reproduce", finished)
    (finished / "terms.json").unlink()
    assert "holds no terms.json" in refused(job, "--reproduce", finished)


@pytest.mark.slow
def test_reproducing_imports_neither_ray_nor_torch(finished: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['evaluate.py', '--reproduce', {str(finished)!r}]\n"
        f"runpy.run_path({str(ROOT / 'jobs' / 'evaluate.py')!r}, run_name='__main__')\n"
        "assert not {'ray', 'torch'} & set(sys.modules), 'slow imports'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "figures are the same" in done.stdout, done.stderr


def test_what_cannot_be_degraded_is_said_in_one_sentence() -> None:
    job = load_job("evaluate")
    config = job.Config(bundle="b", manifest="m", out="o")
    assert job.no_robustness(config, manifest(4)) == ""
    assert "only a raw picture" in job.no_robustness(config, Manifest(rows(4), preprocessing={"size_px": 224}))
    assert "no labelled picture" in job.no_robustness(config, manifest(4, label=None))
    assert "asked for" in job.no_robustness(replace(config, robustness="none"), manifest(4))
