"""Training over Ray: the end is that of the plain loop, whatever was killed, and whoever goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import manifest_of, write_pictures
from processes import descendants
from safetensors.torch import load_file

from gencv.core.errors import BadInput, GencvError
from gencv.core.manifest import Manifest
from gencv.models.fitting import Place, best_epoch
from gencv.models.recipes import RECIPES, Recipe
from gencv.pipelines import train as module
from gencv.pipelines.loading import Loader
from gencv.pipelines.train import HISTORY, STORAGE, Training, begin, kinds_of, plan_of, source_of

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]
CHANGED = {"network": "tiny-vit", "optimizer": "sgd", "learning_rate": 0.01, "epochs": 8, "batch_size": 16}
"""With AdamW, two workers who add up gradients in another order than one does would show in the fourth digit."""
RECIPE = replace(RECIPES["celeba-spoof-vit"], **CHANGED)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty training, twenty validation, and twenty test pictures; nothing tells their classes apart."""
    folder = tmp_path_factory.mktemp("train")
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    families = ["real", "gan", "real", "diffusion"] * 25
    made = manifest_of(write_pictures(folder / "in", 100), split=splits, family=families)
    made.save(str(folder / "manifest"))
    return folder / "manifest"


@pytest.fixture(scope="module")
def undisturbed(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The same training in this process, without Ray: the weights of its best epoch, and its history."""
    out = tmp_path_factory.mktemp("undisturbed")
    training, manifest = Training(manifest_dir=str(pictures), out=str(out), recipe=RECIPE), Manifest.load(str(pictures))
    fit = begin(training, manifest, plan_of(manifest, RECIPE), Place())
    loader = Loader(source_of(training, manifest, fit.network.transform, fit.place))
    best: dict[str, np.ndarray] = {}
    while not fit.is_done:
        fit.step(*loader.load(fit.number))
        if fit.ends_epoch and best_epoch(fit.history) == len(fit.history):
            best = {name: tensor.numpy().copy() for name, tensor in fit.network.network.state_dict().items()}
    return best, fit.history


@pytest.mark.ray
@pytest.mark.kill
def test_a_killed_driver_of_two_workers_and_then_a_killed_worker_change_nothing(
    job: Callable[..., tuple[int, str, str]],
    pictures: Path,
    undisturbed: tuple[Any, Any],
    tmp_path: Path,
    ray_local: str,
) -> None:
    out = tmp_path / "out"
    kept = out / STORAGE / "checkpoint_manager_snapshot.json"
    flags = [word for name, value in CHANGED.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["--recipe", "celeba-spoof-vit", *flags, "--manifest", str(pictures), "--out", str(out)]
    killed = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "finetune.py", *command, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_ADDRESS": ray_local},  # the cluster stays, and goes on with the next job
    )
    try:
        wait_until(lambda: kept.exists() and "step-" in kept.read_text())
    finally:
        killed.kill()
        killed.wait()
    assert not (out / "weights.safetensors").exists(), "the kill came too late to show anything"

    # The same command goes on with one worker, and loses it on the way.
    killer = threading.Thread(target=kill_a_worker_after_epoch, args=(out, 6), daemon=True)
    killer.start()
    code, _, stderr = job("finetune", *command, "--workers", "1")
    assert code == 0, stderr
    killer.join(timeout=1)
    assert not killer.is_alive(), "no worker was killed"
    history = [json.loads(line) for line in (out / HISTORY).read_text().splitlines()]
    assert [(facts["epoch"], facts["pictures"]) for facts in history] == [(epoch, 60) for epoch in range(1, 9)]
    assert (history[0]["workers"], history[-1]["workers"]) == (2, 1)
    assert [f["val_loss"] for f in history] == pytest.approx([f["val_loss"] for f in undisturbed[1]], abs=1e-6)
    weights = {name: tensor.numpy() for name, tensor in load_file(out / "weights.safetensors").items()}
    assert weights.keys() == undisturbed[0].keys()
    for name in weights:
        np.testing.assert_allclose(weights[name], undisturbed[0][name], atol=1e-6, err_msg=name)


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_a_worker_after_epoch(out: Path, number: int) -> None:
    wait_until(lambda: (out / HISTORY).exists() and len((out / HISTORY).read_text().splitlines()) >= number)
    os.kill(descendants(os.getpid(), "RayTrainWorker")[0], signal.SIGKILL)


def test_what_keeps_a_manifest_from_being_trained_on(pictures: Path) -> None:
    manifest = Manifest.load(str(pictures))
    assert len(plan_of(manifest, RECIPE).train) == 60
    no_val = manifest.where([split == "train" for split in manifest["split"]])
    with pytest.raises(BadInput, match="The val split has 0 genuine and 0 positive"):
        plan_of(no_val, RECIPE)
    one_class = manifest.where(
        [label == 0 or split == "val" for label, split in zip(manifest["label"], manifest["split"], strict=True)]
    )
    with pytest.raises(BadInput, match="train split has 30 genuine and 0 positive"):
        plan_of(one_class, RECIPE)


def test_kinds_come_from_the_training_positives(pictures: Path) -> None:
    manifest = Manifest.load(str(pictures))
    assert kinds_of(manifest, RECIPE) == ()
    assert kinds_of(manifest, Recipe(kinds="family")) == ("diffusion", "gan")
    with pytest.raises(BadInput, match="two at least"):
        kinds_of(manifest, Recipe(kinds="generator"))
    column = pa.array(["unknown" if name == "gan" else name for name in manifest["family"]])
    place = manifest.table.column_names.index("family")
    unknown = Manifest(manifest.table.set_column(place, "family", column))
    with pytest.raises(BadInput, match=r"two at least, the manifest has \['diffusion'\]"):
        kinds_of(unknown, Recipe(kinds="family"))


def test_memory_that_does_not_suffice_halves_the_micro_batch_once(tmp_path: Path) -> None:
    class Fake:
        micro_batch = 0
        plan = type("Plan", (), {"batch_size": 16})
        place = type("Place", (), {"num_workers": 2})

    fit: Any = Fake()
    assert module.kept_micro_batch(str(tmp_path)) == 0
    module.halve_micro_batch(str(tmp_path), fit)
    assert module.kept_micro_batch(str(tmp_path)) == 4
    with pytest.raises(GencvError, match="do not fit into the memory"):
        module.halve_micro_batch(str(tmp_path), fit)
