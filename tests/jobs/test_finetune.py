"""Fine-tuning as a user does it: a hub data set's local copy to a bundle that judges alike everywhere."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import load_job
from fakes import manifest, picture, write_pictures
from PIL import Image

from gencv.core import tables
from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest, PictureReader
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate.decision import Decision
from gencv.evaluate.thresholds import Threshold
from gencv.images.attacks import attack
from gencv.models import bundle
from gencv.models.detectors import NetworkDetector, Runner
from gencv.models.losses import Heads
from gencv.models.networks import build_network
from gencv.models.recipes import RECIPES, Recipe
from gencv.pipelines.finetune import Trained, Variant, variants_of

Job = Callable[..., tuple[int, str, str]]
THRESHOLD = {"name": "eer", "value": 0.5, "expected_fpr": 0.1, "expected_fnr": 0.1, "num_genuine": 9, "num_positive": 9}


@pytest.fixture
def celeba_spoof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local copy in the schema of nguyenkhoa/celeba-spoof-for-face-antispoofing-test: live pictures and replays."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows: list[dict[str, Any]] = []
    for index in range(160):
        image = picture(index, 96, 96)
        pixels = image if index % 2 == 0 else attack(image, "replay", str(index), 0)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        label = ("live", "spoof")[index % 2]
        rows.append({"cropped_image": {"bytes": stream.getvalue()}, "labels": index % 2, "labelNames": label})
    features = Features({"cropped_image": ImageFeature(), "labels": Value("int64"), "labelNames": Value("string")})
    Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "celeba-spoof")
    return tmp_path / "celeba-spoof"


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_celeba_spoof_by_its_recipe(job: Job, celeba_spoof: Path, tmp_path: Path, ray_local: str) -> None:
    gathered, out, judged = tmp_path / "manifest", tmp_path / "out", tmp_path / "judged"
    source = f"hf:{celeba_spoof}?family=replay"
    assert job("manifest", "--source", source, "--splits", ".6", ".2", ".2", "--out", gathered)[0] == 0
    recipe = ("--recipe", "celeba-spoof-vit", "--network", "tiny-vit", "--learning-rate", ".001", "--epochs", "3")
    command = ("finetune", *recipe, "--batch-size", "16", "--manifest", gathered, "--out", out)
    code, stdout, stderr = job(*command, "--track", "tensorboard")
    assert code == 0 and "test AUROC" in stdout, stderr
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [facts["epoch"] for facts in history] == [1, 2, 3] and history[-1]["pictures"] == 96
    assert len(list((out / "tensorboard").iterdir())) >= 1
    kept = json.loads((out / "config.json").read_text())["config"]["settings"]
    assert Recipe.from_dict(kept).learning_rate == 0.001 and kept["batch_size"] == 16
    page = (out / "report.html").read_text()
    for shown in ("learning rate", "confusion matrix", "ROC", "Parameters", "tiny-vit"):
        assert shown in page

    # Another recipe into the same folder is refused with what differs.
    code, _, stderr = job(*command[:-1], out, "--epochs", "4")
    assert code == 2 and "settings was" in stderr

    # Train's own judgement, the batch path, and single files give one score.
    assert job("evaluate", "--bundle", out, "--manifest", gathered, "--robustness", "none", "--out", judged)[0] == 0
    rows = tables.read_table(str(judged / "predictions.parquet")).to_pylist()
    of_id = {row["id"]: row["score"] for row in rows}
    trained = tables.read_table(str(out / "judged" / "predictions.parquet")).to_pylist()
    loaded = bundle.load(str(out), device="cpu")
    raw = {row["id"]: row["score"] for row in trained if row["split"] == "test"}
    calibrated = {id: float(loaded.probabilities(np.log([s / (1 - s)]))[0]) for id, s in raw.items()}
    assert calibrated.keys() == of_id.keys()
    np.testing.assert_allclose([calibrated[id] for id in of_id], list(of_id.values()), atol=1e-4)
    images = dict(zip(Manifest.load(str(gathered))["id"], range(160), strict=True))
    place = tmp_path / "one.jpg"
    reader = Manifest.load(str(gathered))
    place.write_bytes(PictureReader(str(gathered)).read(images[rows[0]["id"]]))
    assert len(reader) == 160
    code, stdout, _ = job("check", place, "--bundle", out)
    line = json.loads(stdout)
    assert code == 0 and line["task"] == "spoof" and line["id"] == rows[0]["id"]
    assert line["score"] == pytest.approx(rows[0]["score"], abs=1e-4)


def detector(kinds: tuple[str, ...] = ()) -> NetworkDetector:
    """A detector with weights that nobody trained."""
    torch.manual_seed(0)
    heads = Heads("softmax", kinds)
    network = build_network("tiny-vit", heads.num_outputs)
    return NetworkDetector(
        running=Runner(network, "cpu"),
        heads=heads,
        network_name="tiny-vit",
        task="generated",
        thresholds={"eer": {**THRESHOLD, "reason": ""}},
    )


def test_check_names_the_kind_of_what_it_calls_positive(job: Job, tmp_path: Path) -> None:
    files = write_pictures(tmp_path / "in", 6)
    made = detector(("diffusion", "gan"))
    scores = [float(made.judge_image(np.array(Image.open(file)), reencode=True).scores[0]) for file in files]
    made.thresholds["eer"]["value"] = float(np.median(scores))
    bundle.save(made, str(tmp_path / "bundle"), training={}, metrics={})
    code, stdout, _ = job("check", tmp_path / "in", "--bundle", tmp_path / "bundle")
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0 and {line["label"] for line in lines} == {"real", "generated"}
    for line in lines:
        if line["label"] == "real":
            assert line["kind"] == "none" and line["kind_score"] is None
        else:
            assert line["kind"] in ("diffusion", "gan") and 0.5 <= line["kind_score"] <= 1


def test_check_says_where_a_score_settles_nothing(job: Job, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 2)
    made = replace(detector(("diffusion", "gan")), band=Band(error_rate=0.05, lower=0.0, upper=1.0))
    bundle.save(made, str(tmp_path / "bundle"), training={}, metrics={})
    code, stdout, _ = job("check", tmp_path / "in", "--bundle", tmp_path / "bundle")
    assert code == 0
    for line in map(json.loads, stdout.splitlines()):
        assert (line["label"], line["reasons"], line["kind"]) == ("uncertain", ["fits_both"], "none")
        assert line["error_rate"] == 0.05 and set(line["scores"]) == {"real", "generated"}


def test_several_trainings_stand_side_by_side(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = manifest(
        120,
        generator=["camera", "sd", "camera", "progan"] * 30,
        split=["train"] * 60 + ["val"] * 20 + ["test"] * 40,
        group=[f"g{index}" for index in range(120)],
    )
    made.save(str(tmp_path / "manifest"))

    def fake(variant: Variant, manifest: Manifest, out: str, **how: Any) -> Trained:
        rows = variant.manifest_of(manifest)
        test = rows.where(split=Split.TEST)
        rng = np.random.default_rng(len(variant.name))
        scores = np.clip(np.array(test["label"]) * 0.4 + rng.uniform(0, 0.6, len(test)), 0, 1).astype(np.float32)
        import pyarrow as pa

        predictions = Predictions.of(test.table, pa.table({"score": scores, "error": test.table["error"]}))
        epoch = {"epoch": 1, "train_loss": 0.6, "train_accuracy": 0.6, "learning_rate": 1e-3, "pictures": 60, "bad": 0}
        cost = {"seconds": 2.0, "val_seconds": 0.5, "waited_s": 0.1, "micro_batch": 0, "workers": 1, "device": "cpu"}
        val = {"val_loss": 0.6, "val_accuracy": 0.7, "val_auroc": 0.8, "peak_memory_mib": 500.0, "peak_flops": 1e11}
        fitted = rows.where(split=Split.TRAIN)
        decision = Decision(Calibrator(), {"eer": Threshold(**THRESHOLD)}, Band(error_rate=0.05, reason="too few"))
        history = [{**epoch, **cost, **val}]
        return Trained(variant, detector(), history, decision, {}, fitted, test, predictions, predictions)

    module = load_job("finetune")
    monkeypatch.setattr(module, "finetune", fake)
    from gencv.runs.launch import launch

    command = ["--manifest", str(tmp_path / "manifest"), "--out", str(tmp_path / "out"), "--per", "generator"]
    launch(module.main, command)
    rows = json.loads((tmp_path / "out" / "trainings.json").read_text())
    assert [row["name"] for row in rows] == ["all", "progan", "sd"]
    assert [row["trained_on"] for row in rows] == ["all", "progan", "sd"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "progan" in page and "accuracy per GFLOP" in page
    assert (tmp_path / "out" / "sd" / "report.html").exists()


def test_variants_differ_in_one_thing_each() -> None:
    made = manifest(40, generator=["camera", "sd", "camera", "progan"] * 10)
    small = RECIPES["celeba-spoof-small"]
    one = variants_of(made, small, scales=(), treatments=(), per="none")
    assert [(v.name, v.recipe.network) for v in one] == [("", "timm/vit_base_patch16_224.augreg_in21k")]
    scales = variants_of(made, small, scales=("tiny", "small"), treatments=(), per="none")
    assert [v.recipe.network for v in scales] == [f"timm/vit_{s}_patch16_224.augreg_in21k" for s in ("tiny", "small")]
    rows = variants_of(made, RECIPES["starter"], scales=(), treatments=("baseline", "finetuned"), per="none")
    assert [(v.name, v.recipe.freeze) for v in rows] == [("baseline", ("all",)), ("finetuned", ())]
    plain = Recipe(network="starter")
    with pytest.raises(BadInput, match="baseline and augmented would be the same training"):
        variants_of(made, plain, scales=(), treatments=("baseline", "augmented"), per="none")
    per = variants_of(made, RECIPES["starter"], scales=(), treatments=(), per="generator")
    assert [v.name for v in per] == ["all", "progan", "sd"]
    alone = per[1].manifest_of(made)
    assert {(label, name) for label, name in zip(alone["label"], alone["generator"], strict=True)} == {
        (0, "camera"),
        (1, "progan"),
    }


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--recipe", "none"], "Unknown recipe 'none'; known: "),
        (["--network", "vit"], "Unknown network 'vit'"),
        (["--network", "timm/none_at_all"], "Unknown timm network"),
        (["--loss", "hinge"], "Unknown loss 'hinge'; known: sigmoid, softmax"),
        (["--epochs", "0"], "epochs is 0"),
        (["--track", "paper"], "Unknown tracker 'paper'"),
        (["--scale", "tiny"], "--scale needs a network with {scale}"),
        (["--scale", "huge"], "Unknown scale 'huge'"),
        (["--per", "generator"], "two generators at least"),
        (["--kinds", "family"], "two at least"),
        (["--degradations", "rain"], "Unknown degradation 'rain'"),
        (["--freeze", "layer9"], "no parameter's name begins so"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(job: Job, tmp_path: Path, flags: list[str], says: str) -> None:
    manifest(80, split=["train"] * 40 + ["val"] * 20 + ["test"] * 20).save(str(tmp_path / "manifest"))
    code, _, stderr = job("finetune", "--manifest", tmp_path / "manifest", "--out", tmp_path / "out", *flags)
    assert code == 2 and says in stderr and len(stderr.strip().splitlines()) == 1, stderr
    assert not (tmp_path / "out" / "training").exists()
