"""All applications in one process without Ray, as one server: what the page's tests open in a browser."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.types import ASGIApp

from gencv.images.decode import Limits
from gencv.provenance import stamp
from gencv.services.diffusion import Studio, open_studio, verify
from gencv.services.orders import Event, Order
from gencv.services.spoof import open_checker
from serving import diffusion, search, spoof
from serving.door import Door
from serving.history import open_recorder
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

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        return self.studio.events(order)

    async def verify(self, data: bytes) -> dict[str, Any]:
        return await asyncio.to_thread(verify, data, Limits())

    async def ready(self) -> dict[str, Any]:
        return {"painters": {"starter": self.studio.weights}}


def build_whole(
    demo: Path, folder: Path, *, door: Door | None = None, bundles: tuple[str, ...] = ("starter",)
) -> ASGIApp:
    """Return all applications under their routes, with what `make demo` made, writing into a folder.

    bundles: names, all of the same one.
    """
    door = door or Door()
    history = History(url=f"sqlite:///{folder}/history.db")
    of_spoof = spoof.SpoofSettings(bundles=dict.fromkeys(bundles, ""), history=history, door=door)
    of_search = search.SearchSettings(index=str(demo / "index"), door=door)
    of_diffusion = diffusion.DiffusionSettings(painters={"starter": "starter"}, door=door)
    routes: dict[str, FastAPI] = {
        "/spoof": spoof.build_api(
            Judge(demo / "bundle", demo / "embeddings", bundles), of_spoof, open_recorder(history)
        ),
        "/search": search.build_api(search.Searchers(of_search), of_search),
        "/v1": diffusion.build_api(Painter(), of_diffusion),
    }
    whole = Routed(routes)
    transport = httpx2.ASGITransport(whole, client=("127.0.0.1", 1))
    endpoints = Endpoints("http://127.0.0.1:8000", transport)
    routes[""] = app.build_api(endpoints, app.WebSettings(door=door))
    return whole


class Routed:
    """Sends a request to the application of its prefix, as Serve's proxy does."""

    def __init__(self, routes: dict[str, FastAPI]) -> None:
        self.routes = routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.routes[""](scope, receive, send)
            return
        prefix = next(one for one in self.routes if scope["path"].startswith(f"{one}/"))
        await self.routes[prefix]({**scope, "root_path": prefix}, receive, send)
