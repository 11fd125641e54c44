import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gencv.core.errors import TrainingFailed
from gencv.images.augment import Augmentation
from gencv.models.checkpoints import load_state, save_state
from gencv.models.fitting import Fit, Place, Targets, best_epoch, class_weights
from gencv.models.losses import Heads
from gencv.models.networks import build_network
from gencv.models.plan import Plan, share_of
from gencv.models.recipes import Recipe

NUM_TRAIN, NUM_VAL = 22, 10
"""Pictures of a small training: three steps of 8, the last of 6, and two of validation."""
RECIPE = Recipe(network="tiny-vit", learning_rate=1e-3, batch_size=8, epochs=2)
SGD = replace(RECIPE, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.01)
BATCH_NORM = replace(SGD, network="timm/test_resnet", weights="random")
State = dict[str, torch.Tensor]


def labels_of(count: int) -> np.ndarray:
    return np.arange(count) % 2


def kinds_of(count: int) -> np.ndarray:
    return np.where(np.arange(count) % 2, np.arange(count) // 2 % 2, -1)


def pictures(rows: np.ndarray, side: int) -> np.ndarray:
    """Genuine ones are bluish, positives reddish, a little; uint8 [b, S, S, 3]."""
    made = [np.random.default_rng(row).integers(0, 200, (side, side, 3)) for row in rows]
    for row, image in zip(rows, made, strict=True):
        image[..., 0 if row % 2 else 2] += 40
    return np.array(made, np.uint8).reshape(-1, side, side, 3)


def fit_of(
    recipe: Recipe,
    *,
    num_train: int = NUM_TRAIN,
    num_val: int = NUM_VAL,
    kinds: tuple[str, ...] = (),
    place: Place = Place(),  # noqa: B008
    judge: Callable[..., float] = roc_auc_score,
    targets: Targets | None = None,
    **more: Any,
) -> Fit:
    total = num_train + num_val
    heads = Heads(recipe.loss, kinds)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, heads.num_outputs, weights=recipe.weights)
    plan = Plan(
        train=tuple(range(num_train)),
        val=tuple(range(num_train, total)),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
    )
    targets = targets or Targets(labels_of(total), kinds_of(total), [f"id{row}" for row in range(total)])
    return Fit(network, heads, recipe, plan, targets, judge, place, **more)


def go(fit: Fit, until: int | None = None, bad: tuple[int, ...] = (), black: int = 0) -> Fit:
    """Make the steps up to number `until`; rows in `bad` cannot be read."""
    while not fit.is_done and fit.number != until:
        rows = share_of(fit.plan[fit.number].rows, fit.place.rank, fit.place.num_workers)
        pixels = pictures(rows, fit.network.transform.size_px)
        good = ~np.isin(rows, bad)
        pixels[~good] = black
        fit.step(pixels, good)
    return fit


def state_of(fit: Fit) -> State:
    return {name: tensor.clone() for name, tensor in fit.network.state_dict().items()}


def furthest(one: State, other: State) -> float:
    """Return the largest difference of two states."""
    assert list(one) == list(other)
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def figures(fit: Fit) -> list[dict[str, Any]]:
    """Return what the history says of the training, and not of the machine."""
    mine = ("epoch", "learning_rate", "pictures", "bad")
    return [
        {name: fact for name, fact in facts.items() if name in mine or name.endswith(("_loss", "_accuracy", "_auroc"))}
        for facts in fit.history
    ]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_training_learns(loss: str) -> None:
    fit = go(fit_of(replace(RECIPE, loss=loss, epochs=3), num_train=96, num_val=40))
    assert fit.history[-1]["val_auroc"] > 0.95 and fit.history[-1]["val_accuracy"] > 0.9
    assert fit.history[-1]["val_loss"] < 0.4 and fit.history[-1]["train_loss"] < fit.history[0]["train_loss"]
    assert [facts["epoch"] for facts in fit.history] == [1, 2, 3]
    assert all(facts["pictures"] == 96 and facts["bad"] == 0 for facts in fit.history)
    assert json.loads(json.dumps(fit.history)) == fit.history


