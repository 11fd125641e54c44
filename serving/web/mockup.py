"""The tab Mockup."""

import gradio as gr

from serving.web.endpoints import Endpoints


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""
    gr.Markdown("Not there yet.")
