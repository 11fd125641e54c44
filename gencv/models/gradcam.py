"""Grad-CAM: which places of the last convolutional map raise the logit of being positive.

Source: Selvaraju et al. 2017, arXiv:1610.02391. Each channel of the map is weighted by the mean gradient of the logit
over its places; the weighted sum, where it is above 0, is what speaks for "positive". Where nothing does, it is 0.
"""

from collections.abc import Callable

import torch

from gencv.core.errors import NotSupported


def grad_cam(
    network: torch.nn.Module, images: torch.Tensor, verdict: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return float32 [B, G, G], 0 and more, for normalised images [B, 3, S, S]; G is the side of the last map.

    verdict: images -> logits [B], through `network`, whose layers are watched. Raises NotSupported without a last map,
    or where attention follows it, which moves what it holds to other places.
    """
    seen: list[torch.Tensor] = []
    within, pooling = attention_within(network)

    def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        if module in within:
            seen.clear()
        elif module not in pooling and is_map(output, len(images)):
            seen[:] = [output]  # type: ignore[list-item]

    hooks = [module.register_forward_hook(keep) for module in network.modules()]
    try:
        with torch.enable_grad():
            # The pictures take part, or there would be no gradient in a network whose weights are frozen.
            logits = verdict(images.detach().requires_grad_(True))
            if not seen or not seen[0].requires_grad:
                raise NotSupported(
                    "This network has no convolutional map behind all of its attention, which Grad-CAM weighs."
                )
            (gradient,) = torch.autograd.grad(logits.sum(), seen[0], allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    if gradient is None:
        raise NotSupported("The last map of this network does not lead to its verdict, so Grad-CAM cannot weigh it.")
    weights_BC11 = gradient.mean((2, 3), keepdim=True)
    return (weights_BC11 * seen[0]).sum(1).relu().detach().float()


def is_map(output: object, batch_size: int) -> bool:
    """Say whether a layer's output is a map [B, C, G, G] with more than one place; channels last are none."""
    if not isinstance(output, torch.Tensor) or output.ndim != 4 or len(output) != batch_size:
        return False
    return output.shape[2] == output.shape[3] > 1


def attention_within(network: torch.nn.Module) -> tuple[set[torch.nn.Module], set[torch.nn.Module]]:
    """Return the layers in and of attention, told by their names, and apart those that pool a last map by it."""
    within: set[torch.nn.Module] = set()
    pooling: set[torch.nn.Module] = set()
    for path, module in network.named_modules():
        name = f"{path.rpartition('.')[2]} {type(module).__name__}".lower()
        if path and ("attn" in name or "attention" in name):
            (pooling if "pool" in name else within).update(module.modules())
    return within - pooling, pooling
