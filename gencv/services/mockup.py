"""Make mockups for many callers: what /v1/mockups answers.

Prints take no painter. A scene shares a studio's painter with all who wait there: each of its tries waits its turn as
any picture does, and what is computed around them, cutouts, shadows, marks, keeps no painter from its work.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from gencv.core.contracts import DONE, Picture, Recipe
from gencv.core.errors import GencvError
from gencv.images.decode import Limits, image_size
from gencv.mockup.making import Made, SavedAs, attempt, cutout_of, photo_of, print_on, put_into
from gencv.mockup.scenes import scene_of
from gencv.mockup.templates import template_of
from gencv.services.orders import MockupOrder

if TYPE_CHECKING:  # brings torch and diffusers, which prints never need
    from gencv.services.diffusion import Studio

AT_ONCE = 4
"""Mockups that are made at the same time; an artwork of 40 megapixels takes some hundred MB."""


class Mockups:
    """Makes mockups in threads of its own, so that one that waits for a painter keeps nobody else from a thread."""

    def __init__(self, limits: Limits) -> None:
        """limits: what a product's picture may be."""
        self.limits = limits
        self.threads = ThreadPoolExecutor(AT_ONCE, "mockup")

    def check(self, order: MockupOrder) -> None:
        """Raise BadImage for a product that is no picture, from its header alone."""
        image_size(order.product, limits=self.limits)

    async def make(self, order: MockupOrder, studio: "Studio | None" = None) -> Made:
        """Make a mockup; a caller who is cancelled stops it before the painter's next step.

        studio: whose painter paints a scene. Raises BadImage or BadInput for a product that cannot be shown, and
        ContentFiltered where the painter shows nothing.
        """
        gone = threading.Event()
        work = partial(self._make, studio=studio, gone=gone)
        try:
            made = await asyncio.get_running_loop().run_in_executor(self.threads, attempt, work, order)
        finally:
            gone.set()
        if isinstance(made, GencvError):
            raise made
        return made

    def _make(self, order: MockupOrder, studio: "Studio | None", gone: threading.Event) -> Made:
        product = photo_of(order.product, self.limits)
        saved_as = SavedAs(order.format, order.quality)
        if order.template:
            shown = cutout_of(product) if order.art == "cutout" else product
            return print_on(template_of(order.template), shown, fit=order.fit, art=order.art, saved_as=saved_as)
        assert studio is not None, "a scene is painted"
        return put_into(
            scene_of(order.scene),
            cutout_of(product),
            SharedPainter(studio, gone),
            seed=order.seed,
            weights=studio.weights,
            computed={"device": studio.how.device, "speed": studio.how.speed, "threads": studio.how.threads},
            saved_as=saved_as,
        )


class SharedPainter:
    """A studio's painter, as a `Painter` for one who waits among all others, and may leave."""

    def __init__(self, studio: "Studio", gone: threading.Event) -> None:
        self.studio, self.gone = studio, gone
        self.name, self.size_px, self.factor = studio.painter.name, studio.painter.size_px, studio.painter.factor

    def paint(
        self, recipes: Sequence[Recipe], *, init: Any = None, mask: np.ndarray | None = None, **more: Any
    ) -> Iterator[Picture]:
        """Give the pictures of recipes that paint into a mask. Raises CancelledError for one who left."""
        assert isinstance(init, np.ndarray) and mask is not None, "what scenes ask for"
        told: SimpleQueue[Any] = SimpleQueue()
        self.studio.share(recipes, init, mask, told.put, self.gone)
        while (one := told.get()) is not None:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, Picture):
                yield one
        if self.gone.is_set():
            raise CancelledError


def said_of(made: Made, order: MockupOrder) -> dict[str, Any]:
    """Return what callers are told of a mockup beside its file."""
    told = {name: made.facts[name] for name in ("width", "height", "watermarked", "cut")}
    return {
        "name": order.template or order.scene,
        "seed": made.facts.get("seed"),
        "tries": made.facts.get("tries"),
        "finish_reason": DONE,
        "notes": made.facts.get("notes", "").splitlines(),
        "recipe": made.recipe.digest() if made.recipe else None,
        "fidelity": made.fidelity.to_dict(),
        **told,
    }
