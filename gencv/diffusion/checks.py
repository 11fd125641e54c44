"""What a recipe, a picture to start from, and a mask must be; asked before any work."""

from dataclasses import replace

import numpy as np

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput
from gencv.diffusion.prompts import MAX_CHARACTERS
from gencv.diffusion.schedulers import require_scheduler

MAX_STEPS = 1_000
MAX_SIDE_PX = 4_096
MAX_GUIDANCE = 1_000
STRENGTH, STRENGTH_OF_MASK = 0.8, 1.0
"""Where a recipe names none: with a picture to start from, and with a mask in it."""


def fill_in(
    recipe: Recipe, model: str, size_px: int, init: np.ndarray | None, mask: np.ndarray | None, factor: int
) -> Recipe:
    """Fill in what a recipe leaves to the painter, and check it all. Raises BadInput or UnknownName.

    size_px: the side that the painter was trained on. factor: what sides must be divisible by.
    """
    if recipe.model not in ("", model):
        raise BadInput(f"The recipe is for the painter {recipe.model!r}, and this is {model!r}.")
    height, width = init.shape[:2] if init is not None else (size_px, size_px)
    strength = recipe.strength
    if init is None and strength is not None:
        raise BadInput(f"A strength of {strength} without a picture to start from; give one, or no strength.")
    if init is not None and strength is None:
        strength = STRENGTH if mask is None else STRENGTH_OF_MASK
    done = replace(recipe, model=model, strength=strength, width=recipe.width or width, height=recipe.height or height)
    require_texts(done)
    require_numbers(done)
    require_size(done, init, factor)
    return done


def require_texts(recipe: Recipe) -> None:
    for what, text in (("prompt", recipe.prompt), ("negative prompt", recipe.negative_prompt)):
        if not isinstance(text, str):
            raise BadInput(f"A {what} that is a {type(text).__name__}; a text is accepted.")
        if len(text) > MAX_CHARACTERS:
            raise BadInput(f"A {what} of {len(text):,} characters; at most {MAX_CHARACTERS:,} are accepted.")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadInput(f"A {what} with half a character (a lone surrogate); Unicode text is accepted.")


def require_numbers(recipe: Recipe) -> None:
    require_scheduler(recipe.scheduler)
    steps, strength, guidance = recipe.num_inference_steps, recipe.strength, recipe.guidance_scale
    if not 1 <= steps <= MAX_STEPS or int(steps) != steps:
        raise BadInput(f"{steps} steps; a whole number from 1 to {MAX_STEPS:,} is accepted.")
    if not 0 <= guidance <= MAX_GUIDANCE:
        raise BadInput(f"A guidance scale of {guidance}; from 0 to {MAX_GUIDANCE:,} is accepted, 1 is none.")
    if not 0 <= recipe.seed < 2**63:
        raise BadInput(f"A seed of {recipe.seed}; a whole number from 0 to 2**63 - 1 is accepted.")
    if strength is None:
        return
    if not 0 <= strength <= 1:
        raise BadInput(f"A strength of {strength}; from 0 to 1 is accepted.")
    if not num_steps_run(steps, strength):
        least = -(-10_000 // steps) / 10_000  # rounded up, so that it is accepted
        raise BadInput(
            f"A strength of {strength} leaves none of {steps} steps to run; accepted is {least:g} or more, or more "
            "steps."
        )


def require_size(recipe: Recipe, init: np.ndarray | None, factor: int) -> None:
    width, height = recipe.width, recipe.height
    if min(width, height) < factor or width % factor or height % factor:
        raise BadInput(f"A size of {width} x {height} px; sides that {factor} divides are accepted.")
    if max(width, height) > MAX_SIDE_PX:
        raise BadInput(f"A size of {width} x {height} px; sides of up to {MAX_SIDE_PX:,} px are accepted.")
    if init is not None and init.shape[:2] != (height, width):
        raise BadInput(
            f"The picture to start from has {init.shape[1]} x {init.shape[0]} px and the recipe asks for {width} x "
            f"{height}; crop or resize it first."
        )


def require_init(init: np.ndarray | None, mask: np.ndarray | None) -> None:
    """Raise BadInput for a picture or a mask that is none."""
    if init is not None and (
        not isinstance(init, np.ndarray) or init.dtype != np.uint8 or init.ndim != 3 or init.shape[2] != 3
    ):
        raise BadInput(f"The picture to start from is {_kind(init)}; uint8 RGB [H, W, 3] is accepted.")
    if mask is None:
        return
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        raise BadInput(f"The mask is {_kind(mask)}; bool [H, W] is accepted, True where to paint anew.")
    if init is None:
        raise BadInput("A mask without a picture to start from; give both.")
    if mask.shape != init.shape[:2]:
        raise BadInput(
            f"The mask has {mask.shape[1]} x {mask.shape[0]} px and the picture {init.shape[1]} x {init.shape[0]}; "
            "they must agree."
        )
    if not mask.any():
        raise BadInput("The mask is empty: nothing is to be painted anew.")


def num_steps_run(steps: int, strength: float | None) -> int:
    """Return how many of the steps are run, as diffusers counts them."""
    return steps if strength is None else min(int(steps * strength), steps)


def _kind(given: object) -> str:
    return f"{given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else f"a {type(given).__name__}"
