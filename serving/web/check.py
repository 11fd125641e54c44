"""The tab Check: is a picture genuine, how sure is that, and why."""

from pathlib import Path
from typing import Any

import gradio as gr

from serving.web.endpoints import Endpoints


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""

    async def judge(path: str | None, asker: gr.Request) -> dict[str, Any]:
        if not path:
            raise gr.Error("Give a picture first.")
        files = {"image": ("picture", Path(path).read_bytes())}
        found = await endpoints.ask(asker, "POST", "/spoof/v1/check", files=files)
        result: dict[str, Any] = found["results"][0]
        return result

    with gr.Row():
        with gr.Column():
            image = gr.Image(type="filepath", label="Picture", sources=["upload", "clipboard", "webcam"])
            button = gr.Button("Check", variant="primary")
        with gr.Column():
            verdict = gr.JSON(label="Verdict")
    button.click(judge, image, verdict, api_visibility="private")
