"""What a request of /v1 amounts to: an order for the painters, within what the settings allow."""

import secrets
from dataclasses import replace
from math import prod
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gencv.core.contracts import Recipe
from gencv.core.errors import UnknownName
from gencv.diffusion.sweep import sweep
from gencv.mockup.scenes import scenes
from gencv.mockup.templates import TEMPLATES
from gencv.services.orders import MockupOrder, Order
from serving import errors, pictures
from serving.images import Asked, Axes, Edit, Generation, Mockup, Variation
from serving.requests import validated
from serving.settings import Settings

MAX_SIDE_PX = 4_096
MAX_SWEPT = 64
"""Pictures of a sweep."""


class Jobs(BaseModel):
    """What is kept of work that outlives its request."""

    model_config = ConfigDict(extra="forbid")

    folder: str = ""
    """A folder or URI, one copy of the applications to each; "" accepts no jobs."""
    days: float = Field(7, ge=0, le=36_500)
    """A job is deleted when it was finished so long ago; 0 keeps all."""
    max_queued: int = Field(64, ge=1)
    """Jobs that may wait; more are answered 429."""


class DiffusionSettings(Settings):
    """What /v1 is started with."""

    painters: dict[str, str] = Field(min_length=1)
    """Names, which requests give as `model`, and what each is: starter, an alias, a hub id, or a diffusers folder."""
    default: str = ""
    """Who paints where a request names none; "" is the first."""
    speed: str = "exact"
    device: str = "auto"
    threads: int = Field(0, ge=0)
    """Of a copy of the painters, on a CPU; 0 is what Ray gives it, which is one where it has less than two CPUs."""
    num_inference_steps: int = Field(30, ge=1, le=1_000)
    guidance_scale: float = Field(7.5, ge=0)
    """Where a request says neither."""
    max_steps: int = Field(100, ge=1, le=1_000)
    max_side_px: int = Field(1_024, ge=64, le=MAX_SIDE_PX)
    max_waiting: int = Field(64, ge=1)
    """Pictures that may wait in a copy of the painters; more are answered 429."""

    def model_post_init(self, context: Any) -> None:
        if self.default and self.default not in self.painters:
            raise ValueError(f"default is {self.default}, which is none of the painters.")

    jobs: Jobs = Jobs()

    @property
    def first(self) -> str:
        return self.default or next(iter(self.painters))


def known_model(name: str, settings: DiffusionSettings) -> str:
    """Return the name of a painter. Raises Refused for another one: no name of a request is ever opened."""
    if name not in settings.painters:
        raise errors.Refused(
            404, "model_not_found", f"There is no model {name!r}; known: {', '.join(settings.painters)}.", "model"
        )
    return name


def ordered(
    asked: Generation | Edit | Variation,
    settings: DiffusionSettings,
    init: bytes | None = None,
    mask: bytes | None = None,
) -> Order:
    """Return what a request amounts to. Raises Refused for what the settings do not allow."""
    steps = asked.num_inference_steps or settings.num_inference_steps
    if steps > settings.max_steps:
        refuse("num_inference_steps", f"{steps} steps; at most {settings.max_steps} are accepted.")
    width, height = (0, 0) if asked.size == "auto" else map(int, asked.size.split("x"))
    if max(width, height) > settings.max_side_px or (asked.size != "auto" and not min(width, height)):
        refuse("size", f"A size of {asked.size} px; sides of 1 to {settings.max_side_px} px are accepted.")
    if asked.partial_images and not asked.stream:
        refuse("partial_images", "partial_images come in a stream; say stream=true, or leave them out.")
    guidance = settings.guidance_scale if asked.guidance_scale is None else asked.guidance_scale
    recipe = Recipe(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        num_inference_steps=steps,
        # Without any words there is nothing to be led to, and half of the work is saved.
        guidance_scale=guidance if asked.prompt or asked.negative_prompt else 1.0,
        strength=getattr(asked, "strength", None),
        scheduler=asked.scheduler,
        width=width,
        height=height,
    )
    return Order(
        recipes=tuple(replace(recipe, seed=seed) for seed in seeds_of(asked)),
        init=init,
        mask=mask,
        format=asked.output_format,
        quality=max(1, asked.output_compression),
        num_partials=asked.partial_images,
        tells_steps=asked.stream,
    )


