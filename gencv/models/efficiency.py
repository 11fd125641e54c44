"""What a training cost: pictures a second, time spent waiting, FLOPs, memory, and how much of the device was used.

The measure for a device's peak is taken on the device itself, in one large matrix product. A data sheet's figure holds
for clocks and sparsity that no training meets, and a CPU or a shared machine has none.
"""

import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gencv.models.networks import Classifier

FORWARDS_A_STEP = 3
"""A training step in forward passes: the backward pass computes twice as much. Source: Kaplan et al. 2020, 2.1."""
MEASURED_S = 0.2
"""How long `peak_flops` may repeat its product."""


@dataclass(frozen=True)
class Efficiency:
    """What a training cost; of times and rates the median over its epochs."""

    device: str
    """As people call it."""
    images_per_s: float
    """Training pictures of all workers, over an epoch's training time: its waiting included, its validation not."""
    seconds_per_epoch: float
    """Of training, without validation."""
    waited_fraction: float
    """Share of the training time that was spent waiting for data."""
    parameters: int
    trainable: int
    flops_per_image: float
    """One forward pass, multiply and add counted apart."""
    peak_memory_mib: float
    """Of one worker."""
    achieved_share: float
    """FLOPs of the training pictures' forward and backward passes over what the devices could have done meanwhile.

    images_per_s x 3 x flops_per_image / (measured peak x workers). The factor 3 is Kaplan et al. 2020
    (arXiv:2001.08361), for a network whose parameters are all trained; with frozen layers the share flatters.
    """


def efficiency_of(network: Classifier, history: list[dict[str, Any]]) -> Efficiency:
    """Sum up a training from its epochs, the first one left out if there are others: it warms up.

    history: that of `Fit`, each entry with `device` (`device_name`), `peak_memory_mib`, and `peak_flops` as well. An
    entry may say how many parameters were `trainable`: a network that was saved and loaded no longer knows.
    """
    last = history[-1]
    settled = history[1:] or history
    images_per_s = float(np.median([epoch["pictures"] / epoch["seconds"] for epoch in settled]))
    flops = flops_of(network)
    parameters, trainable = num_parameters(network)
    return Efficiency(
        device=last["device"],
        images_per_s=images_per_s,
        seconds_per_epoch=float(np.median([epoch["seconds"] + epoch["val_seconds"] for epoch in settled])),
        waited_fraction=float(np.median([epoch["waited_s"] / epoch["seconds"] for epoch in settled])),
        parameters=parameters,
        trainable=last.get("trainable", trainable),
        flops_per_image=flops,
        peak_memory_mib=last["peak_memory_mib"],
        achieved_share=images_per_s * FORWARDS_A_STEP * flops / (last["peak_flops"] * last["workers"]),
    )


def flops_of(network: Classifier) -> float:
    """Return the FLOPs of one picture's forward pass, multiply and add counted apart.

    Counted are matrix products and convolutions, attention's among them; the rest is small beside them. The network
    runs once on a black picture, and every module's mode is as before afterwards.
    """
    modes = {module: module.training for module in network.modules()}
    side = network.transform.size_px
    image = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
    network.eval()
    try:
        # The plain backend spells attention out as products; of the fused kernels the counter knows only some.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return float(counter.get_total_flops())


def num_parameters(network: torch.nn.Module) -> tuple[int, int]:
    """Return the number of all parameters and of those that are trained."""
    parameters = list(network.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def peak_flops(device: str, *, bf16: bool) -> float:
    """Return the FLOPs a second that a device reaches in a large matrix product, the best of some repeats.

    It is measured, here and now, and no data sheet's peak: with the threads and the precision settings of this process,
    on whatever else the machine is doing. On a GPU it takes 200 MiB for a moment: ask before the training, or after
    its memory was read.
    """
    on_gpu = device.startswith("cuda")
    side, calls = (4096, 20) if on_gpu else (512, 1)
    generator = torch.Generator().manual_seed(0)
    # Random numbers: a GPU multiplies zeros faster, since they cost it less power.
    factor = torch.randn(side, side, generator=generator).to(device, torch.bfloat16 if bf16 else torch.float32)
    product = torch.empty_like(factor)
    best, started = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - started < MEASURED_S:
        _wait_for(device)
        begun = time.perf_counter()
        for _ in range(calls):
            torch.mm(factor, factor, out=product)
        _wait_for(device)
        best = min(best, time.perf_counter() - begun)
    return calls * 2 * side**3 / best


def peak_memory_mib(device: str) -> float:
    """Return the most memory that tensors held on a GPU at a time, or that this process held at all on a CPU."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device) / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def device_name(device: str) -> str:
    """Return what people call a device: the model of the GPU, or of this machine's processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(errors="replace").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
