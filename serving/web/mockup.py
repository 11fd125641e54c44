"""The tab Mockup: a product on a thing or in a scene."""

import base64
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.faithful import words_of
from serving.web.files import kept, picture_box, uploaded
from serving.web.marks import marks_of
from serving.web.markup import facts
from serving.web.painting import Painting
from serving.web.results import lay_out
from serving.web.said import progress

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

    async def places(asker: gr.Request) -> Any:
        with suppress(gr.Error):  # the page says what it is that shuts the tab
            return gr.update(choices=choices_of(await endpoints.ask(asker, "GET", "/v1/mockups")))
        return gr.update()

    async def make(
        asker: gr.Request, product: str | None, where: str | None, art: str, fit: str, seed: int
    ) -> AsyncGenerator[list[Any], None]:
        if not product:
            raise gr.Error("Give a picture of a product first.")
        if not where:
            raise gr.Error("Choose where it goes.")
        yield results.show(Painting(how_far=progress(0, 0, "Making it.")))
        kind, _, name = where.partition(":")
        said: dict[str, Any] = {kind: name, "seed": seed} if kind == "scene" else {kind: name, "art": art, "fit": fit}
        files = {"product": ("picture", uploaded(product))}
        answer = await endpoints.ask(asker, "POST", "/v1/mockups", data=said, files=files)
        yield results.show(await finished(endpoints, asker, product, answer["data"][0]))

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    begun = button.click(make, [product, where, art, fit, seed], results.outputs, **private)
    halted = stop.click(None, cancels=[begun], **private)
    halted.then(lambda: results.stopped, None, results.how_far, **private)
    where.change(options_of, where, [of_prints, of_scenes], **private)
    gr.on(None, places, None, where, **private)


async def finished(endpoints: Endpoints, asker: gr.Request, product: str, made: dict[str, Any]) -> Painting:
    """Return the product and its mockup, side by side, and what there is to say of it. Raises gr.Error."""
    now = Painting(paths={0: product}, captions={0: "what you gave"})
    now.say(*made["notes"])
    if made["b64_json"]:
        data = base64.b64decode(made["b64_json"])
        now.paths[1], now.captions[1] = kept(data, f"mockup-{made['name']}.png"), made["name"]
        now.done.add(1)
        now.facts = facts(words_of(made["fidelity"]))
        now.say(await marks_of(endpoints, asker, data))
    return now


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
