"""Recipes by the sheet: every combination of some axes, or a file of recipes."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput

AXES = ("prompt", "seed", "strength", "guidance_scale", "num_inference_steps", "scheduler")
"""Fields of a recipe that a sweep goes over, the slowest first."""

MAX_CELLS = 1_000_000

STYLES = (
    "a watercolour painting",
    "pixel art",
    "an oil painting",
    "a pencil drawing",
    "an anime drawing",
    "a comic book panel",
    "a stained glass window",
    "a clay figure",
    "a paper collage",
    "a woodcut print",
    "a mosaic",
    "a low polygon rendering",
)

SHEETS: dict[str, dict[str, tuple[Any, ...]]] = {
    "parameters": {"strength": (0.3, 0.6, 0.8, 1.0), "guidance_scale": (2.0, 7.5, 20.0), "num_inference_steps": (40,)},
    "prompts": {"style": STYLES},
}
"""Sweeps that show what a painter does: with a picture by strength and guidance, and in styles."""

KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "negative_prompt", "scheduler", "model"), (str,)),
    **dict.fromkeys(("seed", "num_inference_steps", "width", "height"), (int,)),
    "guidance_scale": (int, float),
    "strength": (int, float, type(None)),
}
"""What the fields of a recipe may be."""


def sweep(base: Recipe, axes: Mapping[str, Sequence[Any]]) -> list[Recipe]:
    """Return every combination of the values of AXES, the last axis fastest; an axis without values is `base`'s.

    An axis `style` puts every prompt in every style. Raises BadInput for too many combinations, or a value that comes
    twice.
    """
    chosen = {name: tuple(axes.get(name) or (getattr(base, name),)) for name in AXES}
    if styles := axes.get("style"):
        chosen["prompt"] = tuple(in_styles(chosen["prompt"], styles))
    values = list(chosen.values())
    for name, given in zip(AXES, values, strict=True):
        if len(set(given)) < len(given):
            raise BadInput(f"The sweep has a {name.replace('_', ' ')} twice; each value is painted once.")
    count = 1
    for given in values:
        count *= len(given)
    if count > MAX_CELLS:
        raise BadInput(f"A sweep of {count:,} pictures; at most {MAX_CELLS:,} are accepted in one run.")
    return [replace(base, **dict(zip(AXES, taken, strict=True))) for taken in product(*values)]


def in_styles(prompts: Sequence[str], styles: Sequence[str]) -> list[str]:
    """Return every prompt in every style, as in "a red apple, as pixel art"; a style alone for an empty prompt."""
    return [f"{prompt}, as {style}" if prompt else style for prompt in prompts for style in styles]


def varied(recipes: Sequence[Recipe]) -> dict[str, list[Any]]:
    """Return the axes along which recipes differ, and their values in the order in which they come."""
    found = {name: list(dict.fromkeys(getattr(one, name) for one in recipes)) for name in AXES}
    return {name: values for name, values in found.items() if len(values) > 1}


def read_recipes(data: bytes, suffix: str) -> list[Any]:
    """Read the entries of a file: .json (a list), .jsonl (one a line), or .txt (a prompt a line), in UTF-8.

    What they say is asked one by one, in `recipe_of`, so that a bad one fails alone. Raises BadInput where the file as
    a whole cannot be read.
    """
    if suffix not in READERS:
        raise BadInput(f"A file of recipes ends with {suffix or 'nothing'}; .json, .jsonl, and .txt are accepted.")
    try:
        entries = READERS[suffix](data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"The file of recipes is no text in UTF-8: {error.reason} at byte {error.start:,}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The recipes are no JSON: {error}.") from None
    if not isinstance(entries, list) or not entries:
        raise BadInput('The file of recipes holds none; a list of objects like {"prompt": "a cat"} is accepted.')
    return entries


def lines_of(text: str) -> list[tuple[int, str]]:
    """Return the lines that are not empty and their numbers; `str.splitlines` would cut at U+2028 in a text as well."""
    return [(number, line.strip()) for number, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip()]


def json_lines(text: str) -> list[Any]:
    """Read a JSON a line. Raises ValueError with the number of the line."""
    found = []
    for number, line in lines_of(text):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{str(error).partition(': line')[0]} in line {number}") from None
    return found


def recipe_of(entry: Any, base: Recipe) -> Recipe:
    """Return the recipe that an entry of a file says, the rest from `base`. Raises BadInput in one sentence."""
    if not isinstance(entry, dict):
        raise BadInput(f'A recipe that is a {type(entry).__name__}; an object like {{"prompt": "a cat"}} is accepted.')
    for name, value in entry.items():
        if name not in KINDS:
            raise BadInput(f"A recipe with {name!r}; known are {', '.join(KINDS)}.")
        if not isinstance(value, KINDS[name]) or isinstance(value, bool):
            wanted = {str: "a text", int: "a whole number"}.get(KINDS[name][-1], "a number")
            raise BadInput(f"A recipe whose {name} is {value!r}; {wanted} is accepted.")
    return replace(base, **entry)


READERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".jsonl": json_lines,
    ".txt": lambda text: [{"prompt": line} for _, line in lines_of(text)],
}
"""Kinds of files of recipes."""
