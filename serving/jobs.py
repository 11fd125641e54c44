"""/v1/jobs: work that outlives its request, and is still there when its caller comes back.

    curl http://127.0.0.1:8000/v1/jobs -H "content-type: application/json" -H "idempotency-key: apples-1" \
      -d '{"kind": "sweep", "request": {"prompt": "a red apple", "seed": [1, 2], "guidance_scale": [2, 7.5]}}'
    curl -N http://127.0.0.1:8000/v1/jobs/ID/events

A job's request is the body of the endpoint that it is of, checked by the same code before anything waits. The routes
know no Ray; `TheDesk` is the one copy of the desk, a process without a painter.
"""

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle
from starlette.responses import JSONResponse, Response

from gencv.mockup.making import Made
from gencv.services.desk import CURSOR, Desk
from gencv.services.jobs import ID, Job, new_job
from gencv.services.orders import MockupOrder, Order, Painted
from serving import answers, errors
from serving.calls import MAX_TRIES, call, stream
from serving.events import Events, comment, event, failed
from serving.history import open_recorder, record_made
from serving.images import body_of, media_type
from serving.orders import DiffusionSettings, job_ordered
from serving.painters import Remote
from serving.requests import validated

FORMATS = ("png", "jpeg", "webp")
MAX_FAILED = 6
"""Times in a row that painters may die under a job, which then has failed: two minutes."""
DESK_OPTIONS: dict[str, Any] = {
    "num_replicas": 1,  # who owns the folder
    "max_ongoing_requests": 1_000,  # most of them listen
    "ray_actor_options": {"num_cpus": 0.1},
}
NO_JOBS: dict[int | str, dict[str, Any]] = {501: {}}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    **NO_JOBS,
}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in FORMATS}},
    304: {"description": "The one that is known is still the right one."},
    **NO_JOBS,
}
News = AsyncGenerator[tuple[str, dict[str, Any]] | None, None]
JobId = Annotated[str, Path(pattern=ID)]


class JobRequest(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["generation", "edit", "variation", "mockup", "sweep"]
    request: dict[str, Any]
    """The body of that endpoint; `image`, `mask`, and `product` are base64, or `data:` URLs. A sweep is a generation,
    or with an `image` an edit, whose `strength`, `guidance_scale`, and `seed` may be lists."""


class JobDesk(Protocol):
    """Who keeps jobs; see `gencv.services.desk.Desk`."""

    async def submit(self, job: Job, order: Order | MockupOrder) -> dict[str, Any]: ...

    async def get(self, caller: str, id: str) -> dict[str, Any]: ...

    async def page(self, caller: str, limit: int, cursor: str) -> dict[str, Any]: ...

    async def cancel(self, caller: str, id: str) -> dict[str, Any]: ...

    async def delete(self, caller: str, id: str) -> None: ...

    async def picture(self, caller: str, id: str, place: int) -> tuple[str, str, bytes]: ...

    async def sheet(self, caller: str, id: str) -> tuple[str, str, bytes]: ...

    def events(self, caller: str, id: str) -> News: ...


def add_jobs(api: FastAPI, desk: JobDesk | None, settings: DiffusionSettings) -> None:
    """Serve jobs: without a desk each of these says so."""

    def kept() -> JobDesk:
        if desk is None:
            raise errors.Refused(501, "no_jobs", "No jobs are kept here; `jobs.folder` in the settings starts that.")
        return desk

    @api.post(
        "/jobs",
        status_code=202,
        tags=["jobs"],
        openapi_extra={"requestBody": body_of(JobRequest)},
        responses={202: {"model": answers.Job}, 200: {"model": answers.Job}, 404: {}, 409: {}, **NO_JOBS},
    )
    async def submit(request: Request) -> Response:
        """Take work on, and answer at once. The same Idempotency-Key and body are the same job."""
        its_desk = kept()
        if media_type(request) != "application/json":
            raise errors.Refused(415, "unsupported_media_type", "Send application/json.")
        asked = validated(JobRequest, await request.body())
        key = key_of(request)
        model, order = job_ordered(asked.kind, asked.request, settings)
        digest = digest_of(asked)
        job = new_job(asked.kind, model, order, caller=request.state.caller, key=key, digest=digest)
        found = await its_desk.submit(job, order)
        place = f"{root_of(request)}/jobs/{found['id']}"
        status = 202 if found["id"] == job.id else 200
        return JSONResponse(shown(found, request), status, headers={"location": place})

    @api.get("/jobs", tags=["jobs"], responses={200: {"model": answers.Jobs}, **NO_JOBS})
    async def jobs(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str, Query(pattern=CURSOR)] = "",
    ) -> dict[str, Any]:
        """List your jobs, newest first; `cursor` leads to the next page."""
        page = await kept().page(request.state.caller, limit, cursor)
        return page | {"data": [shown(job, request) for job in page["data"]]}

    @api.get("/jobs/{id}", tags=["jobs"], responses={200: {"model": answers.Job}, **NO_JOBS})
    async def job(request: Request, id: JobId) -> dict[str, Any]:
        """Say how a job stands."""
        return shown(await kept().get(request.state.caller, id), request)

    @api.delete("/jobs/{id}", status_code=204, tags=["jobs"], responses=NO_JOBS)
    async def delete(request: Request, id: JobId) -> None:
        """Cancel a job, and forget it with its pictures."""
        await kept().delete(request.state.caller, id)

    @api.post("/jobs/{id}/cancel", tags=["jobs"], responses={200: {"model": answers.Job}, **NO_JOBS})
    async def cancel(request: Request, id: JobId) -> dict[str, Any]:
        """Stop a job before its painter's next step; what is painted stays. One that is over stays as it is."""
        return shown(await kept().cancel(request.state.caller, id), request)

    @api.get("/jobs/{id}/events", tags=["jobs"], response_class=Response, responses=EVENTS)
    async def events(request: Request, id: JobId) -> Response:
        """Say how a job stands, and what happens to it until it is over. Who leaves stops nothing, and may return."""
        news = kept().events(request.state.caller, id)
        try:
            first = await anext(news)
        except BaseException:
            await news.aclose()
            raise
        return Events(told(first, news, request, id))

    @api.get("/jobs/{id}/pictures/{place}", tags=["jobs"], response_class=Response, responses=PICTURE)
    async def picture(request: Request, id: JobId, place: Annotated[int, Path(ge=0, le=10_000)]) -> Response:
        """Give a picture of a job."""
        return file_of(request, *await kept().picture(request.state.caller, id, place))

    @api.get("/jobs/{id}/sheet", tags=["jobs"], response_class=Response, responses=PICTURE)
    async def sheet(request: Request, id: JobId) -> Response:
        """Give the contact sheet of a sweep."""
        return file_of(request, *await kept().sheet(request.state.caller, id))


