"""The page itself: its look, its head, and a tab for each thing that can be done."""

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr

from serving.web import check, create, history, mockup, search
from serving.web.endpoints import Endpoints
from serving.web.entry import COOKIE

HOUR_S = 3_600
AT_ONCE, WAITING = 16, 256
"""Of each kind of event, and of all that wait for their turn; more are told that the queue is full."""
FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
# Fonts of the machine, as the page works without a network; colours that can be told apart in sunlight.
THEME = gr.themes.Base(
    primary_hue="teal", neutral_hue="stone", font=FONTS, font_mono=("ui-monospace", "monospace")
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_label_text_color="*neutral_700",
    block_title_text_color="*neutral_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_hover="#991b1b",
    button_cancel_text_color="white",
    button_cancel_text_color_dark="white",
    button_cancel_background_fill_dark="#b91c1c",
)
LOOK: dict[str, Any] = {
    "theme": THEME,
    "css_paths": [Path(__file__).with_name(name) for name in ("page.css", "results.css")],
    "favicon_path": str(Path(__file__).with_name("page.svg")),
    "footer_links": [],
    "show_error": True,
    "i18n": gr.I18n(en={"common.webcam": "Take a picture"}),  # Gradio forgot the word of this one button
    "run_history": False,  # which would keep what people give and get in their browsers
}
"""How the page is mounted."""
TABS = {
    "Check": (check, "/spoof"),
    "Search": (search, "/search"),
    "Create": (create, "/v1"),
    "Mockup": (mockup, "/v1"),
    "History": (history, "/spoof"),
}
"""What each tab is made by, and the application that it asks."""
HEAD = "<h1>gencv</h1><p>Is it genuine, where is it, and make me one.</p>"
SIGN_OUT = '<a href="/logout">Sign out</a>'


def note(why: str) -> gr.Markdown:
    """Return what a tab says above itself where its application is shut."""
    return gr.Markdown(f"**{why}** Nothing in this tab works.", visible=bool(why))


def build_page(endpoints: Endpoints) -> gr.Blocks:
    """Return the page. Files that people upload are deleted after an hour."""

    async def opened(asker: gr.Request) -> list[Any]:
        applications = {application for _, application in TABS.values()}
        said = await asyncio.gather(*(endpoints.shut(asker, application) for application in applications))
        why = dict(zip(applications, said, strict=True))
        notes = [note(why[application]) for _, application in TABS.values()]
        return [HEAD + (SIGN_OUT if COOKIE in asker.cookies else ""), *notes]

    page = gr.Blocks(title="gencv", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S))
    with page:
        head = gr.HTML(HEAD, elem_id="head")
        notes = []
        with gr.Tabs(overflow_behavior="wrap"):
            for name, (room, _) in TABS.items():
                with gr.Tab(name, id=name.lower()):
                    notes.append(gr.Markdown(visible=False, elem_id=f"{name.lower()}-shut"))
                    room.tab(endpoints)
        page.load(opened, None, [head, *notes], show_progress="hidden", api_visibility="private")
    page.queue(default_concurrency_limit=AT_ONCE, max_size=WAITING, api_open=False)
    return page
