"""Fine-tune over a cluster: Ray Train carries the loop of `models.fitting`, Ray Data feeds it.

The same folder always goes on from its last checkpoint, also with another number of workers.
"""

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model
from tqdm import tqdm

from gencv.core import storage
from gencv.core.contracts import Prepare
from gencv.core.errors import BadInput, GencvError, TrainingFailed
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.evaluate.metrics import auroc
from gencv.models.checkpoints import load_state, save_state
from gencv.models.efficiency import device_name, flops_of, num_parameters, peak_flops
from gencv.models.fitting import Fit, Place, Targets, best_epoch
from gencv.models.losses import Heads
from gencv.models.networks import Classifier, build_network
from gencv.models.optimising import add_lora, freeze, merge_lora
from gencv.models.plan import Plan
from gencv.models.recipes import Recipe
from gencv.pipelines import cluster
from gencv.pipelines.loading import Source, stream
from gencv.runs.tracking import track

STORAGE = "training"
HISTORY = "history.jsonl"
PROGRESS = "progress.json"
MICRO_BATCH = "micro_batch.json"
MAX_FAILURES = 3
CPU_OF_WORKER, CPU_OF_LOADER = 0.5, 0.25
"""What a worker and its loader book on machines without a GPU; they share the cores as they need them."""
MAX_LOADERS = 16
SMALL_NETWORK_FLOPS = 1e8
"""Below this a picture's step on a CPU takes less than some milliseconds, as long as its decoding does."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What to train on what, as it travels to the workers.

    checkpoint_steps: steps between two checkpoints within an epoch; 0: only after each epoch. track: names of
    `tracking.TRACKERS` that the epochs' figures go to.
    """

    manifest_dir: str
    out: str
    recipe: Recipe
    kinds: tuple[str, ...] = ()
    checkpoint_steps: int = 0
    track: tuple[str, ...] = ()

    @property
    def heads(self) -> Heads:
        return Heads(self.recipe.loss, self.kinds)


