"""All applications in one process without Ray, as one server: what the page's tests open in a browser."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from gencv.images.decode import Limits
from gencv.mockup.making import Made
from gencv.provenance import stamp
from gencv.services.desk import Desk
from gencv.services.diffusion import Studio, open_studio, verify
from gencv.services.mockup import Mockups
from gencv.services.orders import Event, MockupOrder, Order
from gencv.services.spoof import open_checker
from serving import diffusion, errors, search, spoof
from serving.door import Door
from serving.history import open_recorder
from serving.orders import DiffusionSettings
from serving.settings import History
from serving.web import app
from serving.web.endpoints import Endpoints


class Judge:
    """A detector of this process, under some names."""

    def __init__(self, bundle: Path, gallery: Path, names: tuple[str, ...]) -> None:
        self.names = names
        self.checker = open_checker(str(bundle), threshold="eer", limits=Limits(), gallery=str(gallery))

    async def check(self, bundle: str, data: bytes, options: spoof.Options) -> dict[str, Any]:
        return await asyncio.to_thread(self.judged, data, options)

    def judged(self, data: bytes, options: spoof.Options) -> dict[str, Any]:
        subject = self.checker.examine(data, faces=options.faces, reencode=options.reencode)
        answers = self.checker.judge([subject])[0]
        if options.explain:
            why = self.checker.explain(subject, options.explain)
            answers = [answer | {"explanations": one} for answer, one in zip(answers, why, strict=True)]
        return {"answers": answers, "digest": self.checker.digest, "timing_ms": {}}

    async def provenance(self, data: bytes) -> dict[str, Any]:
        return (await asyncio.to_thread(stamp.read, data)).to_dict()

    async def ready(self) -> dict[str, Any]:
        return {"bundles": dict.fromkeys(self.names, self.checker.digest)}


class Painter:
    """A studio of this process, for whatever model."""

    def __init__(self) -> None:
        self.studio: Studio = open_studio("starter", device="cpu")
        self.mockups = Mockups(Limits())

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        return self.studio.events(order)

    async def check(self, model: str, order: Order | MockupOrder) -> None:
        await asyncio.to_thread(self.mockups.check if isinstance(order, MockupOrder) else self.studio.check, order)

    async def mockup(self, model: str, order: MockupOrder) -> Made:
        return await self.mockups.make(order, self.studio if order.scene else None)

    async def verify(self, data: bytes) -> dict[str, Any]:
        return await asyncio.to_thread(verify, data, Limits())

    async def ready(self) -> dict[str, Any]:
        return {"painters": {"starter": self.studio.weights}}


def build_whole(
    demo: Path, folder: Path, address: str, *, door: Door | None = None, bundles: tuple[str, ...] = ("starter",)
) -> ASGIApp:
    """Return all applications under their routes, with what `make demo` made, writing into a folder.

    address: where it will answer, which is where the page asks. bundles: names, all of the same one.
    """
    door = door or Door()
    history = History(url=f"sqlite:///{folder}/history.db")
    of_spoof = spoof.SpoofSettings(bundles=dict.fromkeys(bundles, ""), history=history, door=door)
    of_search = search.SearchSettings(index=str(demo / "index"), door=door)
    of_diffusion = DiffusionSettings(painters={"starter": "starter"}, door=door)
    painter = Painter()
    desk = Desk(painter, str(folder / "jobs"), told=lambda error: errors.told(error)["error"])
    routes: dict[str, FastAPI] = {
        "/spoof": spoof.build_api(
            Judge(demo / "bundle", demo / "embeddings", bundles), of_spoof, open_recorder(history)
        ),
        "/search": search.build_api(search.Searchers(of_search), of_search),
        "/v1": diffusion.build_api(painter, of_diffusion, desk),
    }
    whole = Routed(routes, desk)
    routes[""] = app.build_api(Endpoints(address), app.WebSettings(door=door))
    return whole


class Routed:
    """Sends a request to the application of its prefix, as Serve's proxy does. The desk starts with it."""

    def __init__(self, routes: dict[str, FastAPI], desk: Desk) -> None:
        self.routes, self.desk = routes, desk

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.desk.start()
            await self.routes[""](scope, receive, send)
            await self.desk.stop()
            return
        prefix = next(one for one in self.routes if scope["path"].startswith(f"{one}/"))
        await self.routes[prefix]({**scope, "root_path": prefix}, receive, send)
