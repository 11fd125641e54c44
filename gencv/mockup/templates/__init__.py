"""Six templates that code draws, the same ones every time: nothing to download, and their light is known exactly."""

import functools
import inspect
from collections.abc import Callable

from gencv.core import storage
from gencv.core.errors import UnknownName
from gencv.mockup.template import LAYOUT, Template, load
from gencv.mockup.templates import box, mug, phone, poster, shirt, tote

TEMPLATES: dict[str, Callable[[], Template]] = {
    "mug": mug.draw,
    "shirt": shirt.draw,
    "poster": poster.draw,
    "phone": phone.draw,
    "tote": tote.draw,
    "box": box.draw,
}
"""What can be printed on by name."""


def sentences() -> dict[str, str]:
    """Return what each template shows, by its name: the first sentence of its module."""
    return {name: (inspect.getdoc(inspect.getmodule(draw)) or "").split("\n")[0] for name, draw in TEMPLATES.items()}


@functools.lru_cache(maxsize=16)
def template_of(name: str) -> Template:
    """Return a template by its name, or from its folder. Raises UnknownName, and BadInput where a folder holds none."""
    if name in TEMPLATES:
        return TEMPLATES[name]()
    if storage.is_uri(name) or "/" in name or storage.exists(storage.join(name, LAYOUT)):
        return load(name)
    raise UnknownName("template", name, [*TEMPLATES, "or the folder of one"])
