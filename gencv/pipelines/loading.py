"""Feed a training: Ray Data reads, decodes, and augments on the CPUs, in the order of the plan, ahead of the network.

Each worker streams its own share of every step, so that the order depends on the plan alone. One stream runs over the
whole training, validation included: a new one for each epoch would start its processes again each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from gencv.core.contracts import Prepare
from gencv.core.errors import BadImage, GencvError
from gencv.core.manifest import PictureReader
from gencv.images.augment import Augmentation
from gencv.images.decode import decode
from gencv.models.plan import Plan, share_of

STEPS_PER_STREAM = 4000
"""Steps of one Ray Data execution; a longer training makes a pause of some seconds between two."""
STEPS_AHEAD = 4


@dataclass(frozen=True)
class Source:
    """What a loader needs to make one worker's share of a step.

    stored: the pictures are what `preprocess` stored, which is decoded whole, as the detector does in memory.
    """

    manifest_dir: str
    plan: Plan
    prepare: Prepare
    augmentation: Augmentation
    stored: bool
    rank: int = 0
    num_workers: int = 1


class Loader:
    """Number of a step -> this worker's pictures of it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.reader = PictureReader(source.manifest_dir)
        self.ids = self.reader.manifest["id"]

    def load(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return uint8 [b, S, S, 3] and bool [b], False where a picture could not be read and is black."""
        source = self.source
        step = source.plan[number]
        pixels: list[np.ndarray | None] = []
        for row in share_of(step.rows, source.rank, source.num_workers):
            try:
                data = self.reader.read(row)
                image = source.prepare(
                    decode(data, min_side_px=None if source.stored else source.prepare.decode_side_px)
                )
                if step.is_training:
                    image = source.augmentation(image, self.ids[row], step.epoch, source.plan.seed)
                pixels.append(image)
            except BadImage:
                pixels.append(None)
        side = source.prepare.size_px  # type: ignore[attr-defined]
        black = np.zeros((side, side, 3), np.uint8)
        good = np.array([image is not None for image in pixels], bool)
        stacked = np.stack([black if image is None else image for image in pixels]) if pixels else black[None][:0]
        return stacked, good

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The same as a row of Ray Data."""
        try:
            pixels, good = self.load(row["number"])
        except GencvError as error:  # Ray Data would lose the exception
            return {"pixels": b"", "good": b"", "failure": str(error)}
        return {"pixels": pixels.tobytes(), "good": good.tobytes(), "failure": ""}


def stream(source: Source, first: int, num_loaders: int, num_cpus: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pixels and goodness of the steps from `first` to the end of the plan, loaded ahead by Ray Data actors."""
    side = source.prepare.size_px  # type: ignore[attr-defined]
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    # Without a limit loading runs ahead as fast as it can: it fills the store, and takes CPUs from the network.
    step_bytes = source.plan.batch_size * side * side * 3 / source.num_workers
    context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(
        object_store_memory=STEPS_AHEAD * num_loaders * step_bytes
    )
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    for start in range(first, len(source.plan), STEPS_PER_STREAM):
        numbers = range(start, min(start + STEPS_PER_STREAM, len(source.plan)))
        steps = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        loaded = steps.map(
            Loader,  # type: ignore[arg-type]
            fn_constructor_args=(source,),
            compute=ray.data.ActorPoolStrategy(size=min(num_loaders, len(numbers))),
            num_cpus=num_cpus,
        )
        # Split for one: Ray Data's scheduling then runs in a process of its own, not in a thread beside the network,
        # whose Python it would hold up (measured: steps of a tiny ViT took three to four times as long).
        (mine,) = loaded.streaming_split(1)
        batch: Any
        whole: Any = None  # a block, which is a step, as it is
        for batch in mine.iter_batches(batch_size=whole, batch_format="pyarrow", prefetch_batches=STEPS_AHEAD):
            for failure in filter(None, batch["failure"].to_pylist()):
                raise GencvError(failure)
            for pixels, good in zip(batch["pixels"], batch["good"], strict=True):
                flat = np.frombuffer(pixels.as_buffer(), np.uint8)
                yield flat.reshape(-1, side, side, 3), np.frombuffer(good.as_buffer(), bool)
