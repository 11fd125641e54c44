"""Pictures to start from, and the autoencoder that turns them into latents and latents into pictures."""

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch

from gencv.core.errors import BadInput
from gencv.diffusion.checks import require_init
from gencv.diffusion.denoise import Start

MAX_KEPT = 64
"""Pictures whose latents are kept."""

Init = np.ndarray | Sequence[np.ndarray] | None
"""What to start from: one picture for all recipes, one for each, or none."""


def starts_for(count: int, init: Init, mask: np.ndarray | None) -> list[np.ndarray | None]:
    """Return the picture that each recipe starts from. Raises BadInput for pictures or a mask that are none."""
    if isinstance(init, list | tuple):
        if len(init) != count:
            raise BadInput(f"{len(init)} pictures to start from for {count} recipes; one for each is accepted.")
        inits = list(init)
    else:
        inits = [init] * count
    for one in {id(one): one for one in inits}.values():
        require_init(one, mask)
    return inits


class Starts:
    """The autoencoder of a pipeline, asked once for every picture to start from."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.kept: OrderedDict[tuple[str, bool], torch.Tensor] = OrderedDict()
        self.lock = Lock()

    @torch.inference_mode()
    def encode(
        self, inits: Sequence[np.ndarray | None], mask: np.ndarray | None, *, tiled: bool = False
    ) -> Start | None:
        """Return what a batch starts from; None where it starts from noise. tiled: for little memory."""
        given = [init for init in inits if init is not None]
        if not given:
            return None
        latents = torch.stack([self._latents(init, tiled) for init in given])
        if mask is None:
            return Start(latents, None)
        side = mask.shape[0] // latents.shape[-2], mask.shape[1] // latents.shape[-1]
        touched = torch.nn.functional.max_pool2d(torch.from_numpy(mask.copy())[None, None].float(), side)
        return Start(latents, touched.to(latents))

    def _latents(self, init: np.ndarray, tiled: bool) -> torch.Tensor:
        """Encode a picture, [C, h, w]: the mean, as a draw would need a seed of its own."""
        key = hashlib.blake2b(init.tobytes(), digest_size=16).hexdigest() + str(init.shape), tiled
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        vae = in_tiles(self.pipeline.vae) if tiled else self.pipeline.vae
        pixels = torch.from_numpy(init.copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1)
        found = vae.encode(pixels.to(vae.device, vae.dtype))
        mean = found.latent_dist.mean if hasattr(found, "latent_dist") else found.latents
        latents: torch.Tensor = ((mean - (vae.config.get("shift_factor") or 0)) * vae.config.scaling_factor).to(
            self.pipeline.unet.dtype
        )[0]
        with self.lock:
            self.kept[key] = latents
            if len(self.kept) > MAX_KEPT:
                self.kept.popitem(last=False)
        return latents


@torch.inference_mode()
def decode(vae: Any, latents: torch.Tensor, *, tiled: bool = False) -> np.ndarray:
    """Return the pixels of latents [B, C, h, w]: float32 [B, H, W, 3] from 0 to 1. tiled: for little memory."""
    vae = in_tiles(vae) if tiled else vae
    whole = latents.to(vae.dtype) / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0)
    pixels = vae.decode(whole, return_dict=False)[0].float().add(1).div(2).clamp(0, 1)
    return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def can_tile(vae: Any) -> bool:
    """Say whether an autoencoder can work in tiles, and does not do so already."""
    return getattr(vae, "use_tiling", None) is False


def in_tiles(vae: Any) -> Any:
    """Return an autoencoder of the same weights that works in tiles, and leave the one that threads share as it is."""
    other = copy.copy(vae)
    other.enable_tiling()
    return other
