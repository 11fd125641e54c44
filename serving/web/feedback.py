"""The panel in which a person says what a picture is; tabs that show verdicts have one."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.said import Told
from serving.web.words import CHOICES, TASKS


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A picture that has verdicts, as the panel speaks of it."""

    name: str
    picture_id: str
    verdict_id: str | None
    """Where there is one verdict, and a row of it."""
    tasks: tuple[str, ...]

    def body(self) -> dict[str, str]:
        """Return how feedback names it."""
        return {"verdict_id": self.verdict_id} if self.verdict_id else {"picture_id": self.picture_id}


@dataclass(frozen=True)
class Panel:
    """Its parts; `outputs` takes what `about` returns."""

    subjects: gr.State
    group: gr.Column
    which: gr.Dropdown
    label: gr.Radio
    note: gr.Textbox
    saved: gr.Textbox
    """Changes with every correction; listen to it where rows are shown."""

    @property
    def outputs(self) -> list[Any]:
        return [self.subjects, self.group, self.which, self.label, self.note]


def panel(endpoints: Endpoints, name: str) -> Panel:
    """Lay out a panel, out of sight until it is about something. name: of the tab, for its ids."""
    subjects = gr.State([])
    with gr.Column(visible=False, elem_classes="card", elem_id=f"{name}-feedback") as group:
        gr.HTML("<h4>Is that wrong? Say what it is</h4>")
        which = gr.Dropdown(label="Picture", elem_id=f"{name}-feedback-picture")
        label = gr.Radio(label="What it is", elem_id=f"{name}-feedback-label")
        note = gr.Textbox(
            label="Note", placeholder="How you know, if you like", max_length=2000, elem_id=f"{name}-feedback-note"
        )
        button = gr.Button("Save", elem_id=f"{name}-feedback-save")
    saved = gr.Textbox(visible=False)

    async def save(about: list[Judged], number: int, said: str | None, words: str, asker: gr.Request) -> Any:
        if said is None or not about:
            raise Told("Choose what it is first.")
        body = {**about[number].body(), "label": said, "note": words}
        kept = await endpoints.ask(asker, "POST", "/spoof/v1/feedback", json=body)
        gr.Info("Saved, for the next training. It stands in History.")
        return "", kept["id"]

    how: Any = {"inputs": [subjects, which, label, note], "outputs": [note, saved], "api_visibility": "private"}
    gr.on([button.click, note.submit], save, **how)
    return Panel(subjects, group, which, label, note, saved)


def about(subjects: list[Judged]) -> list[Any]:
    """Return what a panel's outputs become."""
    tasks = {task: None for one in subjects for task in one.tasks}
    choices = [choice for task in tasks for choice in zip(CHOICES[task], TASKS[task], strict=True)]
    names = [(one.name, number) for number, one in enumerate(subjects)]
    return [
        subjects,
        gr.Column(visible=bool(subjects)),
        gr.Dropdown(choices=names, value=0 if names else None, visible=len(names) > 1),
        gr.Radio(choices=choices, value=None),
        "",
    ]