def test_the_figures_are_those_of_the_validation_rows() -> None:
    judged = {}

    def judge(labels: np.ndarray, scores: np.ndarray) -> float:
        judged.update(labels=labels, scores=scores)
        return 0.5

    fit = go(fit_of(replace(RECIPE, epochs=1), judge=judge))
    fit.network.eval()
    rows = np.array(fit.plan.val)
    images = torch.from_numpy(fit.network.transform.normalise(pictures(rows, 64)))
    with torch.no_grad():
        scores = fit.network(images)[0].softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(judged["scores"], scores, atol=1e-5)
    assert judged["labels"].tolist() == labels_of(NUM_TRAIN + NUM_VAL)[rows].tolist()
    right = np.where(judged["labels"] == 1, scores, 1 - scores)
    assert fit.history[0]["val_loss"] == pytest.approx(-np.log(right).mean(), abs=1e-5)
    assert fit.history[0]["val_accuracy"] == pytest.approx((right > 0.5).mean())


MIXED = replace(
    RECIPE,
    mixup=0.4,
    schedule="cosine",
    warmup_fraction=0.2,
    clip_norm=1.0,
    layer_decay=0.8,
    augmentation=Augmentation(flip=True),
)


@pytest.fixture(scope="module", params=["adamw", "plateau", "batch-norm", "kinds"])
def undisturbed(request: pytest.FixtureRequest) -> tuple[Callable[[], Fit], Fit]:
    """How a training is begun, and the same after its end."""
    recipe, kinds = {
        "adamw": (MIXED, ()),
        "plateau": (replace(SGD, schedule="plateau", plateau_patience=0, loss="sigmoid"), ()),
        "batch-norm": (BATCH_NORM, ()),
        "kinds": (replace(RECIPE, balance="weights", label_smoothing=0.1), ("diffusion", "gan")),
    }[request.param]

    def begin() -> Fit:
        return fit_of(recipe, kinds=kinds)

    return begin, go(begin())


@pytest.mark.parametrize("stop", [1, 3, 5, 7])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    undisturbed: tuple[Callable[[], Fit], Fit], stop: int, tmp_path: Path
) -> None:
    begin, whole = undisturbed
    assert whole.plan.steps_per_epoch == 5 and whole.plan.num_train_steps == 3  # so 3 and 5 are the ends of both
    save_state(go(begin(), stop).state(), tmp_path)
    torch.manual_seed(99)
    again = begin()
    again.load_state(load_state(tmp_path))
    assert again.number == stop
    go(again)
    assert again.number == whole.number and furthest(state_of(again), state_of(whole)) < 1e-6
    assert len(again.history) == 2
    for told, expected in zip(figures(again), figures(whole), strict=True):
        assert told == pytest.approx(expected, abs=1e-6)


def test_kinds_are_learned_beside_the_verdict() -> None:
    kinds = ("diffusion", "gan")
    fit = go(fit_of(RECIPE, kinds=kinds))
    assert 0 <= fit.history[-1]["val_kind_accuracy"] <= 1
    assert "val_kind_accuracy" not in go(fit_of(replace(RECIPE, epochs=1))).history[-1]


