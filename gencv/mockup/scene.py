"""Put a product into a scene: the scene is painted around it, and the product's own px are pasted in.

A painter's autoencoder would alter a logo, so the product never goes through it. The order: place, begin with a softly
lit studio, paint all but the product, make up what is behind it, throw its shadow, paste. A painter that let the
product grow into what it painted is asked again with the next seed.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from gencv.core.contracts import Painter, Picture, Recipe
from gencv.core.errors import ContentFiltered
from gencv.images.light import to_coded, to_linear
from gencv.mockup.backdrop import filled, resized, size_for, studio
from gencv.mockup.fidelity import EDGE_PX, VISIBLE, Fidelity, compare_scene, interior_of, widened
from gencv.mockup.growth import growth_of
from gencv.mockup.placing import Placed, place
from gencv.mockup.scenes import Scene
from gencv.mockup.shadow import relit, shadow
from gencv.mockup.studio import develop

MAX_TRIES = 3
MAX_GROWTH = 0.1
"""1 - IoU from which a product counts as grown."""
ENLARGED = 1.5
"""Scale from which a product looks soft."""


@dataclass(frozen=True)
class Facts:
    """What is to be said of a scene beside its figures."""

    recipe: Recipe
    """What the painter did, its size and seed among it."""
    tries: int
    """How often it was asked, what it did not show counted too."""
    scale: float
    """Px of the picture for a px of the product's cutout."""
    keep: np.ndarray
    """bool [H, W], True on the product and its edge: px that no mark may change. In the middle they are its own."""
    notes: tuple[str, ...]
    """Sentences on what is not as asked."""


def make_scene(
    layer: np.ndarray, scene: Scene, painter: Painter, *, seed: int = 0, max_tries: int = MAX_TRIES
) -> tuple[np.ndarray, Fidelity, Facts]:
    """Put a product, uint8 RGBA [h, w, 4], into a scene; returns uint8 RGB [H, W, 3] of the scene's size.

    max_tries: how often to paint, with seed, seed + 1, ..., where the product grew by more than MAX_GROWTH; the least
    grown is returned, and a note says so. Raises BadInput where the product cannot be seen or does not fit in, and
    ContentFiltered where the painter does not show what it painted first; of a later try it is another that counts.
    """
    placed = place(layer, scene)
    start = studio(scene, placed)
    shown: list[tuple[float | None, Picture, np.ndarray]] = []
    for asked in range(1, max_tries + 1):
        try:
            picture, behind = paint_behind(painter, scene, start, placed, seed + asked - 1)
        except ContentFiltered:
            if not shown:
                raise
            continue
        growth = growth_of(placed.over(behind), placed.alpha)
        shown.append((growth, picture, behind))
        if growth is None or growth <= MAX_GROWTH:
            break
    growth, picture, behind = min(shown, key=lambda one: one[0] or 0.0)
    dark = shadow(scene, placed)[..., None]
    lit = relit(scene, placed, behind)
    made = lit.over(to_linear(develop(behind * dark)))
    ideal = lit.over(to_linear(develop(_without(placed, behind, start) * dark)))
    fidelity = compare_scene(made, placed.colour, placed.alpha, ideal, growth=growth)
    notes = [*picture.notes]
    if growth is None:
        notes.append("Whether the product grew is not known: it is too thin, or leaves too little of the scene free.")
    elif growth > MAX_GROWTH:
        notes.append(f"The product seems to have grown in each of {len(shown)} tries: {growth:.0%} of it at least.")
    if placed.scale > ENLARGED:
        notes.append(f"The product is enlarged {placed.scale:.1f} times and looks soft; give a larger picture of it.")
    keep = widened(placed.alpha > 0, EDGE_PX)
    return made, fidelity, Facts(picture.recipe, asked, placed.scale, keep, tuple(notes))


def paint_behind(
    painter: Painter, scene: Scene, start: np.ndarray, placed: Placed, seed: int
) -> tuple[Picture, np.ndarray]:
    """Paint all but the product; returns the painter's picture, and the scene without the product, float32 [H, W, 3].

    start: the light to begin with. What is taken of the painter is by how much it changed that. So one that was trained
    on half of the scene's size or more gives its picture as it is. Of a smaller one, which would give blots as large as
    the product, only the colours are taken, softly and in part: looked at, that is what a shop could show. Behind the
    product the change is made up of what is around it.
    """
    width, height = size_for(painter.size_px, painter.factor, scene.width, scene.height)
    size = width, height
    init = to_coded(resized(to_linear(placed.over(start)), size))
    mask = resized(interior_of(placed.alpha).astype(np.float32), size) < 1 - 1e-3
    recipe = Recipe(
        prompt=scene.prompt,
        negative_prompt=scene.negative_prompt,
        seed=seed,
        num_inference_steps=scene.num_inference_steps,
        guidance_scale=scene.guidance_scale,
        strength=scene.strength,
        scheduler=scene.scheduler,
        width=width,
        height=height,
    )
    picture = next(iter(painter.paint([recipe], init=init, mask=mask)))
    if picture.image is None:
        raise ContentFiltered(" ".join(picture.notes) or "The painter does not show what it painted.")
    began = resized(start, size)
    change = (to_linear(picture.image) + DARK) / (began + DARK)
    # The painter's px at the product's edge hold some of the product, and enlarged they would be a glow around it.
    near = resized((placed.alpha > VISIBLE).astype(np.float32), size) > 0
    change = filled(change, widened(near, 1))
    share = min(1.0, BELIEVED * width / scene.width)
    if share < 1:
        change = np.asarray(cv2.GaussianBlur(change, (0, 0), SOFT * (1 - share) * width) ** share, np.float32)
    whole = resized(change, (scene.width, scene.height))
    return picture, np.asarray(np.clip(whole * (start + DARK) - DARK, 0, 1))


BELIEVED = 2.0
"""A painter of half of the scene's width is believed wholly, one of a tenth of it by a fifth."""
SOFT = 0.1
"""Sigma of the blur of what the smallest painter changed, as a share of its picture."""
DARK = 0.03
"""Light that is added before a painter's picture is divided by what it began with: black by black is nothing."""


def _without(placed: Placed, behind: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return a background in which the product, and what was painted right beside it, is made up from farther off."""
    reach = max(4, round(FAR_OFF * max(behind.shape[:2])))
    change = filled((behind + DARK) / (start + DARK), widened(placed.alpha > 0, reach))
    return np.asarray(np.clip(change * (start + DARK) - DARK, 0, 1))


FAR_OFF = 0.02
"""How far from a product a background is believed to know nothing of it, as a share of the scene."""
