"""Training over Ray: the end is that of the plain loop, whatever was killed, and whoever goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
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
from gencv.models.fitting import Place
from gencv.models.recipes import Recipe
from gencv.pipelines import train as module
from gencv.pipelines.loading import Loader
from gencv.pipelines.train import HISTORY, Training, begin, kinds_of, plan_of, train

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]
RECIPE = Recipe(network="tiny-vit", learning_rate=1e-3, epochs=3, batch_size=16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty training, twenty validation, and twenty test pictures; nothing tells their classes apart."""
    folder = tmp_path_factory.mktemp("train")
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    families = ["real", "gan", "real", "diffusion"] * 25
    made = manifest_of(write_pictures(folder / "in", 100), split=splits, family=families)
    made.save(str(folder / "manifest"))
    return folder / "manifest"


def weights_after(pictures: Path, out: Path, **how: Any) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    recipe = how.pop("recipe", RECIPE)
    network, history = train(Training(manifest_dir=str(pictures), out=str(out), recipe=recipe), **how)
    return {name: tensor.numpy() for name, tensor in network.network.state_dict().items()}, history


@pytest.fixture(scope="module")
def undisturbed(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The same training in this process, without Ray: the weights of its best epoch, and its history."""
    out = tmp_path_factory.mktemp("undisturbed")
    fit, source = begin(Training(manifest_dir=str(pictures), out=str(out), recipe=RECIPE), Place())
    loader = Loader(source)
    best: dict[str, np.ndarray] = {}
    while not fit.is_done:
        fit.step(*loader.load(fit.number))
        if fit.ends_epoch and fit.history[-1]["val_auroc"] > max((f["val_auroc"] for f in fit.history[:-1]), default=0):
            best = {name: tensor.numpy().copy() for name, tensor in fit.network.network.state_dict().items()}
    return best, fit.history


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], atol: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=atol, err_msg=name)


@pytest.mark.ray
@pytest.mark.kill
def test_a_killed_driver_and_then_a_killed_worker_change_nothing(
    job: Callable[..., tuple[int, str, str]],
    pictures: Path,
    undisturbed: tuple[Any, Any],
    tmp_path: Path,
    ray_local: str,
) -> None:
    out = tmp_path / "out"
    flags = ["--network", "tiny-vit", "--learning-rate", "1e-3", "--epochs", "3", "--batch-size", "16"]
    command = ["--recipe", "celeba-spoof-vit", *flags, "--workers", "1", "--manifest", str(pictures), "--out", str(out)]
    killed = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "finetune.py", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_ADDRESS": ray_local},  # the cluster stays, and goes on with the next job
    )
    try:
        wait_for_epoch(out, 1)
    finally:
        killed.kill()
        killed.wait()
    assert not (out / "weights.safetensors").exists(), "the kill came too late to show anything"

    # The same command goes on, and loses its worker on the way.
    killer = threading.Thread(target=kill_a_worker_after_epoch, args=(out, 2), daemon=True)
    killer.start()
    code, _, stderr = job("finetune", *command)
    assert code == 0, stderr
    killer.join(timeout=1)
    assert not killer.is_alive(), "no worker was killed"
    weights = {name: tensor.numpy() for name, tensor in load_file(out / "weights.safetensors").items()}
    assert_same(weights, undisturbed[0], 1e-6)
    history = [json.loads(line) for line in (out / HISTORY).read_text().splitlines()]
    assert [facts["epoch"] for facts in history] == [1, 2, 3]
    assert [f["val_loss"] for f in history] == pytest.approx([f["val_loss"] for f in undisturbed[1]], abs=1e-6)


def wait_for_epoch(out: Path, number: int) -> None:
    deadline = time.monotonic() + 180
    while not (out / HISTORY).exists() or len((out / HISTORY).read_text().splitlines()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_a_worker_after_epoch(out: Path, number: int) -> None:
    wait_for_epoch(out, number)
    os.kill(descendants(os.getpid(), "RayTrainWorker")[0], signal.SIGKILL)


@pytest.mark.ray
def test_one_worker_goes_on_where_two_have_stopped(
    pictures: Path, undisturbed: tuple[Any, Any], tmp_path: Path, ray_local: str
) -> None:
    first = Recipe.from_dict({**RECIPE.to_dict(), "epochs": 1})
    _, history = weights_after(pictures, tmp_path / "out", recipe=first, workers=2)
    assert len(history) == 1 and history[0]["workers"] == 2
    weights, history = weights_after(pictures, tmp_path / "out", workers=1)
    assert [facts["workers"] for facts in history] == [2, 1, 1]
    assert [facts["pictures"] for facts in history] == [60] * 3
    # The same pictures in the same steps; only the order in which gradients were added is another.
    assert_same(weights, undisturbed[0], 1e-3)


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
