"""A scene: what a product is put into, as a prompt for a painter, colours to begin with, a place, and a light.

Five lie in `scenes.json`; one of your own is a JSON file with the same keys. docs/mockup.md has an example.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gencv.core.errors import BadInput, UnknownName
from gencv.core.settings import Settings
from gencv.mockup.described import read_object, require_name

SCENES_PATH = Path(__file__).with_name("scenes.json")


@dataclass(frozen=True, kw_only=True)
class Scene(Settings):
    """What a product is put into. Shares are of the picture's sides. Raises BadInput where the values cannot be."""

    name: str
    prompt: str
    negative_prompt: str = ""
    wall: str = "#e4e3e1"
    """Colour of what is behind the product, before the painter begins."""
    floor: str = "#d6d4d1"
    """Colour of what it stands on."""
    horizon: float = 0.64
    """Where the floor meets the wall, from the top."""
    seam: float = 0.05
    """How wide the way from one to the other is: 0 is an edge, .2 the sweep of a paper backdrop."""
    place: str | tuple[float, float] = "floor"
    """A name of PLACES, or where the middle of the product's foot stands: [from the left, from the top]."""
    size: float = 0.55
    """The share of the picture, across or down, that the product fills."""
    width: int = 768
    """In px."""
    height: int = 768
    light_deg: float = -35.0
    """Where the light comes from: -80 the left, 0 the camera, 80 the right."""
    relight: float = 0.0
    """How much of the scene's light falls on the product; 0 leaves its px as they are."""
    strength: float = 0.6
    """How far the painter may leave the colours that it begins with: 1 wholly."""
    guidance_scale: float = 6.0
    num_inference_steps: int = 30
    scheduler: str = "default"

    def __post_init__(self) -> None:
        require_name("scene", self.name)
        for field in ("prompt", "negative_prompt", "scheduler"):
            if not isinstance(getattr(self, field), str):
                raise BadInput(f"The {field} of the scene {self.name} is no text.")
            if any("\ud800" <= letter <= "\udfff" for letter in getattr(self, field)):
                raise BadInput(f"The {field} of the scene {self.name} has half a character; Unicode text is accepted.")
        if not self.prompt.strip():
            raise BadInput(f"The scene {self.name} has no prompt; say in it what is around the product.")
        for field in ("wall", "floor"):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(getattr(self, field))):
                raise BadInput(f"The {field} of the scene {self.name} is {getattr(self, field)!r}, not as #d6d4d1.")
        for field, (least, most) in RANGES.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise BadInput(f"The {field} of the scene {self.name} is {value!r}; {least} to {most} is accepted.")
            if isinstance(least, int):
                if value != int(value):
                    raise BadInput(f"The {field} of the scene {self.name} is {value!r}; whole numbers are accepted.")
                object.__setattr__(self, field, int(value))  # 512.0 is one, but measures no array
        object.__setattr__(self, "place", self._place())
        if self.scheduler != "default" or self.strength * self.num_inference_steps < 2:
            from gencv.diffusion.checks import num_steps_run  # brings diffusers, which few scenes need
            from gencv.diffusion.schedulers import require_scheduler

            require_scheduler(self.scheduler)
            if not num_steps_run(self.num_inference_steps, self.strength):
                raise BadInput(
                    f"The strength of the scene {self.name}, {self.strength}, leaves none of its "
                    f"{self.num_inference_steps} steps to run; {1 / self.num_inference_steps:.3g} or more, or more "
                    "steps are accepted."
                )

    def _place(self) -> str | tuple[float, float]:
        if isinstance(self.place, str):
            if self.place not in PLACES:
                raise UnknownName("place", self.place, [*PLACES, "or two shares [x, y]"])
            return self.place
        try:
            x, y = (float(number) for number in self.place)
        except (TypeError, ValueError):
            raise BadInput(
                f"The place of the scene {self.name} is {self.place!r}; a name or [x, y] is accepted."
            ) from None
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise BadInput(
                f"The place of the scene {self.name} is outside of the picture: {x}, {y}; shares are 0 to 1."
            )
        if y <= self.horizon:
            raise BadInput(
                f"The scene {self.name} contradicts itself: the product's foot at {y} of the height would stand on the "
                f"wall, as the floor begins at {self.horizon}."
            )
        return x, y


PLACES = {"centre": (0.5, 0.5), "floor": (0.5, 0.68), "back": (0.5, 0.4), "left": (0.36, 0.68), "right": (0.64, 0.68)}
"""Where the middle of a product's foot stands: a share of the width, and one of the floor, from the horizon on."""

RANGES: dict[str, tuple[float, float]] = {
    "horizon": (0.0, 0.9),
    "seam": (0.0, 0.5),
    "size": (0.02, 0.95),
    "light_deg": (-80.0, 80.0),
    "relight": (0.0, 1.0),
    "strength": (0.02, 1.0),
    "guidance_scale": (0.0, 50.0),
    "width": (64, 4096),
    "height": (64, 4096),
    "num_inference_steps": (1, 1000),
}
"""The least and the most of each number; two whole ones where the number must be whole."""


@cache
def scenes() -> dict[str, Scene]:
    """Return the scenes that come with gencv, by name."""
    found = [Scene.from_dict(values) for values in json.loads(SCENES_PATH.read_text())]
    return {scene.name: scene for scene in found}


def scene_of(name: str) -> Scene:
    """Return a scene by its name, or from a JSON file or URI. Raises UnknownName, and BadInput with what is odd."""
    if name in scenes():
        return scenes()[name]
    if not name.endswith(".json"):
        raise UnknownName("scene", name, [*scenes(), "or a JSON file"])
    return Scene.from_dict(read_object(name, "a scene has a name, a prompt, and more"))
