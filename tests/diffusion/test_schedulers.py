from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from painters import make_scheduler

from gencv.core.errors import BadInput
from gencv.diffusion.schedulers import OWN, SCHEDULERS, require_steps, steps_of
from gencv.diffusion.train_starter import make_scheduler as make_cosine

PAINTERS: dict[str, Any] = {
    "linear": make_scheduler(),
    "cosine": make_cosine(),
    "no light at the end": DDIMScheduler(
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    ),
}
"""Schedules of noise by name."""


def denoised(name: str, own: Any, steps: int, run: int) -> torch.Tensor:
    """Follow the last steps from a grey picture, with a network that always says the same."""
    scheduler, timesteps = steps_of(name, own, steps, run)
    latents = scheduler.add_noise(torch.zeros(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.3), timesteps[:1])
    for timestep in timesteps:
        made = torch.full_like(latents, 0.1)
        latents = scheduler.step(made, timestep, scheduler.scale_model_input(latents, timestep), return_dict=False)[0]
    return latents


@pytest.mark.parametrize("own", PAINTERS)
@pytest.mark.parametrize("scheduler", [OWN, *SCHEDULERS])
def test_every_number_of_steps_that_is_accepted_gives_numbers(scheduler: str, own: str) -> None:
    for steps in (1, 2, 3, 4, 10, 30, 229, 999, 1000):
        try:
            require_steps(scheduler, PAINTERS[own], steps)
        except BadInput:
            assert steps == 1000
            continue
        for run in {1, steps} if steps < 100 or steps > 999 else {1}:
            assert torch.isfinite(denoised(scheduler, PAINTERS[own], steps, run)).all(), (steps, run)


@pytest.mark.parametrize("scheduler", ["default", "ddim", "ddpm", "pndm", "dpm++2m", "dpm++2m-sde", "unipc"])
def test_steps_that_cannot_be_spread_are_refused(scheduler: str) -> None:
    with pytest.raises(BadInput, match=f"1,000 steps of the scheduler {scheduler.replace('+', '.')} .* can is 999"):
        require_steps(scheduler, PAINTERS["linear"], 1000)
    short = DDIMScheduler(num_train_timesteps=100, steps_offset=1)
    with pytest.raises(BadInput, match=r"300 steps .* over the 100 that the painter was trained on; .* can is 99\."):
        require_steps(scheduler, short, 300)


def test_the_last_steps_are_run_where_a_scheduler_leaves_some_out() -> None:
    scheduler, timesteps = steps_of("dpm++2m", PAINTERS["cosine"], 1000, 3)
    assert len(scheduler.timesteps) == 996  # those of almost pure noise are left out
    assert timesteps.tolist() == [2, 1, 0] and scheduler.begin_index == 993
