"""From noise to latents: one batch of recipes that agree in their steps, each row by itself in all else.

Prompts, seeds, and guidance differ from row to row. A row's noise, the first and what some schedulers add on their way,
comes from a generator of its own on the CPU, so that neither the batch nor the device changes it.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gencv.core.contracts import Recipe
from gencv.diffusion.checks import num_steps_run
from gencv.diffusion.prompts import Encoded
from gencv.diffusion.reuse import ReusingUnet
from gencv.diffusion.schedulers import steps_of


class Stopped(Exception):
    """Somebody asked to stop; never leaves the painter."""


@dataclass(frozen=True)
class Start:
    """What a batch starts from."""

    latents: torch.Tensor
    """[B, C, h, w], scaled as the UNet wants them."""
    mask: torch.Tensor | None
    """float [1, 1, h, w], 1 where to paint anew; None for everywhere."""


def batch_key(recipe: Recipe) -> tuple[Any, ...]:
    """Return what the rows of one batch share."""
    strength = None if recipe.strength is None else num_steps_run(recipe.num_inference_steps, recipe.strength)
    is_whole, is_guided = recipe.strength == 1, recipe.guidance_scale > 1
    size = recipe.width, recipe.height
    return recipe.model, *size, recipe.scheduler, recipe.num_inference_steps, strength, is_whole, is_guided


@torch.inference_mode()
def denoise(
    pipeline: Any,
    recipes: Sequence[Recipe],
    wanted: Sequence[Encoded],
    unwanted: Sequence[Encoded],
    start: Start | None,
    *,
    reuse_interval: int = 1,
    on_step: Callable[[], None] = lambda: None,
    on_latents: Callable[[torch.Tensor], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Return the latents of B recipes, [B, C, h, w]; wanted, unwanted: their prompts and negative prompts.

    on_latents: told after each question to the UNet what the latents will be, as far as it knows by then, [B, C, h, w].
    Raises Stopped where `cancelled` says True before a step.
    """
    recipe, device, dtype = recipes[0], pipeline.unet.device, pipeline.unet.dtype
    scheduler, timesteps = laid_out(pipeline, recipe, device)
    generators = [torch.Generator("cpu").manual_seed(one.seed) for one in recipes]
    factor = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    shape = (pipeline.vae.config.latent_channels, recipe.height // factor, recipe.width // factor)
    noise = torch.stack([torch.randn(shape, generator=one) for one in generators]).to(device, dtype)
    if start is None or (start.mask is not None and recipe.strength == 1):
        latents = noise * scheduler.init_noise_sigma
    else:
        latents = scheduler.add_noise(start.latents, noise, timesteps[:1].repeat(len(noise)))
    scale = torch.tensor([one.guidance_scale for one in recipes], device=device, dtype=dtype).view(-1, 1, 1, 1)
    is_guided = recipe.guidance_scale > 1
    text, added = conditions(pipeline, recipe, [*unwanted, *wanted] if is_guided else wanted, dtype)
    unet = ReusingUnet(pipeline.unet, reuse_interval)
    draws = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for number, timestep in enumerate(timesteps):
        if cancelled():
            raise Stopped
        seen = torch.cat([latents, latents]) if is_guided else latents
        made = unet(scheduler.scale_model_input(seen, timestep).to(dtype), timestep, text, added)
        if is_guided:
            without, by_prompt = made.chunk(2)
            made = without + scale * (by_prompt - without)
        if on_latents is not None:
            guess = expected(scheduler, made, scheduler.scale_model_input(latents, timestep), timestep)
            if start is not None and start.mask is not None:
                guess = start.mask * guess + (1 - start.mask) * start.latents
            on_latents(guess)
        latents = scheduler.step(made, timestep, latents, **draws, return_dict=False)[0].to(dtype)
        if start is not None and start.mask is not None:
            kept = start.latents
            if number + 1 < len(timesteps):
                kept = scheduler.add_noise(kept, noise, timesteps[number + 1 : number + 2].repeat(len(noise)))
            latents = start.mask * latents + (1 - start.mask) * kept
        on_step()
    final: torch.Tensor = latents
    return final


def expected(scheduler: Any, made: torch.Tensor, seen: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Return the latents without noise that a prediction amounts to, [B, C, h, w].

    seen: what the UNet was shown: sqrt(a) x + sqrt(1 - a) noise under every scheduler, after `scale_model_input`.
    Source: Salimans and Ho 2022, arXiv:2202.00512.
    """
    if hasattr(scheduler, "sigmas"):  # also where they are none of the timesteps', as Karras'
        place = scheduler.step_index if scheduler.step_index is not None else scheduler.begin_index
        kept = 1 / (1 + float(scheduler.sigmas[place]) ** 2)
    else:
        kept = float(scheduler.alphas_cumprod[int(timestep)])
    kept = max(kept, 1e-6)
    noise = (1 - kept) ** 0.5 * made
    found: dict[str, torch.Tensor] = {
        "epsilon": (seen - noise) / kept**0.5,
        "v_prediction": kept**0.5 * seen - noise,
        "sample": made,
    }
    return found[scheduler.config.get("prediction_type", "epsilon")]


def conditions(
    pipeline: Any, recipe: Recipe, prompts: Sequence[Encoded], dtype: torch.dtype
) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
    """Return the UNet's text [B, T, D], and what SDXL adds: the pooled prompts [B, P] and the sizes [B, 6]."""
    text = torch.stack([one.tokens for one in prompts]).to(dtype)
    if prompts[0].pooled is None:
        return text, None
    pooled = torch.stack([one.pooled for one in prompts if one.pooled is not None]).to(dtype)
    size = (recipe.height, recipe.width)
    sizes = torch.tensor([[*size, 0, 0, *size]], device=text.device, dtype=dtype).repeat(len(prompts), 1)
    return text, {"text_embeds": pooled, "time_ids": sizes}


def num_calls(pipeline: Any, recipe: Recipe) -> int:
    """Return how many times a batch of that recipe asks the UNet; some schedulers ask twice a step."""
    return len(laid_out(pipeline, recipe, "cpu")[1])


def laid_out(pipeline: Any, recipe: Recipe, device: str | torch.device) -> tuple[Any, torch.Tensor]:
    """Return a recipe's scheduler, before the first of its steps, and their timesteps, [T]."""
    steps = recipe.num_inference_steps
    return steps_of(recipe.scheduler, pipeline.scheduler, steps, num_steps_run(steps, recipe.strength), device)
