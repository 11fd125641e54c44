"""The mask that a person paints with a brush, as the endpoints take it: transparent where to paint anew."""

import io
from typing import Any

from PIL import Image, ImageChops

from gencv.core.errors import BadImage
from gencv.images.decode import image_size
from serving.web.files import uploaded
from serving.web.said import Told


def mask_of(drawn: dict[str, Any] | None, picture: str) -> bytes | None:
    """Return a PNG of the size of the picture as it is seen, or None where nothing is brushed. Raises Told.

    drawn: what the editor gives, whose layers are Pillow's RGBA pictures. picture: the path of the file.
    """
    layers = [layer.getchannel("A") for layer in (drawn or {}).get("layers", [])]
    if not any(layer.getbbox() for layer in layers):
        return None
    try:
        size = image_size(uploaded(picture))
    except BadImage as error:
        raise Told(str(error)) from None
    brushed = Image.new("L", size)
    for layer in layers:
        is_brushed = layer.resize(size).point(lambda alpha: 255 if alpha > 0 else 0)
        brushed = ImageChops.lighter(brushed, is_brushed)
    mask = Image.new("RGBA", size)
    mask.putalpha(ImageChops.invert(brushed))
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    return stream.getvalue()
