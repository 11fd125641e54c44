"""/: the page. It has no model and asks the other applications over HTTP, with the key of whoever looks at it.

So what it shows is what any client is told, and limits, rates, and scopes hold here as they do there.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import Field
from ray import serve
from ray.serve import Application

from serving.api import new_api
from serving.settings import Common
from serving.web.endpoints import Endpoints
from serving.web.entry import Entry
from serving.web.fence import Fence


class WebSettings(Common):
    """What the page is started with."""

    endpoints: str = Field("http://127.0.0.1:8000", pattern=r"^https?://[^/]+$")
    """Where the other applications answer, as seen from here."""


def build_api(endpoints: Endpoints, settings: WebSettings) -> FastAPI:
    """Return the application: the page behind its door. Its parts are many small files, which no rate counts."""
    import gradio as gr  # takes seconds, which only the copy that serves it needs

    from serving.web.page import LOOK, build_page

    async def ready() -> dict[str, Any]:
        return {}

    api = new_api("web", "gencv", __doc__ or "", settings.door, ready, is_counted=False)
    api.add_middleware(Entry)
    api.add_middleware(Fence)
    page = build_page(endpoints)
    gr.mount_gradio_app(api, page, path="/", **LOOK)
    page.has_launched = True  # or Gradio takes any file of this machine for one that was uploaded (6.31)
    return api


@serve.ingress()  # late-bound: the page is made in the replica
class Web:
    """The page; one copy, as it holds what each browser has uploaded and waits for."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(Endpoints(self.settings.endpoints), self.settings)


def build(args: WebSettings) -> Application:
    """Return the application for Serve, as serving/config.yaml names it."""
    settings = args.from_environment("GENCV_WEB_")
    options: dict[str, Any] = {"max_ongoing_requests": 256, "ray_actor_options": {"num_cpus": 0.1}}
    return serve.deployment(name="web", **options)(Web).bind(settings)
