"""How a painter computes: one choice for precision, memory layout, compilation, and the autoencoder's tiles."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch

from gencv.core.errors import BadInput, NotSupported, UnknownName

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Speed:
    """A choice of settings. All but `exact` change pixels a little; replaying a picture takes the same choice."""

    dtype: str = "fp32"
    """A name of DTYPES. fp32 is that on a GPU too: TF32, in which cuDNN convolves unasked, is off while it paints."""
    channels_last: bool = False
    compile: bool = False
    """Compile the UNet and the autoencoder's decoder: a minute once for every size, faster from then on."""
    vae_tiling: bool = False
    """Decode large pictures in tiles."""
    vae_slicing: bool = False
    """Decode one picture of a batch at a time."""
    reuse_interval: int = 1
    """Run the whole UNet every so many steps and reuse its deep features between; 1 reuses none."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UnknownName("dtype", self.dtype, DTYPES)
        if self.reuse_interval < 1:
            raise BadInput(f"A reuse interval of {self.reuse_interval}; 1 (no reuse) or more is accepted.")

    def apply(self, pipeline: Any, device: str) -> None:
        """Move a pipeline to a device and set it up."""
        dtype = DTYPES[self.dtype]
        pipeline.to(device)
        pipeline.to(dtype=dtype, silence_dtype_warnings=True)
        if self.dtype == "fp16" and pipeline.vae.config.get("force_upcast"):
            pipeline.vae.to(dtype=torch.float32)  # some autoencoders overflow in fp16 and give black pictures
        if self.channels_last:
            pipeline.unet.to(memory_format=torch.channels_last)
            pipeline.vae.to(memory_format=torch.channels_last)
        if self.vae_tiling:
            pipeline.vae.enable_tiling()
        if self.vae_slicing:
            pipeline.vae.enable_slicing()
        if self.compile:
            pipeline.unet.compile(dynamic=False)
            pipeline.vae.decoder.compile(dynamic=False)

    def numbers(self) -> AbstractContextManager[object]:
        """Return what to paint in, for its numbers to be of the dtype."""
        return FULL_FP32 if self.dtype == "fp32" else nullcontext()


class FullFp32:
    """While any thread is inside, cuDNN computes no fp32 in TF32, which keeps 10 of its 23 bits.

    torch has that setting for a whole process only: the first thread in turns it off, the last one out puts it back.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.before = Lock(), 0, False

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = torch.backends.cudnn.allow_tf32
                torch.backends.cudnn.allow_tf32 = False
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                torch.backends.cudnn.allow_tf32 = self.before


FULL_FP32 = FullFp32()
SPEEDS = {
    "exact": Speed(),
    "layout": Speed(channels_last=True),
    "half": Speed(dtype="bf16", channels_last=True),
    "compiled": Speed(dtype="bf16", channels_last=True, compile=True),
    "small": Speed(dtype="bf16", channels_last=True, vae_tiling=True, vae_slicing=True),
    "reusing": Speed(channels_last=True, reuse_interval=3),
}
"""Choices by name."""


def find_device(name: str) -> str:
    """Return where to compute; "auto" is the GPU where there is one. Raises NotSupported for what is not there."""
    found = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError):
        raise NotSupported(f"There is no device {found!r} here; accepted are auto, cpu, and cuda on a GPU.") from None
    return found


def find_speed(name: str) -> Speed:
    """Return the choice of that name. Raises UnknownName."""
    if name not in SPEEDS:
        raise UnknownName("speed", name, SPEEDS)
    return SPEEDS[name]
