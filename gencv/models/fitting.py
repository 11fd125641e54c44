"""The training loop in plain torch: one worker's view of it. Who calls it brings pictures and, for several, a group.

Everything a step does follows from the recipe, the plan, and the number of the step, so that a run that was stopped
anywhere ends as one that was not.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from gencv.core.errors import TrainingFailed
from gencv.core.seeds import rng_for
from gencv.models.efficiency import peak_memory_mib
from gencv.models.losses import Heads
from gencv.models.network import normalise
from gencv.models.networks import Classifier
from gencv.models.optimising import build_optimizer, build_schedule, train_mode
from gencv.models.plan import Plan, Step, share_of
from gencv.models.recipes import Recipe

CHECK_EVERY = 25
"""Steps between two looks at whether the losses are numbers: each look waits for the GPU."""
SUMS = ("loss", "correct", "pictures", "bad")


@dataclass(frozen=True)
class Targets:
    """What is true of every row of a manifest: label and kind, int64 [N], -1 where there is none; and its id."""

    labels: np.ndarray
    kinds: np.ndarray
    ids: list[str]


@dataclass(frozen=True)
class Place:
    """Where this worker stands: its device, its rank, and how many there are."""

    device: str = "cpu"
    rank: int = 0
    num_workers: int = 1


@dataclass
class Validated:
    """What validation has seen in this epoch, on this worker."""

    rows: list[np.ndarray] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)


class Fit:
    """A network in training: what a checkpoint holds, and what a step does to it.

    facts: what the figures of every epoch are to name beside their own, such as the device.
    judge: (labels [N], scores [N]) -> the figure of validation that is to grow, AUROC. wrap: puts the network into
    its data-parallel shell. Give every step of the plan in turn to `step`, with this worker's pictures.
    """

    def __init__(
        self,
        network: Classifier,
        heads: Heads,
        recipe: Recipe,
        plan: Plan,
        targets: Targets,
        judge: Callable[[np.ndarray, np.ndarray], float],
        place: Place = Place(),
        *,
        wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda network: network,
        micro_batch: int = 0,
    ) -> None:
        self.heads, self.recipe, self.plan, self.targets = heads, recipe, plan, targets
        self.judge, self.place, self.micro_batch = judge, place, micro_batch or recipe.micro_batch
        self.network = network.to(place.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(network, recipe)
        self.schedule = build_schedule(self.optimizer, recipe, plan.epochs * plan.num_train_steps)
        self.parallel = wrap(self.network)
        self.run = torch.compile(self.parallel) if recipe.compile else self.parallel
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and place.device.startswith("cuda"))
        self.class_weights = torch.tensor(class_weights(targets, plan, recipe), device=place.device)
        self.number = 0
        self.history: list[dict[str, Any]] = []
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64, device=place.device)
        self.recent: list[tuple[int, torch.Tensor]] = []
        self.validated = Validated()
        self.is_in_train_mode = False
        self.facts: dict[str, Any] = {}
        self.learning_rate = 0.0
        self.train_s = self.val_s = self.waited_s = 0.0

    @property
    def is_done(self) -> bool:
        """Whether all steps were made, or validation has not become better for `patience` epochs."""
        return self.number >= len(self.plan) or self._lost_patience()

    @property
    def ends_epoch(self) -> bool:
        """Whether the last step was the last of its epoch."""
        return self.number > 0 and self.number % self.plan.steps_per_epoch == 0

    def step(self, pixels: np.ndarray, good: np.ndarray) -> None:
        """Make the next step of the plan with this worker's pictures, uint8 [b, S, S, 3].

        good: bool [b], False for a picture that could not be read; it counts for nothing. Raises TrainingFailed if
        a loss is no number, naming the step and its pictures.
        """
        started = time.perf_counter()
        step = self.plan[self.number]
        rows = share_of(step.rows, self.place.rank, self.place.num_workers)
        # Left out altogether: a black one would count in batch norms, and a gradient of no number stays none times 0.
        rows, pixels = rows[good], pixels[good]
        if step.is_training:
            self.sums[SUMS.index("bad")] += int((~good).sum())
            self._train(step, rows, pixels)
        else:
            self._validate(step, rows, pixels)
        self.number += 1
        if len(self.recent) >= CHECK_EVERY or self.ends_epoch:
            self._check_losses()
        self._took(step.is_training, time.perf_counter() - started)
        if self.ends_epoch:
            self._end_epoch(step.epoch)

    def wait(self, seconds: float) -> None:
        """Note how long the next step's pictures were waited for."""
        is_training = self.number % self.plan.steps_per_epoch < self.plan.num_train_steps
        self._took(is_training, seconds)
        self.waited_s += seconds if is_training else 0.0

    def _took(self, is_training: bool, seconds: float) -> None:
        if is_training:
            self.train_s += seconds
        else:
            self.val_s += seconds

    def _train(self, step: Step, rows: np.ndarray, pixels: np.ndarray) -> None:
        if not self.is_in_train_mode:  # it goes through all modules
            train_mode(self.network)
            self.is_in_train_mode = True
        counts = len(rows) > 0
        if not counts:  # no picture of this step is this worker's: take part for the others, and count for nothing
            side = self.network.transform.size_px
            rows, pixels = step.rows[:1], np.zeros((1, side, side, 3), np.uint8)
        torch.manual_seed(
            int(rng_for(self.recipe.seed, "step", str(self.number), str(self.place.rank)).integers(2**62))
        )
        self.optimizer.zero_grad(set_to_none=True)
        size = self.micro_batch or len(rows)
        starts = range(0, len(rows), size)
        total = torch.zeros((), device=self.place.device)
        for start in starts:
            part = slice(start, start + size)
            last = start + size >= len(rows)
            no_sync = getattr(self.parallel, "no_sync", contextlib.nullcontext)
            with contextlib.nullcontext() if last else no_sync():
                loss = self._loss(step, rows[part], pixels[part], counts)
                loss.backward()
            total += loss.detach()
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.learning_rate = max(group["lr"] for group in self.optimizer.param_groups)
        if self.recipe.schedule != "plateau":
            self.schedule.step()
        self.recent.append((self.number, total))

    def _loss(self, step: Step, rows: np.ndarray, pixels: np.ndarray, counts: bool) -> torch.Tensor:
        """Return this part of the step's mean loss, times the workers, whose gradients are averaged afterwards.

        counts: False for a stand-in, whose loss is 0.
        """
        device = self.place.device
        labels = torch.from_numpy(self.targets.labels[rows]).to(device)
        images = normalise(pixels, self.network.transform, device)
        mix, other = self._mixed(len(rows))
        if mix < 1:
            images = mix * images + (1 - mix) * images[other]
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=self.bf16):
            outputs, _ = self.run(images)
        told: torch.Tensor = outputs.float()
        if not counts:
            return told.sum() * 0
        smoothing = self.recipe.label_smoothing
        losses = self.heads.verdict_losses(told, labels, self.class_weights, smoothing)
        if mix < 1:
            losses = mix * losses + (1 - mix) * self.heads.verdict_losses(
                told, labels[other], self.class_weights, smoothing
            )
        loss = losses.sum() / len(step.rows)
        if self.heads.kinds:
            kinds = torch.from_numpy(self.targets.kinds[rows]).to(device)
            num_of_a_kind = max(1, int((self.targets.kinds[step.rows] >= 0).sum()))
            loss = loss + self.heads.kind_losses(told, kinds).sum() / num_of_a_kind
        with torch.no_grad():
            correct = (self.heads.verdict(told) > 0) == (labels == 1)
            self.sums[:2] += torch.stack([losses.sum().double(), correct.sum().double()])
            self.sums[SUMS.index("pictures")] += len(rows)
        return loss * self.place.num_workers

    def _mixed(self, count: int) -> tuple[float, torch.Tensor]:
        """Draw mixup's share of the first picture, and which picture is mixed into each."""
        if not self.recipe.mixup:
            return 1.0, torch.arange(count)
        rng = rng_for(self.recipe.seed, "mixup", str(self.number), str(self.place.rank))
        share = float(rng.beta(self.recipe.mixup, self.recipe.mixup))
        return share, torch.from_numpy(rng.permutation(count)).to(self.place.device)

    def _validate(self, step: Step, rows: np.ndarray, pixels: np.ndarray) -> None:
        self.network.eval()
        self.is_in_train_mode = False
        if self.place.num_workers > 1 and step.index == self.plan.num_train_steps:
            for buffer in self.network.buffers():  # each worker has batch statistics of its own; the first one's count
                dist.broadcast(buffer, 0)
        size = self.micro_batch or max(1, len(rows))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            with (
                torch.inference_mode(),
                torch.autocast(self.place.device.partition(":")[0], dtype=torch.bfloat16, enabled=self.bf16),
            ):
                outputs, _ = self.network(normalise(pixels[part], self.network.transform, self.place.device))
            self.validated.rows.append(rows[part])
            self.validated.outputs.append(outputs.float().cpu().numpy())

    def _check_losses(self) -> None:
        """Raise TrainingFailed on every worker if the loss of a recent step is no number on any."""
        if not self.recent:
            return
        numbers = torch.tensor([number for number, _ in self.recent], device=self.place.device)
        finite = torch.stack([loss for _, loss in self.recent]).isfinite()
        self.recent.clear()
        none_yet = len(self.plan)
        first = torch.where(finite, none_yet, numbers).min()
        if self.place.num_workers > 1:
            dist.all_reduce(first, dist.ReduceOp.MIN)
        number = int(first)
        if number == none_yet:
            return
        step = self.plan[number]
        ids = ", ".join(self.targets.ids[row] for row in step.rows[:4])
        kept = f"the checkpoint after epoch {len(self.history)} is kept" if self.history else "no epoch was finished"
        raise TrainingFailed(
            f"The loss is no number any more at step {step.index + 1} of epoch {step.epoch + 1}, with the pictures "
            f"{ids} and {max(0, len(step.rows) - 4)} others; {kept}. Choose another --out with a lower "
            "--learning-rate, or with --clip-norm 1."
        )

    def _end_epoch(self, epoch: int) -> None:
        """Join what the workers have seen, note the epoch, and step a schedule that follows validation."""
        self.gather_sums()
        sums = self.sums.clone()
        rows, outputs = self._gather_validated()
        if self.place.num_workers > 1:
            dist.broadcast(sums, 0)
        loss, correct, pictures, bad = sums.tolist()
        facts: dict[str, Any] = {
            "epoch": epoch + 1,
            "train_loss": loss / max(1, pictures),
            "train_accuracy": correct / max(1, pictures),
            "learning_rate": self.learning_rate,  # of its last step
            "pictures": int(pictures),
            "bad": int(bad),
            "seconds": round(self.train_s, 3),
            "val_seconds": round(self.val_s, 3),
            "waited_s": round(self.waited_s, 3),
            "micro_batch": self.micro_batch,
            "workers": self.place.num_workers,
            "peak_memory_mib": round(peak_memory_mib(self.place.device), 1),
            **self.facts,
            **self._figures(rows, outputs),
        }
        if self.recipe.schedule == "plateau":
            self.schedule.step(facts["val_loss"])
        self.history.append(facts)
        self.sums.zero_()
        self.validated = Validated()
        self.train_s = self.val_s = self.waited_s = 0.0

    def _figures(self, rows: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        labels, kinds = self.targets.labels[rows], self.targets.kinds[rows]
        told = torch.from_numpy(outputs)
        logits = self.heads.verdict(told)
        losses = self.heads.verdict_losses(told, torch.from_numpy(labels), torch.ones(2))
        figures = {
            "val_loss": float(losses.mean()),
            "val_accuracy": float(((logits > 0).numpy() == (labels == 1)).mean()),
            "val_auroc": self.judge(labels, torch.sigmoid(logits).numpy()),
        }
        of_a_kind = kinds >= 0
        if self.heads.kinds and of_a_kind.any():
            chosen = self.heads.kind_logits(told).argmax(1).numpy()
            figures["val_kind_accuracy"] = float((chosen == kinds)[of_a_kind].mean())
        return figures

    def gather_sums(self) -> None:
        """Bring what all workers have summed up to the first one, where a checkpoint takes it from."""
        if self.place.num_workers > 1:
            dist.reduce(self.sums, 0)
            if self.place.rank > 0:
                self.sums.zero_()

    def _gather_validated(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that were validated anywhere and their outputs [N, C], in the order of the plan."""
        mine = (np.concatenate(self.validated.rows or [np.empty(0, np.int64)]), self.validated.outputs)
        found = [mine]
        if self.place.num_workers > 1:
            found = [mine] * self.place.num_workers
            dist.all_gather_object(found, mine)
        rows = np.concatenate([rows for rows, _ in found])
        if set(self.targets.labels[rows]) != {0, 1}:
            raise TrainingFailed("The validation pictures of one class, or all, cannot be read any more; look at them.")
        outputs = np.concatenate([output for _, outputs in found for output in outputs])
        order = np.argsort(rows, kind="stable")
        return rows[order], outputs[order]

    def _lost_patience(self) -> bool:
        if not self.recipe.patience or not self.history:
            return False
        return len(self.history) - best_epoch(self.history) >= self.recipe.patience

    def state(self) -> dict[str, Any]:
        """Return all that a run goes on from, but not what validation has seen: ask after training steps or an epoch.

        The same on every worker, but for `sums`, which the first one has.
        """
        return {
            "number": self.number,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if k != "lr_lambdas"},
            "history": self.history,
            "sums": self.sums,
            "learning_rate": self.learning_rate,
            "seconds": [self.train_s, self.val_s, self.waited_s],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, with any number of workers."""
        self.number = state["number"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict({**self.schedule.state_dict(), **state["schedule"]})
        self.history = state["history"]
        self.sums = state["sums"].to(self.place.device) if self.place.rank == 0 else torch.zeros_like(self.sums)
        self.learning_rate = state["learning_rate"]
        self.train_s, self.val_s, self.waited_s = state["seconds"]


def best_epoch(history: list[dict[str, Any]]) -> int:
    """Return the number of the epoch with the highest AUROC on validation, the first of equals; epochs count from 1."""
    return 1 + int(np.argmax([facts["val_auroc"] for facts in history]))


def class_weights(targets: Targets, plan: Plan, recipe: Recipe) -> np.ndarray:
    """Return float32 [2]: ones, or what makes both classes count alike, with the mean 1 over the training rows."""
    if recipe.balance != "weights":
        return np.ones(2, np.float32)
    counts = np.bincount(targets.labels[np.array(plan.train)], minlength=2)
    return np.asarray(counts.sum() / (2 * np.maximum(counts, 1)), np.float32)