def kinds_of(manifest: Manifest, recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the second head's classes, `unknown` not among them.

    Raises BadInput if the training positives have fewer than two.
    """
    if recipe.kinds == "none":
        return ()
    train = manifest.where(split=Split.TRAIN)
    kinds = {name for name, label in zip(train[recipe.kinds], train["label"], strict=True) if label == 1} - {"unknown"}
    if len(kinds) < 2:
        raise BadInput(
            f"--kinds {recipe.kinds} needs training positives of two at least, the manifest has {sorted(kinds)}."
        )
    return tuple(sorted(kinds))


def plan_of(manifest: Manifest, recipe: Recipe) -> Plan:
    """Lay out the steps over the labelled, readable rows. Raises BadInput if a split lacks one of the classes."""
    labels, errors, splits = manifest["label"], manifest["error"], manifest["split"]
    rows: dict[Split, tuple[int, ...]] = {}
    for split in (Split.TRAIN, Split.VAL):
        rows[split] = tuple(
            row
            for row, of in enumerate(splits)
            if of == split.value and labels[row] is not None and errors[row] is None
        )
        counts = [sum(labels[row] == label for row in rows[split]) for label in (0, 1)]
        if min(counts) == 0:
            raise BadInput(
                f"The {split.value} split has {counts[0]} genuine and {counts[1]} positive readable pictures; "
                "fine-tuning needs both in train and in val."
            )
    strata: tuple[int, ...] = ()
    if recipe.balance == "sampling":
        strata = tuple(labels[row] for row in rows[Split.TRAIN])
    return Plan(
        train=rows[Split.TRAIN],
        val=rows[Split.VAL],
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        strata=strata,
    )


def targets_of(manifest: Manifest, recipe: Recipe, kinds: tuple[str, ...]) -> Targets:
    """Return what is true of every row."""
    labels = np.array([-1 if label is None else label for label in manifest["label"]], np.int64)
    number = {name: place for place, name in enumerate(kinds)}
    names = manifest[recipe.kinds] if kinds else [""] * len(manifest)
    of_a_kind = [
        number.get(name, -1) if label == 1 else -1 for name, label in zip(names, manifest["label"], strict=True)
    ]
    return Targets(labels, np.array(of_a_kind, np.int64), manifest["id"])


def build(recipe: Recipe, heads: Heads) -> Classifier:
    """Build the network of a recipe as its training begins, the same on every worker."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, heads.num_outputs, weights=recipe.weights)
    freeze(network, recipe.freeze)
    if recipe.lora_rank:
        network.network.requires_grad_(False)
        add_lora(network, recipe.lora_rank)
    return network


def train(
    training: Training, *, address: str | None = None, workers: int = 0
) -> tuple[Classifier, list[dict[str, Any]]]:
    """Train, or go on; returns the network of the best epoch by validation AUROC, on the CPU, and all epochs' figures.

    workers: 0 for one a GPU, else one. Raises GencvError with the sentence of an error of ours in a worker, and
    TrainingFailed if workers die again and again.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "180")  # each imports torch first
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # a process more, and its news changes nothing
    cluster.connect(address)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    gpus = cluster.num_gpus()
    count = workers or gpus or 1
    if count > (gpus or cluster.num_cpus()):
        raise BadInput(f"--workers {count}: the cluster has {gpus} GPUs and {cluster.num_cpus()} CPUs.")
    spare = (cluster.num_cpus() - count) // count
    network = build(training.recipe, training.heads)
    settings = {
        **asdict(training),
        "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI", ""),
        "recipe": training.recipe.to_dict(),
        "prepare": network.transform,
        "num_loaders": min(MAX_LOADERS, max(1, spare)) if gpus else 1,
        "cpu_of_loader": 1.0 if gpus and spare else CPU_OF_LOADER,
        "threads": threads_of(network, cluster.num_cpus() // count),
    }
    trainer = TorchTrainer(
        worker,  # type: ignore[arg-type]
        train_loop_config=settings,
        scaling_config=ScalingConfig(
            num_workers=count,
            use_gpu=bool(gpus),
            resources_per_worker={"GPU": 1, "CPU": 1} if gpus else {"CPU": CPU_OF_WORKER},
        ),
        run_config=RunConfig(  # type: ignore[call-arg]
            name=STORAGE,
            storage_path=training.out,
            # A thread that waits sleeps: without a GPU it would spin on a core that a loader could use (epochs of a
            # tiny ViT on two cores: 5.0 s in place of 8.0).
            worker_runtime_env={"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="score", checkpoint_score_order="max"
            ),
        ),
    )
    with progress(training.out):
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            last = str(error).strip().splitlines()[-1]
            raise TrainingFailed(
                f"The workers failed {MAX_FAILURES + 1} times, last with: {last} "
                "The same command goes on from the last checkpoint."
            ) from None
    failure = (result.return_value or {}).get("failure")  # type: ignore[attr-defined]
    if failure:
        raise GencvError(failure)
    assert result.checkpoint is not None and result.best_checkpoints
    best, _ = max(result.best_checkpoints, key=lambda found: found[1]["score"])
    return read_back(network, training.recipe, best, result.checkpoint)


def threads_of(network: Classifier, num_cpus: int) -> int:
    """Return how many of a worker's CPUs its network computes with.

    A small network leaves one to the loaders, which take about as much time as it does: threads that wait for one
    another at every layer lose more when a loader interrupts one of them (tiny-vit on two CPUs: 369 images/s against
    329). The answer depends on the network alone, not on a measurement, so that the same run is the same again.
    """
    is_small = flops_of(network) < SMALL_NETWORK_FLOPS
    return max(1, num_cpus - 1 if is_small else num_cpus)


def read_back(
    network: Classifier, recipe: Recipe, best: Checkpoint, last: Checkpoint
) -> tuple[Classifier, list[dict[str, Any]]]:
    """Fill the network from the best checkpoint; returns it, and the history that the last one holds."""
    with best.as_directory() as folder:
        network.network.load_state_dict(without_prefix(load_state(Path(folder))["network"]))
    if recipe.lora_rank:
        merge_lora(network)
    with last.as_directory() as folder:
        return network, load_state(Path(folder))["history"]


def without_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def worker(settings: dict[str, Any]) -> dict[str, Any]:
    """Train on one worker; an error of ours comes back as a sentence, so that Ray does not try again."""
    try:
        settings = dict(settings)
        how = {name: settings.pop(name) for name in ("prepare", "num_loaders", "cpu_of_loader", "threads")}
        if uri := settings.pop("tracking_uri"):  # a worker elsewhere does not have the driver's environment
            os.environ["MLFLOW_TRACKING_URI"] = uri
        run(Training(**{**settings, "recipe": Recipe.from_dict(settings["recipe"])}), **how)
        return {}
    except GencvError as error:
        return {"failure": str(error)}


def source_of(training: Training, manifest: Manifest, prepare: Prepare, place: Place) -> Source:
    """Return what a worker's pictures come from; `prepare` is its network's transform."""
    return Source(
        training.manifest_dir,
        plan_of(manifest, training.recipe),
        prepare,
        training.recipe.augmentation,
        manifest.preprocessing is not None,
        place.rank,
        place.num_workers,
    )


def begin(
    training: Training,
    manifest: Manifest,
    plan: Plan,
    place: Place,
    wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda network: network,
) -> Fit:
    """Set up the loop before its first step; the same in one process as over Ray."""
    network = build(training.recipe, training.heads)
    fit = Fit(
        network,
        training.heads,
        training.recipe,
        plan,
        targets_of(manifest, training.recipe, training.kinds),
        lambda labels, scores: float(auroc(labels, scores).value),  # type: ignore[arg-type]
        place,
        wrap=wrap,
        micro_batch=kept_micro_batch(training.out),
    )
    fit.facts = {
        "device": device_name(place.device),
        "peak_flops": peak_flops(place.device, bf16=fit.bf16),
        "trainable": num_parameters(network)[1],
    }
    return fit


def run(training: Training, *, prepare: Prepare, num_loaders: int, cpu_of_loader: float, threads: int) -> None:
    context = ray.train.get_context()
    place = Place(str(get_device()), context.get_world_rank(), context.get_world_size())
    torch.set_num_threads(threads)
    state: dict[str, Any] = {"number": 0}
    if (checkpoint := ray.train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            state = load_state(Path(folder))
    manifest = Manifest.load(training.manifest_dir)
    source = source_of(training, manifest, prepare, place)
    # Starting the loaders takes as long as importing the network's library: do both at once.
    steps = pulled(stream(source, state["number"], num_loaders, cpu_of_loader))
    fit = begin(training, manifest, source.plan, place, prepare_model)
    if checkpoint is not None:
        fit.load_state(state)
    if place.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(place.device)  # else what `peak_flops` multiplied would count
    told_s = 0.0
    while not fit.is_done:
        started = time.perf_counter()
        pixels, good = next(steps)
        fit.wait(time.perf_counter() - started)
        try:
            fit.step(pixels, good)
        except torch.OutOfMemoryError:
            halve_micro_batch(training.out, fit)
            raise  # the group starts again from the last checkpoint, with the half
        if place.rank == 0 and time.monotonic() - told_s > 2:
            told_s = time.monotonic()
            tell(training.out, fit)
        if fit.ends_epoch or is_due(fit, training.checkpoint_steps):
            keep(training, fit)


def pulled(steps: Iterator[T]) -> Iterator[T]:
    """Yield the same, but pull the first at once, in a thread, where a generator would wait to be asked."""
    first = ThreadPoolExecutor(1).submit(next, steps)

    def go() -> Iterator[T]:
        yield first.result()
        yield from steps

    return go()


def is_due(fit: Fit, checkpoint_steps: int) -> bool:
    """Say whether a checkpoint within the epoch is due: among its training steps, where nothing is half validated."""
    inner = fit.number % fit.plan.steps_per_epoch
    return checkpoint_steps > 0 and inner <= fit.plan.num_train_steps and inner % checkpoint_steps == 0


def keep(training: Training, fit: Fit) -> None:
    """Report a checkpoint; the first worker writes it, and the figures of all epochs beside it for people."""
    if not fit.ends_epoch:
        fit.gather_sums()
    # -1 keeps a checkpoint only while it is the last: within an epoch nothing is validated, and of equal epochs, of
    # which Ray would keep the last, the first is the best.
    is_best = fit.ends_epoch and best_epoch(fit.history) == len(fit.history)
    metrics = {"score": fit.history[-1]["val_auroc"] if is_best else -1.0}
    name = f"step-{fit.number:08d}"
    if fit.place.rank > 0:
        ray.train.report(metrics, None, checkpoint_dir_name=name)
        return
    lines = "".join(json.dumps(facts) + "\n" for facts in fit.history)
    storage.write_bytes(storage.join(training.out, HISTORY), lines.encode())
    tell(training.out, fit)
    if fit.ends_epoch:
        track(training.track, training.out, fit.history[-1])
    with tempfile.TemporaryDirectory() as folder:
        save_state(fit.state(), Path(folder))
        ray.train.report(metrics, Checkpoint.from_directory(folder), checkpoint_dir_name=name)


def tell(out: str, fit: Fit) -> None:
    """Note how far the training is, for the progress bar."""
    facts = {"number": fit.number, "of": len(fit.plan), **(fit.history[-1] if fit.history else {})}
    storage.write_bytes(storage.join(out, PROGRESS), json.dumps(facts).encode())


@contextmanager
def progress(out: str) -> Iterator[None]:
    """Show how far the workers are while they train."""
    place, ended = storage.join(out, PROGRESS), threading.Event()

    def watch() -> None:
        with tqdm(desc="finetune", unit="step", mininterval=2) as bar:
            while not ended.wait(2):
                if storage.exists(place):
                    facts = json.loads(storage.read_bytes(place))
                    bar.total, bar.n = facts["of"], facts["number"]
                    bar.set_postfix({name: round(facts[name], 4) for name in ("epoch", "val_auroc") if name in facts})

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def kept_micro_batch(out: str) -> int:
    """Return the micro-batch that a lack of memory has led to, 0 if there was none."""
    place = storage.join(out, MICRO_BATCH)
    return int(json.loads(storage.read_bytes(place))["micro_batch"]) if storage.exists(place) else 0


def halve_micro_batch(out: str, fit: Fit) -> None:
    """Note that half as many pictures are to be tried. Raises TrainingFailed if that has been done before."""
    share = -(-fit.plan.batch_size // fit.place.num_workers)
    size = min(fit.micro_batch or share, share)
    if kept_micro_batch(out) or size == 1:
        raise TrainingFailed(
            f"{size} pictures at once do not fit into the memory; choose another --out with a smaller --micro-batch."
        ) from None
    storage.write_bytes(storage.join(out, MICRO_BATCH), json.dumps({"micro_batch": -(-size // 2)}).encode())
