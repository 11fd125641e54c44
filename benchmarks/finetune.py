"""Fine-tune: the training against Hugging Face's Trainer, against data that are in memory, and two workers against one.

    python benchmarks/finetune.py
    python benchmarks/finetune.py --part trainer --network vit-base-224 --count 20000 --batch-size 128

Results: docs/results.md.

    trainer   images/s of `gencv.pipelines.train` over Ray, one worker, over those of transformers' Trainer: the same
              network, weights at random, files, batch size, precision, AdamW, and learning rate; nothing augmented.
              The Trainer's pictures come from Pillow and torchvision; the best number of its loaders is the measure
    data      seconds of a step with real pictures over those with one batch that stays in memory
    workers   images/s of two workers on two cores over one on one core, Ray and its loaders included; without a GPU

Interleaved; each way is a process of its own, on the same files, and as nice as Ray makes its workers. A rate is the
median over the epochs but the first, waiting for pictures included and start-up left out; gencv's has neither its
validation nor its checkpoints in it, and the Trainer makes none.

Without a GPU that would flatter gencv: its loaders run ahead in the first epoch, on cores that the network then lacks,
and later epochs find their pictures ready. There its rate is over all epochs, the first one's wait, which has the start
of the loaders in it, replaced by that of the others. The lines of a round end with the rate of every epoch.
"""

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
import torch
from common import CORES, NICE, cut_pictures, fresh, load, median, median_ratio, options, write_manifest
from PIL import Image
from torchvision import transforms
from transformers import Trainer, TrainerCallback, TrainingArguments

from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.images.transform import Transform
from gencv.models.fitting import Fit, Place
from gencv.models.losses import Heads
from gencv.models.networks import build_network, from_transformers
from gencv.models.recipes import Recipe
from gencv.pipelines import cluster
from gencv.pipelines.train import Training, build, plan_of, targets_of, train

ON_GPU = torch.cuda.is_available()
LOADERS = sorted({8, 16, CORES}) if ON_GPU else [0, CORES]
TARGETS = {
    "trainer": "at least 1.15" if ON_GPU else "at least 1.0",
    "data": "at most 1.05" if ON_GPU else "none: decoding shares the cores",
    "workers": "at least 1.5",
}
Rates = tuple[float, list[float]]
"""Images a second: of the run, and of each epoch."""


def gencv(args: argparse.Namespace) -> Rates:
    os.environ.update(cluster.QUIET)
    ray.init(address="local", num_cpus=args.cores, logging_level=logging.ERROR, log_to_driver=False)
    out = fresh(args.work, "finetune")
    try:
        training = Training(manifest_dir=args.manifest, out=out, recipe=recipe_of(args))
        _, history = train(training, workers=args.workers)
    finally:
        ray.shutdown()
        shutil.rmtree(out, ignore_errors=True)
    seconds, waits = [[facts[name] for facts in history] for name in ("seconds", "waited_s")]
    pictures = [facts["pictures"] for facts in history]
    if ON_GPU:
        return steady(pictures, seconds)
    whole = sum(pictures) / (sum(seconds) - waits[0] + statistics.median(waits[1:]))
    return whole, steady(pictures, seconds)[1]


def steady(pictures: list[int], seconds: list[float]) -> Rates:
    rates = [count / took for count, took in zip(pictures, seconds, strict=True)]
    return statistics.median(rates[1:]), rates


def in_memory(args: argparse.Namespace) -> Rates:
    """Take the same steps in this process, all with the same pixels."""
    os.nice(NICE)
    torch.set_num_threads(args.cores)
    manifest, recipe = Manifest.load(args.manifest), recipe_of(args)
    heads = Heads(recipe.loss, ())
    network = build(recipe, heads)
    plan, targets = plan_of(manifest, recipe), targets_of(manifest, recipe, ())
    fit = Fit(network, heads, recipe, plan, targets, lambda *_: 0.5, Place("cuda:0" if ON_GPU else "cpu"))
    side = network.transform.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (args.batch_size, side, side, 3), np.uint8)
    good = np.ones(args.batch_size, bool)
    while not fit.is_done:
        count = len(fit.plan[fit.number].rows)
        fit.step(pixels[:count], good[:count])
    return steady([facts["pictures"] for facts in fit.history], [facts["seconds"] for facts in fit.history])


def recipe_of(args: argparse.Namespace) -> Recipe:
    return Recipe(network=args.network, weights="random", epochs=args.epochs, batch_size=args.batch_size)


