"""The page itself: its look, its head, and a tab for each thing that can be done."""

from pathlib import Path
from typing import Any

import gradio as gr

from serving.web import check, create, history, mockup, search
from serving.web.endpoints import Endpoints

HOUR_S = 3_600
FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
LOOK: dict[str, Any] = {
    # Fonts of the machine, as the page works without a network.
    "theme": gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=FONTS, font_mono=("ui-monospace", "monospace")
    ),
    "css_paths": Path(__file__).with_name("page.css"),
    "footer_links": [],
    "show_error": True,
}
"""How the page is mounted."""
TABS = {"Check": check, "Search": search, "Create": create, "Mockup": mockup, "History": history}


def build_page(endpoints: Endpoints) -> gr.Blocks:
    """Return the page. Files that people upload are deleted after an hour."""
    page: gr.Blocks = gr.Blocks(title="gencv", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S))
    with page:
        gr.HTML("<h1>gencv</h1><p>Is it genuine, where is it, and make me one.</p>", elem_id="head")
        with gr.Tabs():
            for name, room in TABS.items():
                with gr.Tab(name, id=name.lower()):
                    room.tab(endpoints)
    return page
