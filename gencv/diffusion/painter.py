"""The painter over diffusers pipelines: text to image, image to image, and painting into masks.

    painter = load_painter("starter")
    picture = next(painter.paint([Recipe(prompt="a red apple on a white background", seed=7)]))

The loop over the steps is ours (`denoise.py`), so that one batch can hold other prompts, seeds, and guidance, and each
picture is the one that it is alone: within 1e-5 in fp32 on a CPU before it is rounded to bytes, which a test holds.
Masks need no inpainting checkpoint: outside of them the latents are put back after every step, and the pixels at last.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gencv.core.contracts import CONTENT_FILTERED, DONE, Picture, Recipe
from gencv.core.errors import BadInput, NotSupported, OutOfMemory
from gencv.core.hub import weights_digest
from gencv.diffusion.checks import fill_in
from gencv.diffusion.denoise import Start, Stopped, batch_key, denoise, num_calls
from gencv.diffusion.loading import Loaded, Lora, add_lora, load_pipeline
from gencv.diffusion.prompts import Prompts, denied
from gencv.diffusion.schedulers import require_steps
from gencv.diffusion.speed import Speed, find_device, find_speed
from gencv.diffusion.starts import Init, Starts, can_tile, decode, starts_for

BATCH_SIZE = 8
PARTS_WITH_WEIGHTS = ("unet", "vae", "text_encoder", "text_encoder_2")
OnLatents = Callable[[list[int], torch.Tensor], None]


def load_painter(
    name: str,
    *,
    device: str = "auto",
    speed: str | Speed = "exact",
    loras: Sequence[tuple[Path, float]] = (),
    batch_size: int = BATCH_SIZE,
    tiled: bool = False,
) -> "DiffusionPainter":
    """Return the painter of that name: `starter`, an alias, a hub id, or the path of a diffusers folder.

    device: "auto" is the GPU where there is one. speed: a name of SPEEDS, or one of your own. loras: files or folders
    and their weights. tiled: encode and decode in tiles, as a picture with `Picture.tiled` was for lack of memory.
    What was taken and its licence is logged, and stands in `notes`.
    Raises UnknownName, ModelUnavailable, BadInput, or NotSupported (`load_pipeline`).
    """
    chosen = find_speed(speed) if isinstance(speed, str) else speed
    if batch_size < 1:
        raise BadInput(f"A batch size of {batch_size}; 1 or more is accepted.")
    place = find_device(device)
    loaded = load_pipeline(name)
    merged = tuple(add_lora(loaded.pipeline, file, weight) for file, weight in loras)
    chosen.apply(loaded.pipeline, place)
    for note in loaded.notes:
        logging.getLogger(__name__).warning(note)
    return DiffusionPainter(loaded, chosen, batch_size, loras=merged, tiled=tiled)


class DiffusionPainter:
    """A `Painter`. Threads may share one: all that outlives a batch are encoded prompts and pictures, and where memory
    was short, a smaller `batch_size`. Sums over a smaller batch may round otherwise; `Picture.batch` says the real one.
    """

    def __init__(
        self,
        loaded: Loaded,
        speed: Speed,
        batch_size: int = BATCH_SIZE,
        *,
        loras: tuple[Lora, ...] = (),
        tiled: bool = False,
    ) -> None:
        """loras: those that are merged into the weights. tiled: see `load_painter`. Raises NotSupported for it."""
        self.name, self.notes, self.taken = loaded.name, loaded.notes, loaded.taken
        self.pipeline, self.speed, self.batch_size = loaded.pipeline, speed, batch_size
        self.loras, self.tiled = loras, tiled
        if tiled and not hasattr(self.pipeline.vae, "use_tiling"):
            raise NotSupported(f"The autoencoder of {self.name} cannot work in tiles.")
        self.prompts, self.starts = Prompts(loaded.pipeline), Starts(loaded.pipeline)
        scale = 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)
        self.size_px = int(self.pipeline.unet.config.sample_size) * scale
        # Latents that the UNet can halve without a remainder, and 8, which every tool for these pipelines asks for.
        self.factor = max(8, scale)
        self.spread: set[tuple[str, int]] = set()  # schedulers and steps that go together, which takes ms to find out

    def weights(self) -> str:
        """Digest all weights, with merged LoRAs; takes a second a GB."""
        parts = {name: getattr(self.pipeline, name, None) for name in PARTS_WITH_WEIGHTS}
        return weights_digest(
            (f"{part}.{name}", tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
            for part, network in parts.items()
            if network is not None
            for name, tensor in sorted(network.state_dict().items())
        )

    def complete(self, recipes: Sequence[Recipe], *, init: Init = None, mask: np.ndarray | None = None) -> list[Recipe]:
        """Fill in what recipes leave open, without work. Raises BadInput or UnknownName at the first that cannot be."""
        done = []
        for one, start in zip(recipes, starts_for(len(recipes), init, mask), strict=True):
            whole = fill_in(one, self.name, self.size_px, start, mask, self.factor)
            if (asked := (whole.scheduler, whole.num_inference_steps)) not in self.spread:
                require_steps(whole.scheduler, self.pipeline.scheduler, whole.num_inference_steps)
                self.spread.add(asked)
            done.append(whole)
        return done

    def paint(
        self,
        recipes: Sequence[Recipe],
        *,
        init: Init = None,
        mask: np.ndarray | None = None,
        on_step: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        on_latents: OnLatents | None = None,
    ) -> Iterator[Picture]:
        """Give the pictures in the order of their recipes (`Painter.paint`); the checks are done when this is called.

        on_latents: told after each step which recipes, by their places, will have which latents [B, C, h, w], as far as
        is known by then; `preview` shows them.
        Raises OutOfMemory, as it goes, where a single picture does not fit.
        """
        done = self.complete(recipes, init=init, mask=mask)
        inits = starts_for(len(recipes), init, mask)
        steps = on_step or (lambda step, steps: None)
        return self._paint(done, inits, mask, steps, cancelled or (lambda: False), on_latents)

    def _paint(
        self,
        recipes: list[Recipe],
        inits: list[np.ndarray | None],
        mask: np.ndarray | None,
        on_step: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        on_latents: OnLatents | None = None,
    ) -> Iterator[Picture]:
        refused = {row: denied(one.prompt) for row, one in enumerate(recipes)}
        finished = {
            row: Picture(None, recipes[row], CONTENT_FILTERED, (f"Not painted: the prompt asks for {words!r}.",))
            for row, words in refused.items()
            if words
        }
        left = [row for row in range(len(recipes)) if row not in finished]
        progress = Progress(
            on_step, sum(self._num_calls([recipes[row] for row in rows]) for rows in groups(recipes, left))
        )
        if on_latents is not None:
            progress.look = self._looking(recipes, on_latents)
        upcoming = 0
        for rows in batches(recipes, left, self.batch_size):
            try:
                made = self._batch(
                    [recipes[row] for row in rows], [inits[row] for row in rows], mask, progress, cancelled
                )
            except Stopped:
                return
            finished.update(zip(rows, made, strict=True))
            while upcoming in finished:
                yield finished.pop(upcoming)
                upcoming += 1
        while upcoming in finished:
            yield finished.pop(upcoming)
            upcoming += 1

    def _looking(self, recipes: list[Recipe], on_latents: OnLatents) -> Callable[[list[Recipe], torch.Tensor], None]:
        places = {id(recipe): place for place, recipe in enumerate(recipes)}  # batches hold these very objects
        return lambda batch, latents: on_latents([places[id(recipe)] for recipe in batch], latents)

    def preview(self, latents: torch.Tensor) -> list[np.ndarray]:
        """Return what latents [B, C, h, w] show: B times uint8 RGB [H, W, 3]. Raises BadInput where they overflowed."""
        return [as_uint8(one) for one in decode(self.pipeline.vae, latents)]

    def _num_calls(self, group: list[Recipe]) -> int:
        return len(group) * num_calls(self.pipeline, group[0])

    def _batch(
        self,
        recipes: list[Recipe],
        inits: list[np.ndarray | None],
        mask: np.ndarray | None,
        progress: "Progress",
        cancelled: Callable[[], bool],
        tiled: bool = False,
    ) -> list[Picture]:
        """Paint one batch; where memory is short, in halves, and a single picture in tiles. Raises OutOfMemory."""
        before, tiled = progress.done, tiled or self.tiled
        try:
            with self.speed.numbers():
                start = self.starts.encode(inits, mask, tiled=tiled)
                pixels = self._pixels(recipes, start, progress, cancelled, tiled)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            short = True
        else:
            short = False
        if short:  # outside of the handler, whose traceback holds on to the tensors
            progress.done = before
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if middle := len(recipes) // 2:
                self.batch_size = max(1, min(self.batch_size, middle))
                return [
                    one
                    for part in (slice(middle), slice(middle, None))
                    for one in self._batch(recipes[part], inits[part], mask, progress, cancelled)
                ]
            if not tiled and can_tile(self.pipeline.vae):
                return self._batch(recipes, inits, mask, progress, cancelled, tiled=True)
            size = f"{recipes[0].width} x {recipes[0].height}"
            raise OutOfMemory(
                f"A picture of {size} px does not fit into memory, alone and in tiles; ask for a smaller one."
            )
        require_finite(pixels, recipes, self.speed.dtype)
        images = [as_uint8(one) for one in pixels]
        if mask is not None:
            images = [
                one if init is None else np.where(mask[..., None], one, init)
                for one, init in zip(images, inits, strict=True)
            ]
        filtered = self._filtered(images)
        return [
            self._picture(recipe, None if bad else image, (row, len(recipes)), tiled)
            for row, (recipe, image, bad) in enumerate(zip(recipes, images, filtered, strict=True))
        ]

    def _pixels(
        self,
        recipes: list[Recipe],
        start: Start | None,
        progress: "Progress",
        cancelled: Callable[[], bool],
        tiled: bool = False,
    ) -> np.ndarray:
        """Return float32 [B, H, W, 3] from 0 to 1."""
        latents = denoise(
            self.pipeline,
            recipes,
            [self.prompts.encode(one.prompt) for one in recipes],
            [self.prompts.encode(one.negative_prompt, is_negative=True) for one in recipes],
            start,
            reuse_interval=self.speed.reuse_interval,
            on_step=lambda: progress.add(len(recipes)),
            on_latents=None if progress.look is None else partial(progress.look, recipes),
            cancelled=cancelled,
        )
        return decode(self.pipeline.vae, latents, tiled=tiled)

    def _filtered(self, images: list[np.ndarray]) -> list[bool]:
        """Ask the pipeline's safety checker, where it has one."""
        checker = getattr(self.pipeline, "safety_checker", None)
        if checker is None:
            return [False] * len(images)
        seen = self.pipeline.feature_extractor(images, return_tensors="pt").pixel_values
        with torch.inference_mode():
            # It blackens what it is given in place, so it is given copies.
            found = checker(
                images=[image.copy() for image in images],
                clip_input=seen.to(self.pipeline.unet.device, next(checker.parameters()).dtype),
            )
        return [bool(one) for one in found[1]]

    def _picture(self, recipe: Recipe, image: np.ndarray | None, batch: tuple[int, int], tiled: bool) -> Picture:
        if image is None:
            return Picture(None, recipe, CONTENT_FILTERED, ("Painted and not shown: its safety checker objects.",))
        return Picture(image, recipe, DONE, self.notes_on(recipe), batch, tiled)

    def notes_on(self, recipe: Recipe) -> tuple[str, ...]:
        """Return a sentence for each of a recipe's texts that is too long for the text encoder."""
        texts = {"prompt": recipe.prompt, "negative prompt": recipe.negative_prompt}
        room = self.pipeline.tokenizer.model_max_length - 2
        return tuple(
            f"The {what} is longer than the {room} tokens that {self.name} reads; cut off: {rest!r}."
            for what, text in texts.items()
            if (rest := self.prompts.cut(text))
        )


