"""The pictures that the starter painter learns from: an emoji in a colour, somewhere on a plain background.

The art is Noto's (Apache-2.0), as the npm package `emoji-datasource-google` has it, 64 x 64 px. `starter_names.txt`
lists which of it, and by which name. What a picture shows follows from `rng_for(seed, number)` alone.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from gencv.core.errors import BadInput
from gencv.core.seeds import rng_for

SIZE_PX = 64
NAMES_PATH = Path(__file__).with_name("starter_names.txt")
HUES = {"red": 0, "orange": 26, "yellow": 50, "green": 120, "blue": 215, "purple": 275, "pink": 325}
"""Colour words and their hues in degrees."""
BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (20, 20, 22),
    "grey": (150, 150, 152),
    "red": (205, 55, 50),
    "yellow": (250, 222, 100),
    "green": (90, 165, 95),
    "blue": (70, 125, 205),
    "pink": (245, 175, 200),
}
"""Background words and their sRGB colours; each picture has its own shade of it."""


@dataclass(frozen=True)
class Shown:
    """What a picture shows. colour: "" is the art's own. In a test picture it is one that training leaves out."""

    name: str
    colour: str
    background: str

    @property
    def caption(self) -> str:
        """The full caption."""
        return f"a {self.colour + ' ' if self.colour else ''}{self.name} on a {self.background} background"


@cache
def names() -> dict[str, str]:
    """Return {name: file} of the art."""
    lines = NAMES_PATH.read_text().splitlines()
    return {name: file for file, name in (line.split(" ", 1) for line in lines)}


def is_held_out(name: str, colour: str) -> bool:
    """Say whether a name is never shown in that colour while training: about one combination in eight."""
    return bool(colour) and float(rng_for(0, "held out", name, colour).random()) < 0.125


class Art:
    """The emoji of `names`, read once. Raises BadInput where a file is not there."""

    def __init__(self, folder: Path) -> None:
        """folder: `img/google/64` of the package, or the package."""
        place = folder / "img/google/64" if (folder / "img/google/64").is_dir() else folder
        if lacking := [file for file in names().values() if not (place / file).is_file()]:
            raise BadInput(f"{place} has no {lacking[0]}; wanted is the unpacked npm package emoji-datasource-google.")
        self.rgba = {name: _read(place / file) for name, file in names().items()}
        self.hue = {name: dominant_hue(rgba) for name, rgba in self.rgba.items()}

    def draw_shown(self, rng: np.random.Generator, *, held_out: bool = False) -> Shown:
        """Draw what a picture shows; held_out: one of the combinations that training leaves out, else none of them."""
        while True:
            name = str(rng.choice(list(self.rgba)))
            colours = [] if self.hue[name] is None else list(HUES)
            colour = str(rng.choice(colours)) if colours and (held_out or rng.random() < 0.6) else ""
            if is_held_out(name, colour) == held_out:
                return Shown(name, colour, str(rng.choice(list(BACKGROUNDS))))

    def compose(self, shown: Shown, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return uint8 RGB [64, 64, 3]; without `rng` centred and plain, with it shifted, scaled, shaded."""
        rgba = self.rgba[shown.name]
        hue = self.hue[shown.name]
        if shown.colour and hue is not None:
            rgba = turn_hue(rgba, HUES[shown.colour] - hue)
        scale, dx, dy, shade = 0.88, 0.0, 0.0, np.zeros(3)
        if rng is not None:
            # Little room: shapes that wander over the picture take several times as long to learn.
            scale = rng.uniform(0.83, 0.93)
            dx, dy = rng.uniform(-2.5, 2.5, 2)
            shade = rng.uniform(-10, 10) + rng.uniform(-4, 4, 3)
        move = np.array([[scale, 0, (1 - scale) * 31.5 + dx], [0, scale, (1 - scale) * 31.5 + dy]], np.float32)
        painted = rgba.astype(np.float32) / 255
        painted[..., :3] *= painted[..., 3:]  # premultiplied, so that no dark fringe is interpolated in
        layer = cv2.warpAffine(painted, move, (SIZE_PX, SIZE_PX), flags=cv2.INTER_AREA)
        ground = np.clip(np.array(BACKGROUNDS[shown.background]) + shade, 0, 255).astype(np.float32) / 255
        mixed = layer[..., :3] + (1 - layer[..., 3:]) * ground
        return np.asarray(np.clip(mixed * 255 + 0.5, 0, 255).astype(np.uint8))


def caption_for(shown: Shown, rng: np.random.Generator) -> str:
    """Return one of several ways to say it, so that short prompts are understood too; what is left unsaid is free."""
    thing = f"{shown.colour} {shown.name}" if shown.colour else shown.name
    article = "an" if thing[0] in "aeiou" else "a"
    ways = (
        shown.caption,
        f"{article} {thing} on a {shown.background} background",
        f"{article} {thing} on {shown.background}",
        f"{thing}, {shown.background} background",
        f"{article} {thing}",
        thing,
    )
    return ways[int(rng.choice(len(ways), p=(0.3, 0.25, 0.1, 0.1, 0.15, 0.1)))]


def dominant_hue(rgba: np.ndarray) -> float | None:
    """Return the hue in degrees that most of the art has, None where it is mostly grey or of many hues.

    rgba: uint8 [H, W, 4].
    """
    hsv = cv2.cvtColor(rgba[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    seen = rgba[..., 3] > 128
    weight = hsv[..., 1][seen] * hsv[..., 2][seen]
    if not weight.size or weight.mean() < 0.2:
        return None
    arrows = weight * np.exp(1j * np.deg2rad(hsv[..., 0][seen]))
    total = arrows.sum()
    if abs(total) < 0.6 * weight.sum():
        return None
    return float(np.rad2deg(np.angle(total)) % 360)


def turn_hue(rgba: np.ndarray, degrees: float) -> np.ndarray:
    """Turn every hue; greys stay. uint8 [H, W, 4] -> the same."""
    hsv = cv2.cvtColor(rgba[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.dstack([np.clip(turned * 255 + 0.5, 0, 255).astype(np.uint8), rgba[..., 3]])


def _read(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None and found.shape[-1] == 4, path
    return cv2.resize(cv2.cvtColor(found, cv2.COLOR_BGRA2RGBA), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