@pytest.mark.parametrize("kinds", [(), ("diffusion", "gan")])
@pytest.mark.parametrize("micro_batch", [1, 3])
def test_micro_batches_change_nothing(micro_batch: int, kinds: tuple[str, ...]) -> None:
    whole = go(fit_of(SGD, kinds=kinds))
    parts = go(fit_of(SGD, kinds=kinds, micro_batch=micro_batch))
    assert furthest(state_of(whole), state_of(parts)) < 1e-5
    for told, expected in zip(parts.history, whole.history, strict=True):
        assert told["val_loss"] == pytest.approx(expected["val_loss"], abs=1e-5)
        assert told["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-5)
        assert told["micro_batch"] == micro_batch


def test_gradients_are_clipped() -> None:
    recipe = replace(SGD, learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    moved = []
    for clip_norm in (0.0, 0.01):
        fit = fit_of(replace(recipe, clip_norm=clip_norm))
        before = state_of(fit)
        after = state_of(go(fit, 1))
        moved.append(float(torch.stack([(after[name] - before[name]).norm() for name in before]).norm()))
    assert moved[1] == pytest.approx(0.01, rel=1e-3) and moved[0] > 0.05


@pytest.mark.parametrize("recipe", [SGD, BATCH_NORM, replace(SGD, mixup=0.4)], ids=["vit", "batch norm", "mixup"])
def test_a_bad_picture_counts_for_nothing(recipe: Recipe) -> None:
    recipe = replace(recipe, epochs=1)
    bad = (3, 4, NUM_TRAIN + 1)
    fits = [go(fit_of(recipe), bad=bad, black=black) for black in (0, 255)]
    assert furthest(state_of(fits[0]), state_of(fits[1])) == 0  # batch statistics are in it
    assert figures(fits[0]) == figures(fits[1])
    assert (fits[0].history[0]["pictures"], fits[0].history[0]["bad"]) == (NUM_TRAIN - 2, 2)


def test_a_step_of_bad_pictures_alone_changes_nothing() -> None:
    fit = fit_of(replace(SGD, weight_decay=0.0))
    before = state_of(fit)
    go(fit, 1, bad=tuple(range(NUM_TRAIN)))
    assert furthest(before, state_of(fit)) == 0 and fit.sums.tolist() == [0, 0, 0, 8]


def test_pictures_may_come_in_memory_that_cannot_be_written(recwarn: pytest.WarningsRecorder) -> None:
    fit = fit_of(RECIPE)
    pixels, good = pictures(fit.plan[0].rows, 64), np.ones(8, bool)
    fit.step(np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape), np.frombuffer(good.tobytes(), bool))
    assert not [warning for warning in recwarn if "not writable" in str(warning.message)]


def test_a_loss_that_is_no_number_names_the_step_and_its_pictures() -> None:
    fit = go(fit_of(RECIPE), 6)
    rows = fit.plan[6].rows
    fit.network.network.classifier.bias.data.fill_(float("nan"))  # type: ignore[union-attr,operator]
    with pytest.raises(TrainingFailed, match="no number any more at step 2 of epoch 2") as caught:
        go(fit)
    assert f"the pictures {', '.join(f'id{row}' for row in rows[:4])} and 4 others" in str(caught.value)
    assert "the checkpoint after epoch 1 is kept" in str(caught.value) and len(fit.history) == 1


def test_too_large_a_learning_rate_fails_within_the_epoch() -> None:
    recipe = replace(RECIPE, learning_rate=100.0, weight_decay=10.0, batch_size=2)
    with pytest.raises(TrainingFailed, match=r"of epoch 1, .*no epoch was finished.*--learning-rate"):
        go(fit_of(recipe, num_train=54))


def scripted(*told: float) -> Callable[..., float]:
    answers: Iterator[float] = iter(told)
    return lambda labels, scores: next(answers)


def test_patience_ends_a_training_that_gets_no_better() -> None:
    recipe = replace(RECIPE, patience=2, epochs=9)
    fit = go(fit_of(recipe, num_train=4, num_val=2, judge=scripted(0.5, 0.7, 0.6, 0.7, 0.9)))
    assert [facts["val_auroc"] for facts in fit.history] == [0.5, 0.7, 0.6, 0.7] and fit.is_done
    assert fit.number == 4 * fit.plan.steps_per_epoch
    unhurried = replace(recipe, patience=0, epochs=4)
    assert len(go(fit_of(unhurried, num_train=4, num_val=2, judge=scripted(0.5, 0.4, 0.3, 0.2))).history) == 4


def test_mixup_blends_and_can_be_repeated() -> None:
    mixed = [go(fit_of(replace(SGD, mixup=0.4, epochs=1))) for _ in range(2)]
    assert furthest(state_of(mixed[0]), state_of(mixed[1])) == 0
    plain = go(fit_of(replace(SGD, epochs=1)))
    assert furthest(state_of(mixed[0]), state_of(plain)) > 1e-4
    assert np.isfinite(mixed[0].history[0]["train_loss"])


def test_weights_make_both_classes_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 2 + [0, 1] * 2)
    targets = Targets(labels, np.full(12, -1), [f"id{row}" for row in range(12)])
    fit = fit_of(replace(SGD, balance="weights"), num_train=8, num_val=4, targets=targets)
    assert fit.class_weights.tolist() == pytest.approx([8 / 12, 2.0])
    weights = class_weights(targets, fit.plan, fit.recipe)
    assert weights.dtype == np.float32 and weights[labels[:8]].mean() == pytest.approx(1)
    assert class_weights(targets, fit.plan, SGD).tolist() == [1, 1]
    even = fit_of(SGD, num_train=8, num_val=4, targets=targets)
    assert furthest(state_of(go(fit, 1)), state_of(go(even, 1))) > 1e-4


