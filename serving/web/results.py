"""Where pictures appear that are being made: how far they are, what is to be said of them, and their files."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serving.web.markup import empty
from serving.web.painting import Painting
from serving.web.said import sentences


@dataclass(frozen=True)
class Results:
    """Its parts; `outputs` takes what `show` returns."""

    how_far: gr.HTML
    gallery: gr.Gallery
    said: gr.HTML
    files: gr.File
    seeds: gr.State
    """Of the pictures in the gallery, in its order."""

    @property
    def outputs(self) -> list[Any]:
        return [self.how_far, self.gallery, self.said, self.files, self.seeds]

    def show(self, now: Painting) -> list[Any]:
        """Return what the parts show of a painting."""
        files = gr.update(value=now.finished, visible=bool(now.finished))
        return [now.how_far, now.shown, now.facts + sentences(now.said), files, now.seeds_shown]


def lay_out(name: str, nothing_yet: str) -> Results:
    """Lay it out. name: of the tab, for its ids."""
    return Results(
        how_far=gr.HTML(empty(nothing_yet), elem_id=f"{name}-progress"),
        gallery=gr.Gallery(
            label="Pictures",
            columns=2,
            object_fit="contain",
            buttons=["fullscreen"],
            interactive=False,
            elem_id=f"{name}-pictures",
        ),
        said=gr.HTML(elem_id=f"{name}-said"),
        files=gr.File(
            label="Download", file_count="multiple", interactive=False, visible=False, elem_id=f"{name}-files"
        ),
        seeds=gr.State([]),
    )
