"""A map of an index as one page that opens without a network: points on a plane, the picture when one is touched.

Everything lies in the file: coordinates, captions, small pictures, and the script that draws them on a canvas.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
from markupsafe import Markup
from PIL import Image

from gencv.core.errors import BadImage, BadInput
from gencv.images.decode import decode
from gencv.plots.look import FAMILY_COLOURS, GENUINE, GREY, SERIES

THUMBNAIL_PX = 128
"""Longest side of a picture on the map; 2,000 of them make a page of some 8 MB."""
QUALITY = 70
MAX_NAMES = 11
"""Names in the legend, as many as there are colours; the rarer ones are drawn together as "other"."""


def atlas_page(points: np.ndarray, rows: pa.Table, names: Sequence[str], *, title: str, subtitle: str = "") -> str:
    """Return the page of points [N, 2], N rows of an index (uri, caption, thumbnail), and a name each, for its colour.

    Raises BadInput if these are not of one length.
    """
    if not len(points) == rows.num_rows == len(names):
        raise BadInput(f"A map takes a row and a name a point, not {rows.num_rows} and {len(names)} for {len(points)}.")
    groups, group_of = group(names)
    columns = (rows[name].to_pylist() for name in ("uri", "caption", "thumbnail"))
    shown = []
    for at, name, uri, captions, thumbnail in zip(points.round(3).tolist(), group_of, *columns, strict=True):
        caption = (captions or [""])[0]
        shown.append(
            {
                "at": at,
                "group": name,
                "name": uri.rpartition("/")[2],
                "caption": caption,
                "text": f"{' '.join(captions or ())} {uri}",
                "picture": small(thumbnail),
            }
        )
    data = {"groups": groups, "colours": colours_of(groups), "points": shown}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(Path(__file__).with_name("atlas.html.j2").read_text("utf-8"))
    return page.render(title=title, subtitle=subtitle, data=in_script(data))


def group(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the names of the legend, the most frequent first, and which of them each point has."""
    known, counts = np.unique(np.asarray(names, dtype=str), return_counts=True)
    ranked = [str(known[k]) for k in np.lexsort((known, -counts))]
    kept = ranked if len(ranked) <= MAX_NAMES else [*ranked[: MAX_NAMES - 1], "other"]
    place = {name: k for k, name in enumerate(kept)}
    return kept, [place.get(str(name), len(kept) - 1) for name in names]


def colours_of(groups: Sequence[str]) -> list[str]:
    """Return the fixed colours if every name is a family, else one of the series each."""
    if set(groups) <= {*FAMILY_COLOURS, "other"}:
        return [FAMILY_COLOURS.get(name, GREY) for name in groups]
    series = (GENUINE, *SERIES)
    return [GREY if name == "other" else series[k % len(series)] for k, name in enumerate(groups)]


def small(thumbnail: bytes | None) -> str:
    """Return a JPEG as a smaller one in base64, "" where there is none that can be read."""
    try:
        image = Image.fromarray(decode(thumbnail or b""))
    except BadImage:
        return ""
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()


def in_script(data: object) -> Markup:
    """Return JSON that no browser takes for the end of its script, whatever a caption says."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
