"""The tab Mockup: a product on a thing or in a scene."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.faithful import words_of
from serving.web.files import kept, picture_box, uploaded
from serving.web.marks import marks_of
from serving.web.markup import facts
from serving.web.painting import Painting, followed
from serving.web.results import lay_out
from serving.web.said import Told, progress
from serving.web.stopping import Stops

NOTHING_YET = "Give a picture of a product, choose where it goes, and press Make it."
FITS = {"Fill the area, and cut off what is too long": "cover", "Show all of it, with a margin": "contain"}
ARTS = {"The picture as it is": "photo", "The product without its background": "cutout"}


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""
    with gr.Row():
        with gr.Column():
            product = picture_box("Your product", "mockup-product")
            where = gr.Radio([], label="Where it goes", elem_id="mockup-where")
            with gr.Column(visible=False) as of_prints:
                art = gr.Radio(list(ARTS.items()), value="photo", label="What is printed", elem_id="mockup-art")
                fit = gr.Radio(list(FITS.items()), value="cover", label="How it fits", elem_id="mockup-fit")
            with gr.Column(visible=False) as of_scenes:
                seed = gr.Number(0, label="Seed", precision=0, info="another one is another background")
            with gr.Row():
                button = gr.Button("Make it", variant="primary", elem_id="mockup-button")
                stop = gr.Button("Stop", elem_id="mockup-stop")
        with gr.Column():
            results = lay_out("mockup", NOTHING_YET)
    stops = Stops()

    async def places(asker: gr.Request) -> Any:
        with suppress(Told):  # the page says what it is that shuts the tab
            return gr.update(choices=choices_of(await endpoints.ask(asker, "GET", "/v1/mockups")))
        return gr.update()

    async def make(
        asker: gr.Request, product: str | None, where: str | None, art: str, fit: str, seed: int
    ) -> AsyncGenerator[list[Any], None]:
        if not product:
            raise Told("Give a picture of a product first.")
        if not where:
            raise Told("Choose where it goes.")
        kind, _, name = where.partition(":")
        said: dict[str, Any] = {kind: name, "seed": seed} if kind == "scene" else {kind: name, "art": art, "fit": fit}
        async with aclosing(followed(stops.until_stopped(asker, made(endpoints, asker, product, said)))) as paintings:
            async for now in paintings:
                yield results.show(now)

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    button.click(make, [product, where, art, fit, seed], results.outputs, **private)
    stop.click(stops.stop, None, None, **private)
    where.change(options_of, where, [of_prints, of_scenes], **private)
    gr.on(None, places, None, where, **private)


async def made(
    endpoints: Endpoints, asker: gr.Request, product: str, said: dict[str, Any]
) -> AsyncGenerator[Painting, None]:
    """Give that it is being made, then product and mockup side by side with what there is to say. Raises Told."""
    yield Painting(how_far=progress(0, 0, "Making it."))
    files = {"product": ("picture", uploaded(product))}
    answer = await endpoints.ask(asker, "POST", "/v1/mockups", data=said, files=files)
    (mockup,) = answer["data"]
    data, name = base64.b64decode(mockup["b64_json"]), mockup["name"]
    now = Painting(paths={0: product}, captions={0: "what you gave"}, facts=facts(words_of(mockup["fidelity"])))
    now.paths[1], now.captions[1] = kept(data, f"mockup-{name}.png"), name
    now.done.add(1)
    now.say(*mockup["notes"], await marks_of(endpoints, asker, data))
    yield now


def choices_of(known: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what can be chosen: what is said of each, and `template:NAME` or `scene:NAME`."""
    return [
        (f"{one['name']}: {one['description']}", f"{kind}:{one['name']}")
        for kind in ("template", "scene")
        for one in known[f"{kind}s"]
    ]


def options_of(where: str | None) -> tuple[Any, Any]:
    """Show what may be chosen of a print, or of a scene."""
    kind = (where or "").partition(":")[0]
    return gr.update(visible=kind == "template"), gr.update(visible=kind == "scene")
