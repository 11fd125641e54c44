"""Schedulers by name: in which steps noise turns into a picture."""

from typing import Any

import diffusers
import torch

from gencv.core.errors import BadInput, UnknownName

OWN = "default"
"""The painter's own scheduler."""


def require_scheduler(name: str) -> None:
    """Raise UnknownName for a name that means nothing."""
    if name != OWN and name not in SCHEDULERS:
        raise UnknownName("scheduler", name, [OWN, *SCHEDULERS])


def make_scheduler(name: str, own: Any) -> Any:
    """Return a new scheduler, so that no two batches share its state.

    own: the painter's, whose noise and kind of prediction it takes over. It is asked for nothing else, so it may be
    shared between threads.
    """
    require_scheduler(name)
    if name == OWN:
        return type(own).from_config(own.config)
    made, changes = SCHEDULERS[name]
    changes = dict(changes)
    if own.config.get("beta_schedule") == "squaredcos_cap_v2" and "DPMSolver" in made:
        changes["lambda_min_clipped"] = -5.1  # what its authors ask for with cosine schedules, which end in pure noise
    # `trained_betas` and the like pass; what the class does not know it leaves.
    return getattr(diffusers, made).from_config(own.config, **changes)


def steps_of(name: str, own: Any, steps: int, run: int, device: str | torch.device = "cpu") -> tuple[Any, torch.Tensor]:
    """Return a new scheduler that stands before the last `run` of its steps, and the timesteps of these, [T]."""
    scheduler = make_scheduler(name, own)
    scheduler.set_timesteps(steps, device=device)
    if type(scheduler).__name__ == "EulerAncestralDiscreteScheduler":
        # A cosine schedule begins at a sigma of 20,000. How far to step from it is a root of a difference that float32
        # may round below 0.
        scheduler.sigmas = scheduler.sigmas.double()
    lost = max(0, steps - len(scheduler.timesteps))  # of several hundred, `lambda_min_clipped` leaves some out
    begin = max(0, steps - run - lost) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):  # else looked up by the timestep, of which Karras' spacing has several
        scheduler.set_begin_index(begin)
    return scheduler, scheduler.timesteps[begin:]


def require_steps(name: str, own: Any, steps: int) -> None:
    """Raise BadInput where a scheduler cannot spread that many steps over those that the painter was trained on."""
    if not _are_spread(name, own, steps):
        trained = int(own.config.num_train_timesteps)
        fewer = next((one for one in range(min(steps - 1, trained), 0, -1) if _are_spread(name, own, one)), 0)
        raise BadInput(
            f"{steps:,} steps of the scheduler {name} cannot be spread over the {trained:,} that the painter was "
            f"trained on; the next number that can is {fewer:,}."
        )


def _are_spread(name: str, own: Any, steps: int) -> bool:
    scheduler = make_scheduler(name, own)
    try:
        scheduler.set_timesteps(steps)
    except (ValueError, IndexError):
        return False
    if scheduler.order == 1 and hasattr(scheduler, "sigmas") and not bool(scheduler.sigmas[:-2].diff().all()):
        return False  # two steps at one sigma, by whose distance all but the last step would divide
    first, last = float(scheduler.timesteps[0]), float(scheduler.timesteps[-1])
    return first < scheduler.config.num_train_timesteps and (first > last or steps == 1)


SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpm++2m-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "dpm++2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
}
"""A class of diffusers and what it changes of the painter's own configuration."""