def key_of(request: Request) -> str:
    """Return a request's Idempotency-Key, "" without one. Raises Refused."""
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        raise errors.Refused(
            400,
            "invalid_parameter",
            "An Idempotency-Key of 1 to 255 printable characters is accepted.",
            "Idempotency-Key",
        )
    return key or ""


def digest_of(asked: JobRequest) -> str:
    """Digest what was asked, in whatever order and with whatever spaces."""
    return hashlib.sha256(json.dumps([asked.kind, asked.request], sort_keys=True).encode()).hexdigest()


def root_of(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root


def shown(job: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return how a job stands with addresses for its pictures."""
    if job["result"] is None:
        return job
    pictures = [located(said, job["id"], request) for said in job["result"]["data"]]
    sheet = f"{root_of(request)}/jobs/{job['id']}/sheet" if job["result"]["has_sheet"] else None
    return job | {"result": {"data": pictures, "sheet": sheet}}


def located(said: dict[str, Any], id: str, request: Request) -> dict[str, Any]:
    """Return what is said of a picture with its address, None where nothing is shown."""
    is_shown = said["id"] is not None
    return {"url": f"{root_of(request)}/jobs/{id}/pictures/{said['place']}" if is_shown else None, **said}


async def told(first: Any, news: News, request: Request, id: str) -> AsyncGenerator[bytes, None]:
    """Give the lines of a job's events."""

    def line(one: tuple[str, dict[str, Any]] | None) -> bytes:
        if one is None:
            return comment("nothing new")
        kind, about = one
        if kind == "picture":
            about = located(about, id, request)
        return event(kind, shown(about, request) if "result" in about else about)

    async with aclosing(news):
        try:
            yield line(first)
            async for one in news:
                yield line(one)
        except Exception as error:
            yield failed(error)


def file_of(request: Request, id: str, kind: str, data: bytes) -> Response:
    """Return a file, or that the client has it already."""
    headers = {"etag": f'"{id}"', "cache-control": "private"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if f'"{id}"' in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=f"image/{kind}", headers=headers)


class TheDesk(Desk):
    """The one copy of the desk."""

    def __init__(self, painters: DeploymentHandle, settings: DiffusionSettings) -> None:
        jobs, recorder = settings.jobs, open_recorder(settings.history)

        def on_made(job: Job, order: Order | MockupOrder, made: Painted | Made) -> None:
            if recorder:
                record_made(recorder, job.id, job.caller, order, made)

        super().__init__(
            Remote(painters, settings),
            jobs.folder,
            days=jobs.days,
            max_queued=jobs.max_queued,
            told=lambda error: errors.told(error)["error"],
            again_s=again_s,
            on_made=on_made,
        )
        self.start()


def again_s(error: Exception, failed: int) -> float | None:
    """Return after how many s painters are asked again; None for what would fail again."""
    if isinstance(error, errors.Busy) and error.headers:
        return float(error.headers["Retry-After"])
    return 2.0**failed if isinstance(error, RayActorError) and failed < MAX_FAILED else None


class RemoteDesk:
    """The `JobDesk` behind a handle. Where the desk dies, the same is asked of the next one."""

    def __init__(self, desk: DeploymentHandle) -> None:
        self.desk = desk

    async def submit(self, job: Job, order: Order | MockupOrder) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.desk, "submit", job, order)
        return found

    async def get(self, caller: str, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.desk, "get", caller, id)
        return found

    async def page(self, caller: str, limit: int, cursor: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.desk, "page", caller, limit, cursor)
        return found

    async def cancel(self, caller: str, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.desk, "cancel", caller, id)
        return found

    async def delete(self, caller: str, id: str) -> None:
        await call(self.desk, "delete", caller, id)

    async def picture(self, caller: str, id: str, place: int) -> tuple[str, str, bytes]:
        found: tuple[str, str, bytes] = await call(self.desk, "picture", caller, id, place)
        return found

    async def sheet(self, caller: str, id: str) -> tuple[str, str, bytes]:
        found: tuple[str, str, bytes] = await call(self.desk, "sheet", caller, id)
        return found

    async def events(self, caller: str, id: str) -> News:
        """Give events; of what another desk tells again, pictures are left out that were told already."""
        shown: set[int] = set()
        for tries in reversed(range(MAX_TRIES)):
            try:
                async with aclosing(stream(self.desk, "events", caller, id)) as news:
                    async for one in news:
                        if one and one[0] == "picture":
                            if one[1]["place"] in shown:
                                continue
                            shown.add(one[1]["place"])
                        yield one
                return
            except RayActorError:
                if not tries:
                    raise
