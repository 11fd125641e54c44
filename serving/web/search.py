"""The tab Search: pictures by words, by a picture, or by both."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import gradio as gr

from serving.web import hits
from serving.web.endpoints import Endpoints
from serving.web.files import picture_box, uploaded
from serving.web.said import Told

PAGE = 12
"""Pictures that are shown at once."""
KINDS = {"All": None, "Genuine": 0, "Spoofed or generated": 1}
SPLITS = ("", "train", "val", "test")
Shown = tuple[str, str, dict[str, Any], dict[str, Any]]
"""What there is to say, the cards, what was found so far, and the button for more."""


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""
    with gr.Row():
        with gr.Column(scale=3):
            text = gr.Textbox(label="What are you looking for?", placeholder="a cat on a chair", elem_id="search-text")
            negative = gr.Textbox(label="What should not be seen?", elem_id="search-negative")
            with gr.Accordion("Only some pictures", open=False):
                kind = gr.Radio(list(KINDS), value="All", label="Kind")
                with gr.Row():
                    generator = gr.Textbox(label="Made by", info="a generator, or a way to spoof, or camera")
                    source = gr.Textbox(label="Source")
                    split = gr.Dropdown(SPLITS, value="", label="Split")
                where = gr.Textbox(label="Condition, for experts", placeholder="width >= 640 AND split = 'test'")
                gr.on(None, columns_told(endpoints), None, where, api_visibility="private", show_progress="hidden")
            collapse = gr.Checkbox(True, label="Show pictures that look the same once")
            hybrid = gr.Checkbox(False, label="Look for the words in captions too")
        with gr.Column(scale=2):
            picture = picture_box("Or a picture that it should look like", "search-picture")
    button = gr.Button("Search", variant="primary", elem_id="search-button")
    said = gr.HTML(elem_id="search-said")
    found = gr.HTML(hits.NOTHING_YET, js_on_load=hits.ON_CLICK, elem_id="search-found")
    more = gr.Button("Show more", visible=False, elem_id="search-more")
    state = gr.State({})

    async def search(
        asker: gr.Request,
        text: str | None,
        negative: str | None,
        picture: str | None,
        collapse: bool,
        hybrid: bool,
        *filters: str | None,
    ) -> Shown:
        if not text and not picture:
            raise Told("Say what you are looking for, or give a picture.")
        words = {"text": text or "", "negative": negative or "", "where": condition(*filters)}
        options = {"collapse": collapse, "hybrid": hybrid and bool(text)}
        return await show(endpoints, asker, words | options, picture, {})

    async def like(asker: gr.Request, event: gr.EventData, collapse: bool) -> Shown:
        return await show(endpoints, asker, {"like": event.id, "collapse": collapse}, None, {})

    async def next_page(asker: gr.Request, before: dict[str, Any]) -> Shown:
        return await show(endpoints, asker, before["question"], before["picture"], before)

    outputs = [said, found, state, more]
    inputs = [text, negative, picture, collapse, hybrid, kind, generator, source, split, where]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": [button]}
    gr.on([button.click, text.submit, negative.submit, where.submit], search, inputs, outputs, **private)
    found.select(like, [collapse], outputs, **private)
    more.click(next_page, state, outputs, **private)


def columns_told(endpoints: Endpoints) -> Any:
    async def told(asker: gr.Request) -> dict[str, Any]:
        with suppress(Told):  # the page says what it is that shuts the tab
            index = (await endpoints.ask(asker, "GET", "/search/readyz"))["index"]
            return gr.update(info=f"Columns: {', '.join(index['columns'])}.")
        return gr.update()

    return told


async def show(
    endpoints: Endpoints, asker: gr.Request, question: dict[str, Any], picture: str | None, before: dict[str, Any]
) -> Shown:
    """Ask for a page and show it behind the pages before. Raises Told."""
    page = await ask(endpoints, asker, {**question, "k": PAGE, "cursor": before.get("cursor", "")}, picture)
    paths = [f"/search/v1/items/{quote(hit['id'], safe='')}/thumbnail" for hit in page["hits"]]
    thumbnails = await asyncio.gather(*(endpoints.file(asker, path) for path in paths))
    items = before.get("items", "") + hits.cards(page, thumbnails)
    count = before.get("count", 0) + len(page["hits"])
    now = {"question": question, "picture": picture, "items": items, "count": count, "cursor": page["cursor"]}
    return hits.remarks(page, count), hits.listing(items), now, gr.update(visible=bool(page["cursor"]))


async def ask(endpoints: Endpoints, asker: gr.Request, question: dict[str, Any], picture: str | None) -> Any:
    """Return a page of hits. Raises Told."""
    if picture is None:
        return await endpoints.ask(asker, "POST", "/search/v1/query", json=question)
    files = {"image": ("picture", uploaded(picture))}
    return await endpoints.ask(asker, "POST", "/search/v1/query", data=question, files=files)


def condition(kind: str | None, generator: str | None, source: str | None, split: str | None, where: str | None) -> str:
    """Return a filter, as the index reads it, of what was chosen."""
    label = KINDS[kind or "All"]
    parts = [] if label is None else [f"label = {label}"]
    chosen = {"generator": generator, "source": source, "split": split}
    parts += [f"{column} = {quoted(value)}" for column, value in chosen.items() if value]
    return " AND ".join([*parts, *([f"({where})"] if where else [])])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
