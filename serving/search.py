"""/search: find the picture that is meant.

    curl -H 'content-type: application/json' -d '{"text": "a cat", "k": 3}' http://127.0.0.1:8000/search/v1/query
    curl -F image=@photo.jpg http://127.0.0.1:8000/search/v1/query

`build_api` is HTTP over a service and knows no Ray; `build` deploys it: copies of the API in front of copies of a
searcher, each with the index open at its newest version and the encoder loaded.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Protocol

import numpy as np
from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from gencv.core.errors import BadImage, BrokenIndex, GencvError, InUse
from gencv.history.recorder import Recorder
from gencv.images.thumbnail import THUMBNAIL_PX
from serving import errors
from serving.answers import Added, Item, Page, Removed
from serving.api import new_api
from serving.batching import Batcher
from serving.calls import call
from serving.history import add_history, open_recorder, record_search
from serving.metrics import batch_sizes, count_waiting, stages
from serving.pictures import limits_of
from serving.requests import body_of, read
from serving.settings import Settings

ID = "^[0-9A-Za-z._-]{1,64}$"
MIN_PX = 16
"""Of a thumbnail that is asked for."""
KEPT_S = 3_600
"""How long a client may show a thumbnail without asking again; for so long it may outlive its picture."""
MAX_VECTORS = 64
MAX_DIM = 8_192
MAX_WRITES = 256
"""Pictures that one commit adds or removes."""
FOUND: dict[int | str, dict[str, Any]] = {200: {"model": Page}, 404: {}, 410: {}}
THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The one that is known is still the right one."},
}


class SearchSettings(Settings):
    """What /search is started with."""

    index: str = Field(min_length=1)
    """Folder or URI of the index; a request cannot name another."""
    reranker: str = ""
    """Who orders the first 50 hits anew where a request asks for it; "" is nobody."""
    show_uri: bool = False
    """Tell where pictures lie, and let filters ask for it. It may be a path on this machine."""
    writable: bool = False
    """Let pictures be added and deleted."""


class Similar(BaseModel):
    """What may be said beside a picture that is given by its id."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    text: str = ""
    """What the pictures should show, in words."""
    negative: str = ""
    """What they should not show."""
    text_weight: float = 1.0
    image_weight: float = 1.0
    """How much pictures count beside the text."""
    negative_weight: float = 0.5
    where: str = ""
    """A condition on the columns, as in "split = 'test' AND width >= 640"."""
    k: int = 10
    """Hits on a page."""
    cursor: str = ""
    """As the page before had it: go on from there, in the version of the index that it was of."""
    hybrid: bool = False
    """Rank by the words of the captions as well."""
    collapse: bool = False
    """Show one of those that look the same, and the ids of the others."""
    rerank: bool = False
    """Order the first 50 anew by a network that sees text and picture together, if there is one here."""


class Asked(Similar):
    """What a question may say; at least one of text, like, vector, and a picture."""

    like: str = Field("", pattern=f"{ID}|^$")
    """The id of a picture of the index."""
    region: tuple[int, ...] = Field((), max_length=4)
    """The part of the picture that counts: left, top, right, bottom, in px."""
    vector: list[float] | list[Annotated[list[float], Field(max_length=MAX_DIM)]] | None = Field(
        None, max_length=MAX_DIM
    )
    """A picture's vector in the space that /readyz names, or several that are averaged."""


class JsonAsked(Asked):
    """The same, with a picture beside it."""

    image: str | None = None
    """Base64, or a `data:` URL with base64."""


class Said(BaseModel):
    """What is said of the pictures that are added, of each of them the same."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    caption: list[str] = []
    label: int | None = None
    """1 spoof or generated, 0 live or real."""
    generator: str = "unknown"
    family: str = ""
    """What kind of thing made them; by default what the generator's name tells."""
    source: str = "posted"
    split: str | None = None
    """train, val, or test."""


class JsonSaid(Said):
    """The same, with the pictures beside it."""

    image: str | list[str]
    """Base64, or `data:` URLs with base64."""


class Service(Protocol):
    """Who searches; `Searchers` behind a handle, or a fake."""

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        """Return a page: `hits` and what there is to say of it. Raises BadImage, BadInput, Gone."""
        ...

    async def item(self, id: str) -> dict[str, Any]: ...

    async def thumbnail(self, id: str, size_px: int) -> bytes: ...

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        """Return `id`, `added`, and the `version` that has it, of each, or what is wrong with it.

        All that can be added is, by one commit. Raises BadInput, InUse.
        """
        ...

    async def remove(self, id: str) -> dict[str, Any]: ...

    async def ready(self) -> dict[str, Any]: ...