def test_plateau_halves_the_rate_where_validation_stays() -> None:
    recipe = replace(SGD, learning_rate=1e-6, momentum=0.0, schedule="plateau", plateau_patience=0, epochs=4)
    fit = go(fit_of(recipe, num_train=4, num_val=2))
    assert [facts["learning_rate"] / 1e-6 for facts in fit.history] == pytest.approx([1, 1, 0.5, 0.25])


@pytest.mark.parametrize("kinds", [(), ("diffusion", "gan")])
@pytest.mark.parametrize("num_workers", [2, 3, 5])
def test_the_workers_gradients_make_up_the_steps(num_workers: int, kinds: tuple[str, ...]) -> None:
    """Without a group: what data parallelism averages is what one worker computes; here of a step of three rows."""
    recipe = replace(SGD, momentum=0.0, weight_decay=0.0, batch_size=3, learning_rate=0.1, balance="weights")
    alone = go(fit_of(recipe, kinds=kinds), 1)
    ranks = [go(fit_of(recipe, kinds=kinds, place=Place("cpu", rank, num_workers)), 1) for rank in range(num_workers)]
    states = [state_of(fit) for fit in ranks]
    mean = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    assert furthest(mean, state_of(alone)) < 1e-6
    assert sum(fit.sums for fit in ranks).tolist() == pytest.approx(alone.sums.tolist(), abs=1e-5)  # type: ignore[union-attr]
    for fit in ranks[3:]:  # they had no row
        assert furthest(state_of(fit), state_of(fit_of(recipe, kinds=kinds))) == 0


TOGETHER = {"num_train": 9, "num_val": 5, "kinds": ("diffusion", "gan")}
"""Three steps of 4, 4, and 1, and two of validation, 4 and 1: the second worker has none of the last ones."""
OF_TOGETHER = {"vit": replace(SGD, batch_size=4, epochs=1), "batch norm": replace(BATCH_NORM, batch_size=4, epochs=1)}


@pytest.mark.slow
def test_two_workers_make_the_steps_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([sys.executable, __file__, tmp_path], env={**os.environ, **group, "RANK": str(rank)})
        for rank in range(2)
    ]
    try:
        alone = go(fit_of(OF_TOGETHER["vit"], **TOGETHER), bad=(4,))  # type: ignore[arg-type]
        assert [worker.wait(100) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    first, second = (load_state(tmp_path / f"vit {rank}") for rank in range(2))
    assert furthest(first["network"], state_of(alone)) < 1e-5
    assert furthest(first["network"], second["network"]) == 0
    for name in ("train_loss", "train_accuracy", "pictures", "bad", "val_loss", "val_auroc", "val_kind_accuracy"):
        assert first["history"][0][name] == pytest.approx(alone.history[0][name], abs=1e-5), name
        assert first["history"][0][name] == second["history"][0][name]
    first, second = (load_state(tmp_path / f"batch norm {rank}") for rank in range(2))
    assert furthest(first["network"], second["network"]) == 0  # validation is of the network that is kept


def work(folder: Path) -> None:
    """Be one of the two workers of the test above."""
    import torch.distributed as dist

    dist.init_process_group("gloo")
    place = Place("cpu", dist.get_rank(), 2)
    for name, recipe in OF_TOGETHER.items():
        fit = fit_of(recipe, place=place, wrap=torch.nn.parallel.DistributedDataParallel, **TOGETHER)  # type: ignore[arg-type]
        go(fit, bad=(4,))
        own = folder / f"{name} {place.rank}"
        own.mkdir()
        save_state(fit.state(), own)
    dist.destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]))


def test_the_best_of_equal_epochs_is_the_first() -> None:
    assert best_epoch([{"val_auroc": area} for area in (0.5, 0.7, 0.7, 0.6)]) == 2
