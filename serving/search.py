"""/search: find the picture that is meant.

    curl -H 'content-type: application/json' -d '{"text": "a cat", "k": 3}' http://127.0.0.1:8000/search/v1/query
    curl -F image=@photo.jpg http://127.0.0.1:8000/search/v1/query

`build_api` is HTTP over a service and knows no Ray; `build` deploys it: copies of the API in front of copies of a
searcher, each with the index open at its newest version and the encoder loaded.
"""

import time
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from gencv.core.errors import GencvError
from gencv.history.recorder import Recorder
from gencv.images.thumbnail import THUMBNAIL_PX
from serving import errors
from serving.answers import Added, Item, Page, Removed
from serving.api import new_api
from serving.history import add_history, open_recorder, record_search
from serving.questions import ID, Asked, JsonAsked, JsonSaid, Said, SearchSettings, Similar
from serving.requests import body_of, read
from serving.searchers import Remote, Searchers, Service

MIN_PX = 16
"""Of a thumbnail that is asked for."""
KEPT_S = 3_600
"""How long a client may show a thumbnail without asking again; for so long it may outlive its picture."""
FOUND: dict[int | str, dict[str, Any]] = {200: {"model": Page}, 404: {}, 410: {}}
THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The one that is known is still the right one."},
}


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
