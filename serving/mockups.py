"""/v1/mockups: a product on a drawn template, or in a scene that is painted around it.

    curl http://127.0.0.1:8000/v1/mockups -F product=@teapot.png -F template=mug

Templates and scenes are those that come with gencv, by their names; no request opens another one.
"""

import time
from typing import Any

from fastapi import FastAPI, Request

from gencv.history.recorder import Recorder
from gencv.mockup.scenes import scenes
from gencv.mockup.templates import sentences
from gencv.services.mockup import said_of
from serving.answers import Choices, Mockups
from serving.events import unless_gone
from serving.history import record_made
from serving.images import Mockup, base64_of, body_of, read_form
from serving.orders import DiffusionSettings, known_model, mockup_ordered
from serving.painters import Service


def add_mockups(api: FastAPI, service: Service, settings: DiffusionSettings, recorder: Recorder | None = None) -> None:
    """Serve mockups. recorder: where they are written down."""

    @api.get("/mockups", tags=["mockups"], responses={200: {"model": Choices}})
    async def choices() -> dict[str, Any]:
        """List what products are printed on and put into, with a sentence each."""
        return {
            "templates": [{"name": name, "description": said} for name, said in sentences().items()],
            "scenes": [{"name": one.name, "description": f"{one.prompt}."} for one in scenes().values()],
        }

    @api.post(
        "/mockups",
        tags=["mockups"],
        openapi_extra={"requestBody": body_of(Mockup, "product")},
        responses={200: {"model": Mockups}, 404: {}},
    )
    async def mockup(request: Request) -> dict[str, Any]:
        """Print a product on a template, or set it into a scene."""
        asked, files = await read_form(request, Mockup, "product")
        order = mockup_ordered(asked, files["product"])
        model = known_model(asked.model or settings.first, settings)
        made = await unless_gone(request, service.mockup(model, order))
        if recorder:
            record_made(recorder, request.state.request_id, request.state.caller, order, made)
        item = {"b64_json": base64_of(made.file), **said_of(made, order)}
        return {"created": int(time.time()), "data": [item], "output_format": order.format}
