"""/v1: pictures from prompts, as OpenAI's Images API has them, with more that a request may say.

    curl http://127.0.0.1:8000/v1/images/generations -H "content-type: application/json" \
      -d '{"prompt": "a red apple on a white background", "seed": 7}'

`build_api` is HTTP over a service and knows no Ray; `build` deploys it: copies of the API in front of copies of the
painters, which are loaded by name as they are asked for. A picture follows from its request alone, seeds included, so
what a copy that died leaves undone another one paints.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.responses import JSONResponse, Response

from gencv.history.recorder import Recorder
from gencv.services.orders import Accepted, Event, Order, Painted, Partial, Stepped
from serving import errors
from serving.answers import Evidence, Model, Models, Pictures
from serving.api import new_api
from serving.events import DONE, Events, comment, event, failed, unless_gone
from serving.history import add_history, open_recorder, recorded
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
    read_form,
    usage_of,
)
from serving.jobs import DESK_OPTIONS, JobDesk, RemoteDesk, TheDesk, add_jobs
from serving.mockups import add_mockups
from serving.orders import DiffusionSettings, known_model, ordered
from serving.painters import Painters, Remote, Service
from serving.requests import validated

PAINTED: dict[int | str, dict[str, Any]] = {
    200: {"model": Pictures, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    404: {},
}
"""What painting is answered with: pictures, or their stream."""


def build_api(
    service: Service, settings: DiffusionSettings, desk: JobDesk | None = None, recorder: Recorder | None = None
) -> FastAPI:
    """Return the application; see `Service` and `JobDesk`. Without a desk no jobs are accepted.

    recorder: where pictures are written down; it is closed with it.
    """
    stop = recorder.close if recorder else None
    api = new_api("diffusion", "gencv diffusion", __doc__ or "", settings.door, service.ready, stop)
    add_history(api, recorder, "paintings", "/history")
    since = int(time.time())

    def model_of(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": since, "owned_by": "gencv"}

    @api.get("/models", responses={200: {"model": Models}})
    async def models() -> dict[str, Any]:
        """List who can paint."""
        return {"object": "list", "data": [model_of(name) for name in settings.painters]}

    @api.get("/models/{name:path}", responses={200: {"model": Model}})
    async def model(name: str) -> dict[str, Any]:
        """Say that a painter is there."""
        return model_of(known_model(name, settings))

    @api.post("/images/generations", openapi_extra={"requestBody": body_of(Generation)}, responses=PAINTED)
    async def generations(request: Request) -> Response:
        """Paint pictures of a prompt."""
        if media_type(request) != "application/json":
            raise errors.Refused(415, "unsupported_media_type", "Send application/json.")
        asked = validated(Generation, await request.body())
        return await answer(request, asked, ordered(asked, settings), "image_generation")

    @api.post("/images/edits", openapi_extra={"requestBody": body_of(Edit, "image", "mask")}, responses=PAINTED)
    async def edits(request: Request) -> Response:
        """Paint a picture anew, or what a mask leaves open of it: its transparent px, as OpenAI has it."""
        asked, files = await read_form(request, Edit, "image", "mask")
        return await answer(request, asked, ordered(asked, settings, files["image"], files.get("mask")), "image_edit")

    @api.post("/images/variations", openapi_extra={"requestBody": body_of(Variation, "image")}, responses=PAINTED)
    async def variations(request: Request) -> Response:
        """Paint pictures like one."""
        asked, files = await read_form(request, Variation, "image")
        return await answer(request, asked, ordered(asked, settings, files["image"]), "image_edit")

    @api.post(
        "/provenance/verify",
        openapi_extra={"requestBody": body_of(Verification, "image")},
        responses={200: {"model": Evidence}},
    )
    async def verify(request: Request) -> dict[str, Any]:
        """Say what a picture says of where it comes from: its parameters, credentials, and watermark."""
        _, files = await read_form(request, Verification, "image")
        return await service.verify(files["image"])

    add_mockups(api, service, settings, recorder)
    add_jobs(api, desk, settings)

    async def answer(request: Request, asked: Asked, order: Order, kind: str) -> Response:
        name = known_model(asked.model or settings.first, settings)
        events = recorded(recorder, request.state, order, service.paint(name, order))
        if not asked.stream:
            return JSONResponse(await unless_gone(request, whole(events, asked)))
        try:
            accepted = await unless_gone(request, first_of(events))
        except BaseException:
            await events.aclose()
            raise
        return Events(told(events, accepted, asked, kind, len(order.recipes)))

    return api


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


@serve.ingress()  # late-bound: the application is made in the replica
class Diffusion:
    """The API, in a process without a painter."""

    def __init__(self, painters: DeploymentHandle, desk: DeploymentHandle | None, settings: DiffusionSettings) -> None:
        self.service, self.settings = Remote(painters, settings), settings
        self.desk = RemoteDesk(desk) if desk else None

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.service, self.settings, self.desk, open_recorder(self.settings.history))


def build(args: DiffusionSettings) -> Application:
    """Return the application for Serve, as serving/config.yaml names it."""
    settings = args.from_environment("GENCV_DIFFUSION_")
    painters = serve.deployment(name="painters", **settings.replicas.options())(Painters).bind(settings)
    desk = serve.deployment(name="desk", **DESK_OPTIONS)(TheDesk).bind(painters, settings)
    api = serve.deployment(name="diffusion", **settings.api_options())(Diffusion)
    return api.bind(painters, desk if settings.jobs.folder else None, settings)