Id = Annotated[str, Path(pattern=ID)]


def build_api(service: Service, settings: SearchSettings, recorder: Recorder | None = None) -> FastAPI:
    """Return the application; see `Service`. recorder: where searches are written down; it is closed with it."""
    stop = recorder.close if recorder else None
    api = new_api("search", "gencv search", __doc__ or "", settings.door, service.ready, stop)
    add_history(api, recorder, "searches")

    @api.post("/v1/query", openapi_extra={"requestBody": body_of(Asked, JsonAsked)}, responses=FOUND)
    async def query(request: Request) -> dict[str, Any]:
        """Find pictures by a text, a picture, or both, best first."""
        images, asked = await read(request, Asked, JsonAsked, 1)
        if asked.region and not (images and len(asked.region) == 4):
            raise errors.Refused(
                400, "invalid_parameter", "region: four px, left, top, right, bottom, of an image.", "region"
            )
        return await page(request, asked, images[0][1] if images else None)

    @api.get("/v1/similar/{id}", responses=FOUND)
    async def similar(request: Request, id: Id, said: Annotated[Similar, Query()]) -> dict[str, Any]:
        """Find more like a picture of the index."""
        return await page(request, Asked(**said.model_dump(), like=id), None)

    async def page(request: Request, asked: Asked, image: bytes | None) -> dict[str, Any]:
        began = time.perf_counter()
        found = await service.ask(asked, image)
        if recorder:
            said = asked.model_dump(mode="json", exclude={"vector"}, exclude_defaults=True)
            record_search(recorder, request.state, said, image, found)
        for hit in found["hits"]:
            hit["thumbnail"] = thumbnail_path(request, hit["id"])
        took_ms = round((time.perf_counter() - began) * 1000, 1)
        return {"id": request.state.request_id, **found, "timing_ms": {**found["timing_ms"], "total": took_ms}}

    @api.get("/v1/items/{id}", responses={200: {"model": Item}})
    async def item(request: Request, id: Id) -> dict[str, Any]:
        """Tell what is known of a picture."""
        return {**await service.item(id), "thumbnail": thumbnail_path(request, id)}

    @api.get("/v1/items/{id}/thumbnail", response_class=Response, responses=THUMBNAIL)
    async def thumbnail(
        request: Request, id: Id, size_px: Annotated[int, Query(ge=MIN_PX, le=THUMBNAIL_PX)] = THUMBNAIL_PX
    ) -> Response:
        """Show a picture, its longer side `size_px` at most."""
        data = await service.thumbnail(id, size_px)
        tag = f'"{id}-{size_px}"'
        headers = {"ETag": tag, "Cache-Control": f"private, max-age={KEPT_S}", "X-Content-Type-Options": "nosniff"}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        if tag in known or "*" in known:
            return Response(None, 304, headers)
        return Response(data, 200, headers, media_type="image/jpeg")

    @api.post("/v1/items", openapi_extra={"requestBody": body_of(Said, JsonSaid)}, responses={200: {"model": Added}})
    async def add(request: Request) -> dict[str, Any]:
        """Add pictures; one that is there already stays as it is.

        Of many each has its id or its error; where none can be added the first one's error is the answer.
        """
        require_writable(settings)
        images, said = await read(request, Said, JsonSaid, settings.door.max_images)
        found = await service.add([data for _, data in images], said)
        added = [one for one in found if isinstance(one, dict)]
        if not added:
            raise next(one for one in found if isinstance(one, GencvError))
        results = [outcome(name, one) for (name, _), one in zip(images, found, strict=True)]
        return {"id": request.state.request_id, "items": results, "version": added[0]["version"]}

    @api.delete("/v1/items/{id}", responses={200: {"model": Removed}})
    async def remove(request: Request, id: Id) -> dict[str, Any]:
        """Delete a picture from the index. Pages that were begun before keep it until their version goes."""
        require_writable(settings)
        return {"id": request.state.request_id, "deleted": id, **await service.remove(id)}

    return api


