"""Attention rollout: how much of each patch reaches the token that a vision transformer judges by.

Source: Abnar and Zuidema 2020, arXiv:2005.00928. A layer's attention, averaged over its heads, is halved and half the
identity is added for the residual path; the product over all layers says what of the input is in each output token.
It asks where information comes from, not what speaks for a verdict: it is the same whatever the verdict is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from gencv.core.errors import NotSupported

TOKENS = ("class token", "distillation token")
"""The tokens that a head may read, in the order in which they stand before the patches."""
MEAN_OF_PATCHES = "mean of the patches"

Record = Callable[[torch.Tensor], None]


def attends(network: torch.nn.Module, run: Callable[[], Any]) -> bool:
    """Say whether attention layers that can be watched take part when the network runs.

    To have some is not enough: an encoder of pictures may have another of sentences beside it.
    """
    if not any(is_one(module) for module in network.modules() for is_one, _ in WATCHES):
        return False
    seen: list[int] = []
    with watched(network, lambda weights: seen.append(1)):
        run()
    return bool(seen)


def attentions(network: torch.nn.Module, run: Callable[[], Any]) -> list[torch.Tensor]:
    """Run a network and return the attention weights of every layer, float32 [B, T, T], averaged over the heads.

    run: calls the network. Fused kernels give no weights, so the plain ones compute while it runs.
    Raises NotSupported for a network without them, or whose layers attend to other tokens each (Swin's windows).
    """
    found: list[torch.Tensor] = []

    def record(weights_BHTT: torch.Tensor) -> None:
        found.append((weights_BHTT.mean(1) if weights_BHTT.ndim == 4 else weights_BHTT).float())

    with watched(network, record):
        run()
    shapes = {tuple(weights.shape) for weights in found}
    if len(shapes) != 1 or found[0].shape[1] != found[0].shape[2]:
        raise NotSupported("This network has no attention of all tokens to all tokens, which a rollout multiplies.")
    return found


def rollout(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Multiply attention weights [B, T, T], the first layer first -> float32 [B, T, T], whose rows sum to 1."""
    identity = torch.eye(layers[0].shape[1], device=layers[0].device)
    rolled = identity.expand_as(layers[0])
    for attention_BTT in layers:
        rolled = (attention_BTT + identity) / 2 @ rolled
    return rolled


def maps_of(rolled_BTT: torch.Tensor, reads: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return what of each patch is in the tokens that the head reads: float32 [B, G, G] by the token's name.

    The picture is square, so the last G * G of the T tokens are its patches, row by row; what stands before them are
    the class token, then DeiT's distillation token or registers. reads: of TOKENS, or MEAN_OF_PATCHES.
    """
    num_tokens = rolled_BTT.shape[1]
    side = int(num_tokens**0.5)
    first = num_tokens - side * side
    patches = rolled_BTT[:, :, first:]

    def row_of(name: str) -> torch.Tensor:
        return patches[:, first:].mean(1) if name == MEAN_OF_PATCHES else patches[:, TOKENS.index(name)]

    return {name: row_of(name).reshape(-1, side, side) for name in reads}


def tokens_read(network: torch.nn.Module, num_heads: int = 1) -> tuple[str, ...]:
    """Return which tokens the last layer reads. num_heads: last layers; DeiT with its distillation token has two.

    Raises NotSupported where another attention gathers them.
    """
    if num_heads == 2:
        return TOKENS
    network = getattr(network, "trunk", network)  # a network of timm within open_clip
    pooling = getattr(network, "global_pool", getattr(network, "pool_type", "token"))
    if getattr(network, "attn_pool", None) is not None:
        raise NotSupported("This network gathers its patches by one more attention, which a rollout does not follow.")
    by_mean = pooling == "avg" or getattr(getattr(network, "config", None), "use_mean_pooling", False)
    return (MEAN_OF_PATCHES,) if by_mean else TOKENS[:1]


@contextmanager
def watched(network: torch.nn.Module, record: Record) -> Iterator[None]:
    """Hand the attention weights of every layer to `record` while the context lasts; then all is as it was."""
    undo: list[Callable[[], None]] = []
    try:
        for module in network.modules():
            for is_one, watch in WATCHES:
                if is_one(module):
                    undo += watch(module, record)
        yield
    finally:
        for step in reversed(undo):
            step()


def is_of_timm(module: torch.nn.Module) -> bool:
    return hasattr(module, "fused_attn") and hasattr(module, "attn_drop")


def watch_timm(module: Any, record: Record) -> list[Callable[[], None]]:
    """Unfuse a timm attention: its dropout, which does nothing in evaluation, then sees the weights."""
    was = module.fused_attn
    module.fused_attn = False
    hook = module.attn_drop.register_forward_hook(lambda dropout, inputs, output: record(output))
    return [lambda: setattr(module, "fused_attn", was), hook.remove]


def is_of_transformers(module: torch.nn.Module) -> bool:
    return hasattr(module, "attention_dropout") and hasattr(getattr(module, "config", None), "_attn_implementation")


def watch_transformers(module: Any, record: Record) -> list[Callable[[], None]]:
    """Let a transformers attention compute by its plain path, whose second output are the weights."""
    config, was = module.config, module.config._attn_implementation
    config._attn_implementation = "eager"
    hook = module.register_forward_hook(lambda attention, inputs, output: record(output[1]))
    return [lambda: setattr(config, "_attn_implementation", was), hook.remove]


def is_of_torch(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.MultiheadAttention)


def watch_torch(module: torch.nn.Module, record: Record) -> list[Callable[[], None]]:
    """Ask torch's own attention, which open_clip takes, for the weights that its caller does not want."""

    def ask(attention: Any, inputs: tuple, words: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return inputs, {**words, "need_weights": True, "average_attn_weights": True}

    asking = module.register_forward_pre_hook(ask, with_kwargs=True)
    hook = module.register_forward_hook(lambda attention, inputs, output: record(output[1]))
    return [asking.remove, hook.remove]


WATCHES: tuple[tuple[Callable[[torch.nn.Module], bool], Callable[[Any, Record], list[Callable[[], None]]]], ...] = (
    (is_of_timm, watch_timm),
    (is_of_transformers, watch_transformers),
    (is_of_torch, watch_torch),
)
"""Whose attention layers can be watched: how one is known, and what to do with it, which returns how to undo it."""
