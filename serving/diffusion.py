"""/v1: pictures from prompts, as OpenAI's Images API has them, with more that a request may say.

    curl http://127.0.0.1:8000/v1/images/generations -H "content-type: application/json" \
      -d '{"prompt": "a red apple on a white background", "seed": 7}'

`build_api` is HTTP over a service and knows no Ray; `build` deploys it: copies of the API in front of copies of the
painters, which are loaded by name as they are asked for. A picture follows from its request alone, seeds included, so
what a copy that died leaves undone another one paints.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

from fastapi import FastAPI, Request
from pydantic import Field
from ray import serve
from ray.exceptions import RayActorError
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.responses import JSONResponse, Response

from gencv.core.contracts import Recipe
from gencv.services.orders import Accepted, Event, Order, Painted, Partial, Stepped
from serving import errors, pictures
from serving.api import new_api
from serving.calls import MAX_TRIES, call, stream
from serving.events import DONE, Events, comment, event, failed, unless_gone
from serving.images import (
    Asked,
    Edit,
    Generation,
    Variation,
    Verification,
    base64_of,
    body_of,
    common,
    filtered,
    item_of,
    media_type,
    texts_of,
    usage_of,
)
from serving.metrics import batch_sizes, stages
from serving.requests import validated
from serving.settings import Settings

MAX_LOADED = 2
"""Painters in one copy of them; the one that was asked for the longest ago goes first."""
MAX_SIDE_PX = 4_096


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

    @property
    def first(self) -> str:
        return self.default or next(iter(self.painters))


class Service(Protocol):
    """Who paints; `Painters` behind a handle, or a studio of this process."""

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        """Give what happens to an order; who stops listening has left. Raises GencvError."""
        ...

    async def verify(self, data: bytes) -> dict[str, Any]:
        """Return what a file says of where it comes from. Raises BadImage."""
        ...

    async def ready(self) -> dict[str, Any]: ...


def build_api(service: Service, settings: DiffusionSettings) -> FastAPI:
    """Return the application; see `Service`."""
    api = new_api("diffusion", "gencv diffusion", __doc__ or "", settings.door, service.ready)
    since = int(time.time())

    def model_of(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": since, "owned_by": "gencv"}

    @api.get("/models")
    async def models() -> dict[str, Any]:
        """List who can paint."""
        return {"object": "list", "data": [model_of(name) for name in settings.painters]}

    @api.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """Say that a painter is there."""
        return model_of(known_model(name, settings))

    @api.post("/images/generations", openapi_extra={"requestBody": body_of(Generation)})
    async def generations(request: Request) -> Response:
        """Paint pictures of a prompt."""
        if media_type(request) != "application/json":
            raise errors.Refused(415, "unsupported_media_type", "Send application/json.")
        asked = validated(Generation, await request.body())
        return await answer(request, asked, ordered(asked, settings), "image_generation")

    @api.post("/images/edits", openapi_extra={"requestBody": body_of(Edit, "image", "mask")})
    async def edits(request: Request) -> Response:
        """Paint a picture anew, or what a mask leaves open of it: its transparent px, as OpenAI has it."""
        asked, init, mask = await read(request, Edit)
        return await answer(request, asked, ordered(asked, settings, init, mask), "image_edit")

    @api.post("/images/variations", openapi_extra={"requestBody": body_of(Variation, "image")})
    async def variations(request: Request) -> Response:
        """Paint pictures like one."""
        asked, init, _ = await read(request, Variation)
        return await answer(request, asked, ordered(asked, settings, init), "image_edit")

    @api.post("/provenance/verify", openapi_extra={"requestBody": body_of(Verification, "image")})
    async def verify(request: Request) -> dict[str, Any]:
        """Say what a picture says of where it comes from: its parameters, credentials, and watermark."""
        _, image, _ = await read(request, Verification)
        return await service.verify(image)

    async def answer(request: Request, asked: Asked, order: Order, kind: str) -> Response:
        name = known_model(asked.model or settings.first, settings)
        events = service.paint(name, order)
        if not asked.stream:
            return JSONResponse(await unless_gone(request, whole(events, asked)))
        try:
            accepted = await unless_gone(request, first_of(events))
        except BaseException:
            await events.aclose()
            raise
        return Events(told(events, accepted, asked, kind, len(order.recipes)))

    return api


def known_model(name: str, settings: DiffusionSettings) -> str:
    """Return the name of a painter. Raises Refused for another one: no name of a request is ever opened."""
    if name not in settings.painters:
        raise errors.Refused(
            404, "model_not_found", f"There is no model {name!r}; known: {', '.join(settings.painters)}.", "model"
        )
    return name


async def read(request: Request, model: type[Any]) -> tuple[Any, bytes, bytes | None]:
    """Return what a form says, its picture, and its mask. Raises Refused."""
    if media_type(request) != "multipart/form-data":
        raise errors.Refused(415, "unsupported_media_type", "Send multipart/form-data.")
    async with request.form(max_files=4) as form:
        ((_, image),) = await pictures.from_form(form, "image", 1)
        takes_mask = model is Edit
        mask = None
        if takes_mask and "mask" in form:
            ((_, mask),) = await pictures.from_form(form, "mask", 1)
        return validated(model, texts_of(form, "image", *(["mask"] if takes_mask else []))), image, mask


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


async def first_of(events: AsyncGenerator[Event, None]) -> Accepted:
    """Wait until an order is accepted, or raise why it is not."""
    accepted = await anext(events)
    assert isinstance(accepted, Accepted)
    return accepted


async def whole(events: AsyncGenerator[Event, None], asked: Asked) -> dict[str, Any]:
    """Wait for all pictures and return the answer. Raises ContentFiltered where none of them is shown."""
    async with aclosing(events):
        accepted = await first_of(events)
        found = [one async for one in events if isinstance(one, Painted)]
    if all(one.data is None for one in found):
        raise filtered(found)
    items = [item_of(one, asked) for one in sorted(found, key=lambda one: one.place)]
    return {"created": int(time.time()), "data": items, **common(accepted, asked), "usage": usage_of(accepted)}


async def told(
    events: AsyncGenerator[Event, None], accepted: Accepted, asked: Asked, kind: str, count: int
) -> AsyncGenerator[bytes, None]:
    """Give a stream's lines: an event for each picture, and comments, which clients skip, for each step.

    n pictures make n `completed`, each with its `image_index`.
    """
    found: list[Painted] = []
    async with aclosing(events):
        try:
            yield comment(f"accepted; pictures ahead: {accepted.ahead}")
            async for one in events:
                facts = common(accepted, asked) | {"created_at": int(time.time())}
                if isinstance(one, Stepped):
                    yield comment(f"step {one.done}/{one.total}")
                elif isinstance(one, Partial):
                    where = {"partial_image_index": one.number, "image_index": one.place}
                    yield event(f"{kind}.partial_image", facts | where | {"b64_json": base64_of(one.data)})
                elif isinstance(one, Painted):
                    found.append(one)
                    if len(found) == count and all(each.data is None for each in found):
                        raise filtered(found)
                    about: dict[str, Any] = {"image_index": one.place, "usage": usage_of(accepted)}
                    yield event(f"{kind}.completed", facts | about | item_of(one))
            yield DONE
        except Exception as error:
            yield failed(error)


class Painters:
    """Painters, each loaded when it is first asked for, and those who wait for them."""

    def __init__(self, settings: DiffusionSettings) -> None:
        import torch

        from gencv.images.decode import Limits

        self.settings = settings
        self.limits = Limits(
            max_bytes=int(settings.door.max_body_mb * 2**20), max_pixels=int(settings.door.max_megapixels * 1e6)
        )
        if settings.threads:
            torch.set_num_threads(settings.threads)

    @serve.multiplexed(max_num_models_per_replica=MAX_LOADED)
    async def loaded(self, name: str) -> Any:
        from gencv.services.diffusion import open_studio

        settings = self.settings
        studio = await asyncio.to_thread(
            open_studio,
            settings.painters[name],
            device=settings.device,
            speed=settings.speed,
            batch_size=settings.replicas.max_batch,
            limits=self.limits,
        )
        studio.on_batch = noted
        return studio

    async def paint(self, order: Order) -> AsyncGenerator[Event, None]:
        studio = await self.loaded(serve.get_multiplexed_model_id())
        if studio.num_pictures + len(order.recipes) > self.settings.max_waiting:
            raise errors.Busy(max(1, round(studio.eta_s() or 2)))
        began = time.perf_counter()
        async with aclosing(studio.events(order)) as events:
            async for one in events:
                yield one
        stages().observe(time.perf_counter() - began, {"application": "diffusion", "stage": "paint"})

    async def verify(self, data: bytes) -> dict[str, Any]:
        from gencv.services.diffusion import verify

        return await asyncio.to_thread(verify, data, self.limits)

    async def weights(self) -> str:
        studio = await self.loaded(serve.get_multiplexed_model_id())
        digest: str = studio.weights
        return digest


def noted(size: int) -> None:
    batch_sizes().observe(size, {"application": "diffusion"})


class Remote:
    """The `Service` behind a handle."""

    def __init__(self, painters: DeploymentHandle, settings: DiffusionSettings) -> None:
        self.painters, self.settings = painters, settings

    async def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        """Paint; what a copy that died has not finished is asked of another one, and is the same picture."""
        left = list(range(len(order.recipes)))
        accepted = False
        for tries in reversed(range(MAX_TRIES)):
            places = tuple(left)
            part = replace(order, recipes=tuple(order.recipes[place] for place in places))
            try:
                async with aclosing(stream(self.painters, "paint", part, multiplexed_model_id=model)) as events:
                    async for one in events:
                        if isinstance(one, Accepted):
                            if accepted:
                                continue
                            accepted = True
                        elif isinstance(one, Painted | Partial):
                            one = replace(one, place=places[one.place])
                            if isinstance(one, Painted):
                                left.remove(one.place)
                        yield one
                return
            except RayActorError:
                if not tries:
                    raise

    async def verify(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.painters, "verify", data)
        return found

    async def ready(self) -> dict[str, Any]:
        first = self.settings.first
        return {"painters": {first: await call(self.painters, "weights", multiplexed_model_id=first)}}


@serve.ingress()  # late-bound: the application is made in the replica
class Diffusion:
    """The API, in a process without a painter."""

    def __init__(self, painters: DeploymentHandle, settings: DiffusionSettings) -> None:
        self.service, self.settings = Remote(painters, settings), settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.service, self.settings)


def build(args: DiffusionSettings) -> Application:
    """Return the application for Serve, as serving/config.yaml names it."""
    settings = args.from_environment("GENCV_DIFFUSION_")
    painters = serve.deployment(name="painters", **settings.replicas.options())(Painters).bind(settings)
    return serve.deployment(name="diffusion", **settings.api_options())(Diffusion).bind(painters, settings)
