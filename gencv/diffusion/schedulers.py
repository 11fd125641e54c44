"""Schedulers by name: in which steps noise turns into a picture."""

from typing import Any

import diffusers

from gencv.core.errors import UnknownName

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
