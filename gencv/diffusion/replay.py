"""Make a painted picture again from what is stored inside of it, and say whether it is the same.

What a picture follows from, down to the byte, is its recipe, the painter's weights, what it began with, and how it was
computed: the device, the settings for speed, the threads (sums over cores round in another order), and its place in a
batch (so do sums over a batch), or in tiles. All of that is written into the file as its parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gencv.core.contracts import Picture, Recipe
from gencv.core.errors import BadInput, UnknownName
from gencv.core.record import picture_id
from gencv.core.settings import Settings
from gencv.diffusion.loading import ALIASES
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.speed import find_speed
from gencv.diffusion.sweep import recipe_of
from gencv.images.decode import decode, decode_layer
from gencv.images.transform import fill
from gencv.provenance import parameters as stored
from gencv.provenance.parameters import Parameters, SourceType
from gencv.provenance.stamp import FORMATS, stamp

MAX_THREADS = MAX_BATCH = 1_024
MAX_WEIGHT = 1_000
"""Of a LoRA."""


@dataclass(frozen=True, kw_only=True)
class How(Settings):
    """How pictures were computed and written: the extras of their parameters."""

    speed: str = "exact"
    """A name of SPEEDS."""
    device: str = "cpu"
    threads: int = 1
    """On a CPU."""
    format: str = "png"
    """A name of `stamp.FORMATS`."""
    quality: int = 90
    """Of JPEG and WebP."""
    watermark: bool = True
    mask: str = ""
    """The id of the mask's file."""
    row: int = 0
    batch: int = 1
    """Where in a batch of how many, as `Picture.batch` has it."""
    tiled: bool = False
    """As `Picture.tiled` has it."""
    loras: tuple[tuple[str, str, float], ...] = ()
    """Name, digest, and weight of each LoRA that was merged into the painter."""

    def __post_init__(self) -> None:
        find_speed(self.speed)
        if self.format not in FORMATS:
            raise UnknownName("format", self.format, FORMATS)
        if not 1 <= self.quality <= 100:
            raise BadInput(f"A quality of {self.quality}; it goes from 1 to 100.")
        if not (1 <= self.threads <= MAX_THREADS and 0 <= self.row < self.batch <= MAX_BATCH):
            raise BadInput(
                f"{self.threads} threads, and row {self.row} of a batch of {self.batch}: that cannot be; 1 to "
                f"{MAX_THREADS:,} threads and batches of 1 to {MAX_BATCH:,} are accepted."
            )
        for lora in self.loras:
            kinds = [type(value) for value in lora] if isinstance(lora, list | tuple) else []
            if kinds not in ([str, str, float], [str, str, int]) or not -MAX_WEIGHT <= lora[2] <= MAX_WEIGHT:
                raise BadInput(f"A LoRA that is {lora!r}; its name, digest, and weight are accepted.")
        object.__setattr__(self, "loras", tuple(map(tuple, self.loras)))  # JSON brings lists

    @property
    def source_type(self) -> SourceType:
        return SourceType.PART_GENERATED if self.mask else SourceType.GENERATED


def parameters_of(picture: Picture, how: How, *, weights: str, init_id: str) -> Parameters:
    """Return what is written into a picture's file. init_id: of the file that it began with, "" for none."""
    recipe = picture.recipe.to_dict()
    row, size = picture.batch
    return Parameters(
        **recipe,
        model_digest=weights,
        versions={name: version(name) for name in ("gencv", "torch", "diffusers")},
        init_digest=init_id or None,
        extras=how.to_dict() | {"row": row, "batch": size, "tiled": picture.tiled},
    )


@dataclass(frozen=True)
class Replayed:
    """A picture that was made again."""

    file: bytes
    """As it was stamped then, without credentials: those have a time."""
    recipe: Recipe
    largest_difference: int
    """In levels of 8 bits; 0 is identical."""
    differing: float
    """Share of the px that differ."""

    @property
    def is_identical(self) -> bool:
        return self.largest_difference == 0

    @property
    def sentence(self) -> str:
        """Whether it is the same picture, in words."""
        if self.is_identical:
            return "Identical: every px is the same."
        return f"Not identical: {self.differing:.2%} of the px differ, by {self.largest_difference} levels at most."


def replay(
    data: bytes,
    *,
    painter: str = "",
    loras: Sequence[tuple[Path, float]] = (),
    init: bytes | None = None,
    mask: bytes | None = None,
) -> Replayed:
    """Make the picture in a file again.

    painter: in place of the one that the file names; needed where that is a folder, for a file may name any. loras:
    those that were merged into it. init, mask: the files that it began with. Raises BadInput where the file does not
    say enough, and where what is given is not what it says.
    """
    stated, how, recipe = read(data)
    name = painter or stated.model
    if not painter and name != "starter" and name not in ALIASES:  # a file may name any folder, or any place of a hub
        raise BadInput(f"The picture says that {name!r} painted it; give the painter to trust, by its name or folder.")
    for what, asked, given in (("picture to start from", stated.init_digest, init), ("mask", how.mask, mask)):
        require_same(what, asked, given)
    then = decode(data)
    if then.shape[:2] != (recipe.height, recipe.width):
        raise BadInput(
            f"The picture has {then.shape[1]} x {then.shape[0]} px and was painted with {recipe.width} x "
            f"{recipe.height}; it was cut or scaled since, so that no replay can be identical."
        )
    start, where = (None, None) if init is None else read_start(init, mask, (recipe.width, recipe.height))
    one = load_painter(name, device=device_of(how), speed=how.speed, loras=loras, batch_size=how.batch, tiled=how.tiled)
    if [lora[1:] for lora in one.loras] != [lora[1:] for lora in how.loras]:  # a file may have another name now
        raise BadInput(
            f"The picture was painted with {told_of(how.loras)}, and given is {told_of(one.loras)}; give the very same "
            "files and weights, in that order."
        )
    if (weights := one.weights()) != stated.model_digest:
        raise BadInput(f"{stated.model} had the weights {stated.model_digest} then, and {name} has {weights} now.")
    recipe = replace(recipe, model=one.name)  # the same weights, wherever they lie now
    threads = torch.get_num_threads()
    torch.set_num_threads(how.threads)
    try:
        picture = repaint(one, recipe, how, start, where)
    finally:
        torch.set_num_threads(threads)
    if picture.image is None:
        raise BadInput(f"It is not painted again: {' '.join(picture.notes)}")
    file = to_file(picture.image, stated, how, mask=where, credentials=False)
    away = np.abs(decode(file).astype(np.int16) - then)
    return Replayed(file, recipe, int(away.max()), float((away.max(2) > 0).mean()))


