"""Reuse the deep features of a UNet for a few steps: they change slowly, and most of the work is in them.

Source: Ma et al. 2023, DeepCache, arXiv:2312.00858. Choice: the cut lies before the last up block, so that a step which
reuses runs the first down block and the last up block alone.
"""

from threading import Lock, local
from typing import Any

import torch


class ReusingUnet:
    """A UNet2DConditionModel for the steps of one batch, of which every `interval`-th runs whole."""

    def __init__(self, unet: Any, interval: int) -> None:
        self.unet, self.interval = unet, interval
        self.step = 0
        self.deep: torch.Tensor | None = None
        if interval > 1:
            keep_deep(unet.up_blocks[-1])

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, added: Any) -> torch.Tensor:
        """Noisy latents [B, C, h, w] -> what the UNet predicts, of the same shape."""
        is_whole = self.step % self.interval == 0 or self.deep is None
        self.step += 1
        if is_whole:
            return self._whole(sample, timestep, text, added)
        return self._shallow(sample, timestep, text, added)

    def _whole(self, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, added: Any) -> torch.Tensor:
        _seen.deep = None
        made: torch.Tensor = self.unet(sample, timestep, text, added_cond_kwargs=added, return_dict=False)[0]
        self.deep, _seen.deep = _seen.deep, None
        return made

    def _shallow(self, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, added: Any) -> torch.Tensor:
        """Follow UNet2DConditionModel.forward without what lies under its first and last block."""
        unet = self.unet
        time = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep), None)
        more = unet.get_aug_embed(emb=time, encoder_hidden_states=text, added_cond_kwargs=added)
        time = time if more is None else time + more
        text = unet.process_encoder_hidden_states(encoder_hidden_states=text, added_cond_kwargs=added)
        hidden = unet.conv_in(sample)
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        _, beside = first(hidden_states=hidden, temb=time, **_attends(first, text))
        beside = (hidden, *beside)[: len(last.resnets)]  # the one after them leads down
        hidden = last(hidden_states=self.deep, temb=time, res_hidden_states_tuple=beside, **_attends(last, text))
        if unet.conv_norm_out:
            hidden = unet.conv_act(unet.conv_norm_out(hidden))
        made: torch.Tensor = unet.conv_out(hidden)
        return made


_seen = local()
"""What went last into a block that keeps, in this thread."""
_keeping = Lock()


def keep_deep(block: Any) -> None:
    """Let a block note what goes into it, from now on: threads share it, and hooks that come and go would meet."""

    def keep(block: Any, inputs: Any, named: dict[str, Any]) -> None:
        _seen.deep = named["hidden_states"]

    with _keeping:
        if not getattr(block, "keeps_deep", False):
            block.register_forward_pre_hook(keep, with_kwargs=True)
            block.keeps_deep = True


def _attends(block: Any, text: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
