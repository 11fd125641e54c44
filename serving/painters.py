"""The painters' own copies, each with the painters that were asked of it last, and how the others reach them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from gencv.mockup.making import Made
from gencv.services.mockup import Mockups
from gencv.services.orders import Accepted, Event, MockupOrder, Order, Painted, Partial
from serving import errors
from serving.calls import MAX_TRIES, call, stream
from serving.loading import Loads
from serving.metrics import batch_sizes, count_waiting, stages
from serving.orders import DiffusionSettings
from serving.pictures import limits_of

MAX_LOADED = 2
"""Painters in one copy of them; the one that was asked for the longest ago goes first."""


class Service(Protocol):
    """Who paints; `Painters` behind a handle, or a studio of this process."""

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        """Give what happens to an order; who stops listening has left. Raises GencvError."""
        ...

    async def check(self, model: str, order: Order | MockupOrder) -> None:
        """Raise the GencvError for which an order would be refused."""
        ...

    async def mockup(self, model: str, order: MockupOrder) -> Made:
        """Make a mockup; model: who paints a scene. Raises GencvError."""
        ...

    async def verify(self, data: bytes) -> dict[str, Any]:
        """Return what a file says of where it comes from. Raises BadImage."""
        ...

    async def ready(self) -> dict[str, Any]: ...


class Painters:
    """Painters, each loaded when it is first asked for, and those who wait for them."""

    def __init__(self, settings: DiffusionSettings) -> None:
        import torch

        self.settings = settings
        self.limits = limits_of(settings.door)
        self.loads, self.mockups = Loads(), Mockups(self.limits)
        if settings.threads:
            torch.set_num_threads(settings.threads)

    @serve.multiplexed(max_num_models_per_replica=MAX_LOADED)
    async def loaded(self, name: str) -> Any:
        from gencv.services.diffusion import open_studio

        settings = self.settings
        opening = partial(
            open_studio,
            settings.painters[name],
            device=settings.device,
            speed=settings.speed,
            batch_size=settings.replicas.max_batch,
            limits=self.limits,
        )
        studio = await self.loads(name, opening)
        studio.on_batch, studio.on_waiting = noted, count_waiting("diffusion", name)
        return studio

    async def paint(self, order: Order) -> AsyncGenerator[Event, None]:
        studio = await self.with_room(len(order.recipes))
        began = time.perf_counter()
        async with aclosing(studio.events(order)) as events:
            async for one in events:
                yield one
        stages().observe(time.perf_counter() - began, {"application": "diffusion", "stage": "paint"})

    async def with_room(self, num_pictures: int) -> Any:
        """Return the studio that a call is for. Raises Busy where so many more may not wait in it."""
        studio = await self.loaded(serve.get_multiplexed_model_id())
        if studio.num_pictures + num_pictures > self.settings.max_waiting:
            raise errors.Busy(max(1, round(studio.eta_s() or 2)))
        return studio

    async def check(self, order: Order | MockupOrder) -> None:
        if isinstance(order, MockupOrder):
            await asyncio.to_thread(self.mockups.check, order)
            return
        studio = await self.loaded(serve.get_multiplexed_model_id())
        await asyncio.to_thread(studio.check, order)

    async def mockup(self, order: MockupOrder) -> Made:
        return await self.mockups.make(order, await self.with_room(1) if order.scene else None)

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

    async def check(self, model: str, order: Order | MockupOrder) -> None:
        await call(self.painters, "check", order, multiplexed_model_id=model)

    async def mockup(self, model: str, order: MockupOrder) -> Made:
        made: Made = await call(self.painters, "mockup", order, multiplexed_model_id=model)
        return made

    async def verify(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.painters, "verify", data)
        return found

    async def ready(self) -> dict[str, Any]:
        first = self.settings.first
        return {"painters": {first: await call(self.painters, "weights", multiplexed_model_id=first)}}
