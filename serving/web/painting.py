"""Pictures as they come into being: what a stream of /v1 tells, as the page shows it step by step."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.files import kept
from serving.web.marks import marks_of
from serving.web.said import Told, progress, sentences

MAX_PARTIALS = 3
"""Unfinished pictures of each that are asked for."""


@dataclass
class Painting:
    """What there is of the pictures that were asked for."""

    how_far: str = ""
    """HTML; "" where all is done."""
    paths: dict[int, str] = field(default_factory=dict)
    """Of each picture that there is something of, by its place, finished or not."""
    captions: dict[int, str] = field(default_factory=dict)
    seeds: dict[int, int] = field(default_factory=dict)
    """Of those that were painted."""
    done: set[int] = field(default_factory=set)
    """Places of those that are finished."""
    said: list[str] = field(default_factory=list)
    facts: str = ""
    """HTML: what was measured of them."""
    sheet: str = ""
    """The path of one with all of them."""
    job: str = ""
    """The id of the job that paints them, where one does."""

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Pictures and their captions, as a gallery takes them; the sheet comes last."""
        sheets = [(self.sheet, "all of them")] if self.sheet else []
        return [(path, self.captions[place]) for place, path in sorted(self.paths.items())] + sheets

    @property
    def seeds_shown(self) -> list[int]:
        return [seed for _, seed in sorted(self.seeds.items())]

    @property
    def finished(self) -> list[str]:
        """The files that are whole, by their places."""
        return [self.paths[place] for place in sorted(self.done)] + ([self.sheet] if self.sheet else [])

    @property
    def is_over(self) -> bool:
        return not self.how_far

    def stopped(self) -> "Painting":
        """Return what there is of one that somebody stopped, without what is not finished."""
        paths = {place: path for place, path in self.paths.items() if place in self.done}
        return replace(self, how_far=sentences(["Stopped."]), paths=paths)

    def say(self, *sentences: str) -> None:
        """Say what was not said yet."""
        self.said += [sentence for sentence in dict.fromkeys(sentences) if sentence not in self.said]


async def painted(endpoints: Endpoints, asker: gr.Request, path: str, **content: Any) -> AsyncGenerator[Painting, None]:
    """Ask for pictures and give what there is of them, again and again. Raises Told."""
    now = Painting(how_far=progress(0, 0, "Waiting for the painter."))
    yield now
    async with aclosing(endpoints.events(asker, "POST", path, **content)) as events:
        async for event in events:
            if comment := event.get("comment"):
                now.how_far = progress_of(comment)
            elif event["type"].endswith(".partial_image"):
                number = event["partial_image_index"]
                take(now, event, f"{event['image_index']}-{number}", "not finished")
            elif event.get("b64_json"):
                seed = event["seed"]
                take(now, event, f"seed-{seed}", f"seed {seed}")
                now.seeds[event["image_index"]] = seed
                now.done.add(event["image_index"])
                marks = await marks_of(endpoints, asker, base64.b64decode(event["b64_json"]))
                now.say(*event["notes"], marks)
            else:  # what is not shown for its content
                now.paths.pop(event["image_index"], None)
                now.say(*(event["notes"] or ["A picture is not shown."]))
            yield now
    now.how_far = ""
    yield now


async def followed(work: AsyncGenerator[Painting, None]) -> AsyncGenerator[Painting, None]:
    """Give what work gives, and at last how it was left, where somebody stopped it or it failed. Raises Told."""
    now = Painting()
    async with aclosing(work):
        try:
            async for now in work:
                yield now
        except Told:
            yield replace(now.stopped(), how_far="")  # the error itself says the rest
            raise
    if not now.is_over:
        yield now.stopped()


def take(now: Painting, event: dict[str, Any], name: str, caption: str) -> None:
    """Show the picture of an event at its place."""
    data = base64.b64decode(event["b64_json"])
    now.paths[event["image_index"]] = kept(data, f"{name}.{event['output_format']}")
    now.captions[event["image_index"]] = caption


def progress_of(comment: str) -> str:
    """Return how far a stream is, from its comment: `step 3/30` or `accepted; pictures ahead: 2`."""
    word, _, rest = comment.partition(" ")
    if word == "step":
        done, total = map(int, rest.split("/"))
        return progress(done, total, f"Step {done} of {total}.")
    ahead = comment.rpartition(" ")[2]
    return progress(0, 0, "Painting begins." if ahead == "0" else f"Pictures of others that come first: {ahead}.")
