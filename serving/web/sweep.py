"""Comparisons: one picture for each combination of several values, as a job that goes on whoever watches."""

import base64
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import isfinite
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.files import kept
from serving.web.painting import Painting
from serving.web.said import Told, progress

MOST = 64
"""Pictures of one comparison."""


def lists_of(strengths: str | None, guidances: str | None, seeds: str | None) -> dict[str, list[Any]]:
    """Return what is compared, by the names of a request. Raises Told for what is no number, and too many."""
    found: dict[str, list[Any]] = {
        "strength": numbers(strengths, "How far to leave it"),
        "guidance_scale": numbers(guidances, "Guidance"),
        "seed": [int(seed) for seed in numbers(seeds, "Seeds")],
    }
    lists = {name: values for name, values in found.items() if values}
    if all(len(values) == 1 for values in lists.values()):
        raise Told("Give several values of one of them at least, as in: 2, 5, 8.")
    return lists


def numbers(text: str | None, name: str) -> list[float]:
    """Return the numbers of a line. Raises Told."""
    try:
        found = [float(word) for word in re.split(r"[\s,;]+", text or "") if word]
        if not all(map(isfinite, found)):
            raise ValueError
        return found
    except ValueError:
        raise Told(f"{name}: numbers with commas between them are accepted, as in: 2, 5, 8.") from None


def job_of(request: dict[str, Any], lists: dict[str, list[Any]], files: dict[str, bytes | None]) -> Any:
    """Return the body of a job that paints all combinations. files: `image` and `mask`, where there are such."""
    coded = {name: base64.b64encode(data).decode() for name, data in files.items() if data}
    alone = {name: value for name, value in request.items() if name != "n"}  # of each combination there is one
    return {"kind": "sweep", "request": {**alone, **lists, **coded}}


async def swept(endpoints: Endpoints, asker: gr.Request, body: Any) -> AsyncGenerator[Painting, None]:
    """Begin a job and give what there is of its pictures, again and again, and the sheet at last. Raises Told."""
    job = await endpoints.ask(asker, "POST", "/v1/jobs", json=body)
    place = f"/v1/jobs/{job['id']}"
    now = Painting(job=job["id"], how_far=progress(0, 0, "Waiting for the painter."))
    yield now
    async with aclosing(endpoints.events(asker, "GET", f"{place}/events")) as events:
        async for event in events:
            what = event.get("type")
            if what == "position":
                now.how_far = progress(0, 0, f"Pictures of others that come first: {event['position']}.")
            elif what == "progress":
                now.how_far = progress(event["done"], event["total"], f"{event['done']} of {event['total']} pictures.")
            elif what == "picture":
                await take(endpoints, asker, now, event, body["request"].get("output_format", "png"))
            elif what == "cancelled":
                now.say("Stopped.")
            elif what == "succeeded":
                sheet = await endpoints.file(asker, event["result"]["sheet"])
                now.sheet = kept(sheet, "comparison.png")
            yield now
    now.how_far = ""
    yield now


async def take(endpoints: Endpoints, asker: gr.Request, now: Painting, event: dict[str, Any], kind: str) -> None:
    """Fetch the picture of an event and show it. kind: the format of its file."""
    number = event["place"]
    if event.get("url"):
        name = f"{number}-seed-{event['seed']}.{kind}"
        now.paths[number] = kept(await endpoints.file(asker, event["url"]), name)
        now.captions[number] = f"seed {event['seed']}"
        now.seeds[number] = event["seed"]
        now.done.add(number)
    now.say(*event.get("notes", []))