def hugging_face(args: argparse.Namespace) -> Rates:
    os.nice(NICE)
    recipe = recipe_of(args)
    ours = build_network(recipe.network, 2, weights="random")
    network = from_transformers(ours.blueprint.config, 2)  # without what gencv hooks on to it
    pictures = Pictures(Manifest.load(args.manifest).where(split=Split.TRAIN), ours.transform)
    moments: list[float] = []

    class Watch(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            if not moments:
                moments.append(time.perf_counter())

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            if ON_GPU:
                torch.cuda.synchronize()
            moments.append(time.perf_counter())

    settings = TrainingArguments(
        output_dir=fresh(args.work, "hugging-face"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        bf16=ON_GPU,
        use_cpu=not ON_GPU,
        dataloader_num_workers=args.loaders,
        dataloader_persistent_workers=args.loaders > 0,  # else each epoch starts them anew
        remove_unused_columns=False,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    Trainer(model=network, args=settings, train_dataset=pictures, callbacks=[Watch()]).train()
    shutil.rmtree(str(settings.output_dir), ignore_errors=True)
    return steady([len(pictures)] * recipe.epochs, np.diff(moments).tolist())


class Pictures(torch.utils.data.Dataset):
    """The files as the examples of transformers read them: Pillow, then torchvision's transforms."""

    def __init__(self, manifest: Manifest, transform: Transform) -> None:
        self.paths, self.labels = manifest["uri"], manifest["label"]
        assert transform.resize == "squash" and transform.interpolation == "bilinear"
        self.transform = transforms.Compose(
            [
                transforms.Resize((transform.size_px, transform.size_px)),
                transforms.ToTensor(),
                transforms.Normalize(transform.mean, transform.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = Image.open(self.paths[index]).convert("RGB")
        return {"pixel_values": self.transform(image), "labels": self.labels[index]}


WAYS: dict[str, Callable[[argparse.Namespace], Rates]] = {
    "gencv": gencv,
    "in-memory": in_memory,
    "hugging-face": hugging_face,
}


def child(args: argparse.Namespace, manifest_dir: str, way: str, **given: int) -> Rates:
    """Run one way in a process of its own, kept to its number of cores."""
    passed = {name: getattr(args, name) for name in ("network", "work", "count", "epochs", "batch_size")}
    passed |= {"manifest": manifest_dir, "way": way, **given}
    command = [sys.executable, __file__]
    for name, value in passed.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[: given.get("cores", CORES)])
    try:
        said = subprocess.run(command, capture_output=True, text=True)
    finally:
        os.sched_setaffinity(0, every)
    if said.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said.stderr[-4000:]}")
    rate, epochs = json.loads(said.stdout.splitlines()[-1])
    return rate, epochs


def measure(args: argparse.Namespace, part: str, manifest_dir: str) -> None:
    """Go through the ways of a part in turn, round by round; print medians, ranges, and the ratio."""
    ways: dict[str, dict[str, Any]] = {
        "trainer": {
            "gencv": {"way": "gencv"},
            **{f"Trainer, {count} loaders": {"way": "hugging-face", "loaders": count} for count in args.try_loaders},
        },
        "data": {"real": {"way": "gencv"}, "in memory": {"way": "in-memory"}},
        "workers": {
            "two workers": {"way": "gencv", "cores": 2, "workers": 2},
            "one worker": {"way": "gencv", "cores": 1, "workers": 1},
        },
    }[part]
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        print(load(), flush=True)
        for name, given in ways.items():
            rate, epochs = child(args, manifest_dir, **given)
            rounds[name].append(rate)
            print(f"  {name:24}{rate:8.1f}  epochs", *(f"{each:.1f}" for each in epochs), flush=True)
    print(f"{part}: images a second of {args.network}, batches of {args.batch_size}")
    for name, values in rounds.items():
        print(f"  {name:24}", median(values))
    (_, first), *others = rounds.items()
    better = [max(values) for values in zip(*(values for _, values in others), strict=True)]
    ratio = median_ratio(better, first) if part == "data" else median_ratio(first, better)
    print(f"  {'ratio':24}", ratio, f"  target: {TARGETS[part]}", flush=True)


def main() -> None:
    parser = options(__doc__, count=8000)
    parser.add_argument("--part", choices=TARGETS, help="one alone; absent: all that the machine is made for")
    parser.add_argument("--network", default="tiny-vit", help="tiny-vit, vit-base-224, or another of transformers")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--try-loaders", type=int, nargs="+", default=LOADERS, help="loaders of the Trainer to try")
    for name in ("--way", "--manifest"):
        parser.add_argument(name, help=argparse.SUPPRESS)  # for the processes that this one starts
    for name, default in (("--cores", CORES), ("--workers", 1), ("--loaders", 0)):
        parser.add_argument(name, type=int, default=default, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(WAYS[args.way](args)))
        return
    paths = cut_pictures(args.pictures, args.work, args.count)
    # Whole steps alone; one batch or two for validation, whose decoding ahead of time would count against gencv.
    num_train = (args.count // args.batch_size - 1) * args.batch_size
    manifest_dir, _ = write_manifest(
        paths,
        args.work / f"manifest-finetune-{args.count}",
        label=[index % 2 for index in range(args.count)],
        split=["train" if index < num_train else "val" for index in range(args.count)],
    )
    for part in (args.part,) if args.part else TARGETS:
        if part == "workers":
            if ON_GPU and not args.part:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif ON_GPU:
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the Trainer would take all
        measure(args, part, manifest_dir)


if __name__ == "__main__":
    main()
