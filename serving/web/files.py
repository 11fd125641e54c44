"""Files between a browser and the endpoints, byte for byte: what was uploaded, and what is shown and downloaded.

Both lie in Gradio's cache, which the page empties of what is old.
"""

from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from serving.web.said import Told


def uploaded(path: str) -> bytes:
    """Return what a person uploaded. Raises Told."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise Told("The picture is not here any more; choose it again.") from None


def kept(data: bytes, name: str) -> str:
    """Return the path under which the page shows a file, which the browser downloads by this name."""
    path: str = save_bytes_to_cache(data, name, get_upload_folder())
    return path


def picture_box(label: str, elem_id: str) -> gr.Image:
    """Return a place for a picture, of which the very file is taken: with a mode Gradio would save it anew."""
    return gr.Image(
        type="filepath",
        image_mode=None,
        label=label,
        sources=["upload", "clipboard"],
        elem_id=elem_id,
        height=220,
        buttons=[],
    )