class Progress:
    """Steps that are done of all, in pictures times steps."""

    def __init__(self, on_step: Callable[[int, int], None], total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0
        self.look: Callable[[list[Recipe], torch.Tensor], None] | None = None
        """Told what the latents of a batch's recipes will be, where somebody wants to know."""

    def add(self, count: int) -> None:
        self.done += count
        self.on_step(self.done, self.total)


def batches(recipes: Sequence[Recipe], rows: Sequence[int], size: int) -> list[list[int]]:
    """Cut the groups into batches of at most `size`, in the order in which the first row of each comes."""
    cut = [group[at : at + size] for group in groups(recipes, rows) for at in range(0, len(group), size)]
    return sorted(cut, key=lambda group: group[0])


def groups(recipes: Sequence[Recipe], rows: Sequence[int]) -> list[list[int]]:
    """Group all rows that may share a batch."""
    found: dict[Any, list[int]] = {}
    for row in rows:
        found.setdefault(batch_key(recipes[row]), []).append(row)
    return list(found.values())


def require_finite(pixels: np.ndarray, recipes: Sequence[Recipe], dtype: str) -> None:
    """Raise BadInput for numbers that are none, [B, H, W, 3], which would be a black picture."""
    for one, recipe in zip(pixels, recipes, strict=True):
        if not np.isfinite(one).all():
            other = "a speed of fp32 or bf16" if dtype == "fp16" else "another scheduler, or other steps or guidance"
            raise BadInput(
                f"The painter's numbers overflowed in {recipe.num_inference_steps:,} steps of the scheduler "
                f"{recipe.scheduler} in {dtype}; take {other}."
            )


def as_uint8(pixels: np.ndarray) -> np.ndarray:
    """Float [H, W, 3] from 0 to 1 -> uint8."""
    return np.asarray((pixels * 255).round().astype(np.uint8))


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory was short, on a GPU or in the machine."""
    said = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")  # the last of cuBLAS and cuDNN
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in said)
