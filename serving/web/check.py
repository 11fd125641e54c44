"""The tab Check: is a picture genuine, how sure is that, and why."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from serving.web.endpoints import Endpoints
from serving.web.feedback import Judged, about, panel
from serving.web.markup import LIVE, empty
from serving.web.said import Told
from serving.web.verdicts import card

MOST = 16
"""Pictures at a time. Each is a request of its own, so that all of them together may be large."""
WHY = {"Where the detector looks": "attention", "The nearest pictures that it knows": "neighbours"}
NOTHING_YET = "Give one or more pictures, then press Check. They are judged as they are, byte for byte."


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""

    async def judge(
        pictures: list[tuple[str, str | None]] | None,
        why: list[str],
        bundles: list[str],
        habits: list[str],
        asker: gr.Request,
    ) -> AsyncGenerator[list[Any], None]:
        if not pictures:
            raise Told("Give a picture first.")
        if len(pictures) > MOST:
            raise Told(f"At most {MOST} pictures at a time; these are {len(pictures)}.")
        options = {
            "explain": why,
            "bundles": bundles,
            "faces": "each" if "faces" in habits else "largest",
            "reencode": "reencode" in habits,
        }
        cards, judged = "", []
        for number, (path, _) in enumerate(pictures, 1):
            busy = f'<p class="busy">Checking {number} of {len(pictures)} …</p>'
            yield [cards + busy, *about([])]
            result = await result_of(endpoints, asker, Path(path), options)
            cards += card(result, f"/gradio_api/file={quote(path)}")
            judged += judged_of(result)
        yield [cards, *about(judged)]

    async def known(asker: gr.Request) -> gr.CheckboxGroup:
        names = list((await endpoints.ask(asker, "GET", "/spoof/readyz"))["bundles"])
        return gr.CheckboxGroup(choices=names, value=names, visible=len(names) > 1)

    with gr.Row():
        with gr.Column(scale=2):
            pictures = gr.Gallery(
                type="filepath",
                label="Pictures",
                sources=["upload", "clipboard", "webcam"],
                file_types=["image"],
                interactive=True,
                columns=3,
                height="auto",
                object_fit="contain",
                buttons=[],
                elem_id="check-pictures",
            )
            button = gr.Button("Check", variant="primary", elem_id="check-button")
            with gr.Accordion("Options", open=False, elem_id="check-options"):
                why = gr.CheckboxGroup(list(WHY.items()), label="Show why", elem_id="check-why")
                bundles = gr.CheckboxGroup(label="Detectors", visible=False, elem_id="check-bundles")
                habits = gr.CheckboxGroup(
                    [("Judge saved-again copies too (surer, slower)", "reencode"), ("Judge every face", "faces")],
                    value=["reencode"],
                    label="How",
                    elem_id="check-how",
                )
        with gr.Column(scale=3):
            results = gr.HTML(empty(NOTHING_YET), html_template=LIVE, elem_id="check-results")
            feedback = panel(endpoints, "check")
    button.click(
        judge,
        [pictures, why, bundles, habits],
        [results, *feedback.outputs],
        show_progress_on=results,
        concurrency_limit=4,
        api_visibility="private",
    )
    gr.on(None, known, None, bundles, show_progress="hidden", api_visibility="private")


async def result_of(endpoints: Endpoints, asker: gr.Request, path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return a picture's result, whose `error` says why it has no verdict."""
    files = {"image": (path.name, path.read_bytes())}
    try:
        found = await endpoints.ask(asker, "POST", "/spoof/v1/check", files=files, data=options)
    except Told as error:
        return {"name": path.name, "error": {"message": error.message}}
    result: dict[str, Any] = found["results"][0]
    return result


def judged_of(result: dict[str, Any]) -> list[Judged]:
    """Return what the panel may speak of: nothing where there is no verdict."""
    if result["error"]:
        return []
    answers = result["answers"]
    return [
        Judged(
            name=result["name"],
            picture_id=result["id"],
            verdict_id=answers[0].get("verdict_id") if len(answers) == 1 else None,
            tasks=tuple(dict.fromkeys(answer["task"] for answer in answers)),
        )
    ]
