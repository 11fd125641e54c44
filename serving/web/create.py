"""The tab Create: pictures by words, from a picture, into a part of one, and comparisons of many."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import gradio as gr

from serving.web import sweep
from serving.web.endpoints import Endpoints
from serving.web.files import picture_box, uploaded
from serving.web.mask import mask_of
from serving.web.painting import MAX_PARTIALS, Painting, followed, painted
from serving.web.results import lay_out
from serving.web.said import Told
from serving.web.stopping import Stops

SIZES = ["auto", "256x256", "512x512", "768x768", "1024x1024"]
FORMATS = ["png", "jpeg", "webp"]
NOTHING_YET = "Say what should be seen, and press Create."
BRUSH = gr.Brush(colors=["#e11d48"], color_mode="fixed", default_size=24)


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""
    with gr.Row():
        with gr.Column():
            asked = words()
            begun = start()
            asked |= details(endpoints)
            with gr.Row():
                button = gr.Button("Create", variant="primary", elem_id="create-button")
                stop = gr.Button("Stop", elem_id="create-stop")
            with gr.Accordion("Compare", open=False, elem_id="create-compare"):
                compared = comparison()
                compare = gr.Button("Compare", elem_id="create-compare-button")
        with gr.Column():
            results = lay_out("create", NOTHING_YET)
            again = gr.Button("Again with this seed", visible=False, elem_id="create-again")
            chosen = gr.State(0)
    stops = Stops()
    given = [*begun, *asked.values()]
    names = list(asked)

    async def create(
        asker: gr.Request, picture: str | None, strength: float, drawn: dict[str, Any] | None, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        request = request_of(names, values, picture) | {"stream": True, "partial_images": MAX_PARTIALS}
        path, content = "/v1/images/generations", {"json": request}
        if picture:
            files = {"image": ("picture", uploaded(picture))}
            if mask := mask_of(drawn, picture):
                files["mask"] = ("mask.png", mask)
            path, content = "/v1/images/edits", {"data": {**request, "strength": strength}, "files": files}
        work = stops.until_stopped(asker, painted(endpoints, asker, path, **content))
        async with aclosing(followed(work)) as paintings:
            async for now in paintings:
                yield told(now)

    async def compare_all(
        asker: gr.Request, picture: str | None, strength: float, drawn: dict[str, Any] | None, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        request = request_of(names, values[: len(names)], picture)
        lists = sweep.lists_of(*values[len(names) :])
        files: dict[str, bytes | None] = {}
        if picture:
            lists = {"strength": [strength]} | lists
            files = {"image": uploaded(picture), "mask": mask_of(drawn, picture)}
        body = sweep.job_of(request, lists, files)
        async with aclosing(followed(stops.until_stopped(asker, sweep.swept(endpoints, asker, body)))) as paintings:
            async for now in paintings:
                yield told(now)
        if not now.is_over:
            await endpoints.ask(asker, "POST", f"/v1/jobs/{now.job}/cancel")

    def told(now: Painting) -> list[Any]:
        return [*results.show(now), gr.update(visible=bool(now.seeds))]

    outputs = [*results.outputs, again]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    # One of them at a time: the second press of a button, or of Enter, waits for nothing and does nothing.
    gr.on([button.click, asked["prompt"].submit], create, given, outputs, trigger_mode="once", **private)
    compare.click(compare_all, [*given, *compared], outputs, **private)
    stop.click(stops.stop, None, None, **private)
    results.gallery.select(place_of, None, chosen, **private)
    again.click(seed_at, [results.seeds, chosen], asked["seed"], **private)


def words() -> dict[str, Any]:
    """Lay out what says what is to be seen, by the names of a request."""
    return {
        "prompt": gr.Textbox(
            label="What should be seen?",
            placeholder="a red apple on a white background",
            lines=1,
            max_lines=6,
            elem_id="create-prompt",
        ),
        "negative_prompt": gr.Textbox(label="What should not be seen?", elem_id="create-negative"),
        "n": gr.Number(1, minimum=1, maximum=10, precision=0, label="How many", elem_id="create-count"),
    }


def start() -> list[Any]:
    """Lay out what may be begun with: a picture, how far to leave it, and what of it."""
    with gr.Accordion("Start from a picture", open=False, elem_id="create-start"):
        picture = picture_box("Picture to start from", "create-picture")
        strength = gr.Number(
            0.8,
            minimum=0,
            maximum=1,
            step=0.05,
            label="How far to leave it",
            info="from 0 to 1, which keeps nothing of it",
        )
        editor = gr.ImageEditor(
            type="pil",
            label="Brush over what should be painted anew; without that, all of it is",
            sources=(),
            transforms=(),
            layers=False,
            brush=BRUSH,
            visible=False,
            elem_id="create-mask",
        )
    picture.change(to_brush, picture, editor, api_visibility="private", show_progress="hidden")
    return [picture, strength, editor]


def details(endpoints: Endpoints) -> dict[str, Any]:
    """Lay out what may be left as it is, by the names of a request."""

    async def models(asker: gr.Request) -> Any:
        with suppress(Told):  # the page says what it is that shuts the tab
            names = [one["id"] for one in (await endpoints.ask(asker, "GET", "/v1/models"))["data"]]
            return gr.update(choices=names, value=names[0])
        return gr.update()

    with gr.Accordion("More", open=False, elem_id="create-more"):
        with gr.Row():
            size = gr.Dropdown(SIZES, value="auto", label="Size", allow_custom_value=True)
            kind = gr.Dropdown(FORMATS, value="png", label="Format", elem_id="create-format")
        with gr.Row():
            # Texts, as Gradio's own field of a number cannot be left open: it shows, and means, 0.
            seed = gr.Textbox(label="Seed", placeholder="by chance", min_width=100, elem_id="create-seed")
            steps = gr.Textbox(label="Steps", placeholder="as set here", min_width=100, elem_id="create-steps")
            guidance = gr.Textbox(label="Guidance", placeholder="as set here", min_width=100, elem_id="create-guidance")
        model = gr.Dropdown([], label="Painter", elem_id="create-model")
        gr.on(None, models, None, model, api_visibility="private", show_progress="hidden")
    return {
        "size": size,
        "output_format": kind,
        "seed": seed,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "model": model,
    }


def comparison() -> list[Any]:
    """Lay out the values that are compared."""
    gr.Markdown(f"One picture for each combination, {sweep.MOST} at most, and a sheet with all of them.")
    return [
        gr.Textbox(label="How far to leave the picture", placeholder="0.3, 0.6, 0.9", elem_id="create-strengths"),
        gr.Textbox(label="Guidance", placeholder="2, 5, 8", elem_id="create-guidances"),
        gr.Textbox(label="Seeds", placeholder="1, 2, 3", elem_id="create-seeds"),
    ]


def request_of(names: list[str], values: tuple[Any, ...], picture: str | None) -> dict[str, Any]:
    """Return a request, without what was left open. Raises Told where it says nothing."""
    said = {name: value for name, value in zip(names, values, strict=True) if value is not None and value != ""}
    if not said.get("prompt") and not picture:
        raise Told("Say what should be seen.")
    return {"prompt": "", **said}


def to_brush(picture: str | None) -> Any:
    """Show a picture in the editor, to be brushed over."""
    value: Any = {"background": picture, "layers": [], "composite": None} if picture else None
    return gr.update(value=value, visible=bool(picture))


def place_of(event: gr.SelectData) -> int:
    """Return which picture of a gallery was chosen."""
    return int(event.index)


def seed_at(seeds: list[int], place: int) -> str:
    """Return the seed of the picture that was chosen; of the last one where there are fewer by now."""
    return str(seeds[min(place, len(seeds) - 1)])