def swept(base: Generation | Edit, axes: Axes, order: Order) -> Order:
    """Return the order of a sweep around that of a single request. Raises Refused, and BadInput for a value twice."""
    if axes.seed and base.n > 1:
        refuse("n", "A sweep's seeds say how many pictures there are of each; leave n out, or seed.")
    values = axes.model_dump(exclude_none=True)
    values["seed"] = axes.seed or [recipe.seed for recipe in order.recipes]
    if (count := prod(map(len, values.values()))) > MAX_SWEPT:
        refuse("request", f"A sweep of {count:,} pictures; at most {MAX_SWEPT} are accepted.")
    return replace(order, recipes=tuple(sweep(order.recipes[0], values)))


def mockup_ordered(asked: Mockup, product: bytes) -> MockupOrder:
    """Return what a mockup's request amounts to. Raises UnknownName: nothing but what comes with gencv is opened."""
    if asked.template and asked.template not in TEMPLATES:
        raise UnknownName("template", asked.template, TEMPLATES)
    if asked.scene and asked.scene not in scenes():
        raise UnknownName("scene", asked.scene, scenes())
    said = asked.model_dump(include={"template", "scene", "fit", "art", "seed"})
    return MockupOrder(product=product, format=asked.output_format, quality=max(1, asked.output_compression), **said)


def job_ordered(kind: str, request: dict[str, Any], settings: DiffusionSettings) -> tuple[str, Order | MockupOrder]:
    """Return who paints a job, and what: its request is the body of its endpoint, files as base64. Raises Refused."""
    needed, others = FILES[kind]
    names = [*needed, *(name for name in others if request.get(name) is not None)]
    files = {name: file_in(request, name) for name in names}
    said = {name: value for name, value in request.items() if name not in (*needed, *others)}
    if kind == "mockup":
        mockup: Mockup = validated(Mockup, said)
        return known_model(mockup.model or settings.first, settings), mockup_ordered(mockup, files["product"])
    axes: Axes | None = None
    if kind == "sweep":
        axes = validated(Axes, {name: said.pop(name) for name in Axes.model_fields if name in said})
    asked: Generation | Edit | Variation = validated(MODELS.get(kind, Edit if files else Generation), said)
    if asked.stream:
        refuse("stream", "A job is followed by its events; leave stream out.")
    order = ordered(asked, settings, files.get("image"), files.get("mask"))
    if axes and not isinstance(asked, Variation):
        order = swept(asked, axes, order)
    return known_model(asked.model or settings.first, settings), order


MODELS: dict[str, type[Asked]] = {"generation": Generation, "edit": Edit, "variation": Variation}
FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "generation": ((), ()),
    "edit": (("image",), ("mask",)),
    "variation": (("image",), ()),
    "mockup": (("product",), ()),
    "sweep": ((), ("image", "mask")),
}
"""Kinds of jobs, the files that each needs, and those that it may have."""


def file_in(request: dict[str, Any], name: str) -> bytes:
    """Return a file out of JSON. Raises Refused."""
    text = request.get(name)
    if not isinstance(text, str):
        code = "missing_parameter" if text is None else "invalid_parameter"
        raise errors.Refused(400, code, f"Give one picture as {name}, base64 or a data: URL.", name)
    ((_, data),) = pictures.from_base64([text], name, 1)
    return data


def seeds_of(asked: Asked) -> list[int]:
    """Return a seed for each picture. Raises Refused for as many as there are no pictures."""
    given = asked.seed or [secrets.randbelow(2**32)]
    if len(given) == 1:
        return [given[0] + number for number in range(asked.n)]
    if ("n" in asked.model_fields_set and len(given) != asked.n) or len(given) > 10:
        refuse("seed", f"{len(given)} seeds for n={asked.n}; one, or one for each picture, is accepted.")
    return given


def refuse(param: str, message: str) -> None:
    raise errors.Refused(400, "invalid_parameter", message, param)