def read(data: bytes) -> tuple[Parameters, How, Recipe]:
    """Return what a file says of how it was painted. Raises BadInput where that is not all."""
    found = stored.read(data)
    if found.parameters is None or found.place != "gencv":
        why = found.reason or "what it says is not all that a picture follows from"
        raise BadInput(f"The picture cannot be made again: {why}. A picture that gencv painted is accepted, as it was.")
    return found.parameters, *asked_in(found.parameters)


def asked_in(parameters: Parameters) -> tuple[How, Recipe]:
    """Return what parameters ask for, which may be anything in a file that was changed. Raises BadInput."""
    stated, usual = parameters.to_dict(), How().to_dict()
    how = stated["extras"]
    if not isinstance(how, dict) or not how or not how.keys() <= usual.keys():  # fewer: by an earlier version
        raise BadInput("The picture was made by gencv and not painted from a recipe; there is nothing to replay.")
    try:
        for name, value in how.items():
            if type(value) is not type(usual[name]):
                raise BadInput(f"Its {name} is {value!r}; {usual[name]!r} is an example of one.")
        return How(**how), recipe_of({name: stated[name] for name in Recipe(prompt="").to_dict()}, Recipe(prompt=""))
    except BadInput as error:
        raise BadInput(f"What the picture says of how it was painted was changed: {error}") from None


def repaint(
    painter: DiffusionPainter, recipe: Recipe, how: How, init: np.ndarray | None, mask: np.ndarray | None
) -> Picture:
    """Paint a recipe at its place of a batch of the same size, the other places being filled with itself."""
    return list(painter.paint([recipe] * how.batch, init=init, mask=mask))[how.row]


def to_file(
    image: np.ndarray, parameters: Parameters, how: How, *, mask: np.ndarray | None = None, **options: Any
) -> bytes:
    """Encode and stamp uint8 RGB [H, W, 3]. mask: bool [H, W], where the watermark may lie. options: more of `stamp`.

    Outside of the mask a PNG has the px of the image; JPEG and WebP lose some everywhere.
    """
    return stamp(
        image,
        parameters,
        format=how.format,
        quality=how.quality,
        source_type=how.source_type,
        watermark=how.watermark,
        keep=None if mask is None else ~mask,
        **options,
    )


def told_of(loras: Sequence[tuple[str, str, float]]) -> str:
    """Say which LoRAs, as in "the LoRA style.safetensors (8a6e0804, weight 2)"."""
    told = [f"the LoRA {name} ({digest}, weight {weight:g})" for name, digest, weight in loras]
    return " and ".join(told) or "no LoRA"


def device_of(how: How) -> str:
    return how.device if how.device == "cuda" and torch.cuda.is_available() else "cpu"


def read_start(
    init: bytes, mask: bytes | None, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what is begun with, uint8 RGB [H, W, 3], and where to paint anew, bool [H, W].

    mask: of the size of the picture. Its holes are painted anew where it has any (px that are more transparent than
    not), else its white. size: width and height in px that both are cut and scaled to; their own if None.
    Raises BadImage, and BadInput for a mask of another size, or of which nothing is left.
    """
    image = decode(init)
    width, height = size or image.shape[1::-1]
    start = fill(image, width, height)
    if mask is None:
        return start, None
    layer = decode_layer(mask)
    if layer.shape[:2] != image.shape[:2]:
        raise BadInput(
            f"The mask has {layer.shape[1]} x {layer.shape[0]} px and the picture {image.shape[1]} x {image.shape[0]}; "
            "they must agree."
        )
    has_holes = layer.shape[2] == 4 and bool((layer[..., 3] < 128).any())
    white = np.repeat(255 - layer[..., 3:], 3, axis=2) if has_holes else layer[..., :3]
    where = np.asarray(fill(white, width, height).mean(2) >= 128)
    if not where.any():
        raise BadInput(f"The mask is empty at {width} x {height} px; white, or transparent, is where to paint anew.")
    return start, where


def require_same(what: str, asked: str | None, given: bytes | None) -> None:
    """Raise BadInput unless a file is the one that is asked for."""
    if asked and given is None:
        raise BadInput(f"The picture began with a {what} of the id {asked}; give that file.")
    if given is not None and picture_id(given) != asked:
        began = f"that of the id {asked}" if asked else "none"
        raise BadInput(f"The {what} has the id {picture_id(given)}, and the picture began with {began}.")