def thumbnail_path(request: Request, id: str) -> str:
    return f"{request.scope.get('root_path', '')}/v1/items/{id}/thumbnail"


def require_writable(settings: SearchSettings) -> None:
    """Raise Refused where the index may only be read."""
    if not settings.writable:
        raise errors.Refused(403, "read_only", "Pictures cannot be added or deleted here.")


def outcome(name: str, found: dict[str, Any] | GencvError) -> dict[str, Any]:
    """Return what a client is told of one picture that was to be added."""
    if isinstance(found, dict):
        return {"name": name, "id": found["id"], "added": found["added"], "error": None}
    return {"name": name, "id": None, "added": False, "error": errors.told(found, "image")["error"]}


class Searchers:
    """An index and its encoder; what waits for the encoder is one batch, and what waits for the pen one commit."""

    def __init__(self, settings: SearchSettings) -> None:
        from gencv.index.query import Query
        from gencv.services.posted import Writer
        from gencv.services.search import Searcher

        self.searcher = Searcher(
            settings.index,
            reranker=settings.reranker,
            limits=limits_of(settings.door),
            hidden=() if settings.show_uri else ("uri",),
        )
        self.searcher.load()  # what is wrong with it ends the deployment, not the first request
        with suppress(GencvError):  # of an encoder without texts
            self.searcher.answer(Query(text="a picture", k=1))  # the first one takes seconds
        count, size = count_waiting("search", "encoder"), settings.replicas.max_batch
        self.encode = Batcher(self.searcher.encode, size, on_batch=noted, on_waiting=count)
        self.writer = Writer(self.searcher)
        self.write = Batcher(self.written, MAX_WRITES, weight=len)
        self.measure = Latest(self.searcher.measure_cutoff)

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        from gencv.index.query import Query

        began = time.perf_counter()
        said = asked.model_dump(exclude={"like", "region", "vector", "rerank"})
        pixels = await self.run(self.searcher.prepare, image, asked.region) if image is not None else None
        vector = None if asked.vector is None else vectors_of(asked.vector)
        question = Query(**said, pixels=pixels, image=vector, like_id=asked.like)
        prepared = time.perf_counter()
        encoded = await self.encode(question) if question.needs_encoder else None
        encoded_at = time.perf_counter()
        found = await self.run(self.searcher.answer, question, encoded, rerank=asked.rerank)
        times = {"prepare": prepared - began, "encode": encoded_at - prepared}
        times["search"] = time.perf_counter() - encoded_at
        for stage, took_s in times.items():
            stages().observe(took_s, {"application": "search", "stage": stage})
        return {
            **told(found),
            "asked": {**asked.model_dump(exclude={"cursor", "vector"}), "image": image is not None},
            "timing_ms": {stage: round(took_s * 1000, 1) for stage, took_s in times.items()},
        }

    async def item(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.run(self.searcher.item, id)
        return found

    async def thumbnail(self, id: str, size_px: int) -> bytes:
        data: bytes = await self.run(self.searcher.thumbnail, id, size_px)
        return data

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        from gencv.services.posted import About

        about = About(**{**said.model_dump(), "caption": tuple(said.caption)})
        examined: list[Any] = [await self.run(tried, self.writer.examine, data, about) for data in images]
        wishes = [one for one in examined if not isinstance(one, BadImage)]
        done = iter(await self.changed(wishes) if wishes else ())
        return [one if isinstance(one, BadImage) else facts_of(next(done)) for one in examined]

    async def remove(self, id: str) -> dict[str, Any]:
        (done,) = await self.changed([id])
        if isinstance(done, GencvError):
            raise done
        return {"version": done.version}

    async def ready(self) -> dict[str, Any]:
        index = await self.run(self.searcher.index)
        space = index.space
        facts = {"version": index.version, "pictures": index.num_rows, "columns": list(index.columns)}
        return {"index": facts, "encoder": space.encoder, "space": space.digest(), "dim": space.dim}

    def written(self, groups: Sequence[list[Any]]) -> list[list[Any]]:
        """Do what several requests wish for by one commit."""
        done = iter(self.writer.write([wish for group in groups for wish in group]))
        return [list(islice(done, len(group))) for group in groups]

    async def changed(self, wishes: list[Any]) -> list[Any]:
        """Change the index, and let what follows from it follow."""
        try:
            done: list[Any] = await self.write(wishes)
        except InUse:
            raise InUse("Another writer is changing the index; try again in some seconds.") from None
        except BrokenIndex as error:
            raise hidden(error) from None
        if any(not isinstance(one, GencvError) and one.changed for one in done):
            self.measure()
        return done

    async def run(self, function: Any, *args: Any, **more: Any) -> Any:
        """Run something in a thread. Raises as it does, without the places that an error of the index names."""
        try:
            return await asyncio.to_thread(function, *args, **more)
        except BrokenIndex as error:
            raise hidden(error) from None


def tried(examine: Callable[..., Any], *args: Any) -> Any:
    """Return what comes of a picture, or the BadImage that it is."""
    try:
        return examine(*args)
    except BadImage as error:
        return error


def facts_of(done: Any) -> dict[str, Any]:
    """Return what a client is told of a picture that is in the index now."""
    return {"id": done.id, "added": done.changed, "version": done.version}


class Latest:
    """Work that follows changes, in a thread: one at a time, and once more where something changed meanwhile."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.is_due = False
        self.task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        self.is_due = True
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self.is_due:
            self.is_due = False
            try:
                await asyncio.to_thread(self.work)
            except GencvError as error:  # the next change tries again
                errors.log.error("%s", error)


def hidden(error: BrokenIndex) -> BrokenIndex:
    """Return what a client is told of a damaged file; its name is in the log."""
    errors.log.error("the index is damaged: %s", error)
    return BrokenIndex("The index is damaged; the log names the file.")


def vectors_of(given: list[float] | list[list[float]]) -> np.ndarray:
    """Return [D] or [V, D]. Raises Refused for rows of several lengths, or too many."""
    try:
        with np.errstate(over="ignore"):  # infinity is refused later
            vectors = np.array(given, np.float32)
    except ValueError:
        vectors = np.empty(0, np.float32)
    if not vectors.size or (vectors.ndim == 2 and len(vectors) > MAX_VECTORS):
        raise errors.Refused(
            400, "invalid_parameter", f"vector: numbers, or up to {MAX_VECTORS} lists of as many.", "vector"
        )
    return vectors


def told(found: Any) -> dict[str, Any]:
    """Return what a client is told of a page."""
    hits, index = found.hits, found.index
    rows = found.rows.to_pylist()
    for row, hit in zip(rows, hits.hits, strict=True):
        row["copies"] = list(hit.copies)
    no_match = True if not rows else None if hits.good is None else not hits.good
    return {
        "hits": rows,
        "cursor": hits.cursor or None,
        "no_good_match": no_match,
        "remarks": hits.remarks(),
        "best": {"cosine": hits.strength, "level": hits.level, "chance": hits.chance},
        "index": {"version": hits.version, "pictures": index.num_rows},
        "encoder": index.space.encoder,
        "reranker": hits.reranker or None,
    }


def noted(size: int) -> None:
    batch_sizes().observe(size, {"application": "search"})


class Remote:
    """The `Service` behind a handle."""

    def __init__(self, searchers: DeploymentHandle) -> None:
        self.searchers = searchers

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "ask", asked, image)
        return found

    async def item(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "item", id)
        return found

    async def thumbnail(self, id: str, size_px: int) -> bytes:
        found: bytes = await call(self.searchers, "thumbnail", id, size_px)
        return found

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        """A try whose replica died after its commit makes the next one say that the pictures were there already."""
        found: list[dict[str, Any] | GencvError] = await call(self.searchers, "add", images, said)
        return found

    async def remove(self, id: str) -> dict[str, Any]:
        """As with `add`, the next try may not find what the first one removed."""
        found: dict[str, Any] = await call(self.searchers, "remove", id)
        return found

    async def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "ready")
        return found


@serve.ingress()  # late-bound: the application is made in the replica
class Search:
    """The API, in a process without a model."""

    def __init__(self, searchers: DeploymentHandle, settings: SearchSettings) -> None:
        self.service, self.settings = Remote(searchers), settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.service, self.settings, open_recorder(self.settings.history))


def build(args: SearchSettings) -> Application:
    """Return the application for Serve, as serving/config.yaml names it."""
    settings = args.from_environment("GENCV_SEARCH_")
    searchers = serve.deployment(name="searchers", **settings.replicas.options())(Searchers).bind(settings)
    return serve.deployment(name="search", **settings.api_options())(Search).bind(searchers, settings)
