"""What a finished picture says of itself, read back from its very file."""

import gradio as gr

from serving.web.endpoints import Endpoints

WORDS = {
    "credentials": "signed credentials",
    "watermark": "an invisible watermark",
    "parameters": "how it was made, written into the file",
}


async def marks_of(endpoints: Endpoints, asker: gr.Request, data: bytes) -> str:
    """Return in a sentence what of its making a file carries. Raises Told."""
    files = {"image": ("picture", data)}
    found = await endpoints.ask(asker, "POST", "/v1/provenance/verify", files=files)
    said = [words for name, words in WORDS.items() if name in found["found"]]
    return f"Marked as made with gencv: {', '.join(said)}." if said else "Nothing says where the file comes from."
