"""Paint for many callers with one painter: what the diffusion endpoint answers.

    studio = open_studio("starter")
    async for event in studio.events(Order(recipes=(Recipe(prompt="a red apple"),))):
        ...

The painter works in a thread of its own, which lives while there is work. It starts at once with what is there;
pictures that come meanwhile and can share a batch (`batch_key`, and the mask) make the next one, whoever asks for them.
A batch that all its callers have left stops before its next step. While one of them stays, the batch goes on whole:
without a row the sums of the others would round otherwise, and a picture says of itself how it was computed.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from gencv.core.contracts import Picture, Recipe
from gencv.core.errors import BadInput, ContentFiltered, GencvError
from gencv.core.record import picture_id
from gencv.diffusion.denoise import batch_key, num_calls
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.prompts import denied
from gencv.diffusion.replay import How, parameters_of, read_start, to_file
from gencv.images.decode import Limits, decode_layer, image_size, open_header
from gencv.provenance import credentials, stamp
from gencv.provenance.watermark import MIN_SIDE_PX
from gencv.services.orders import Accepted, Event, Order, Painted, Partial, Stepped

log = logging.getLogger(__name__)
Told = Event | Picture | Exception | None
"""What happens: events, or an error; None once all is told, or there is nobody to tell it any more."""
Listen = Callable[[Told], None]
PACE_KEPT = 0.8
"""Share of the pace so far in the next estimate of it."""


@dataclass
class Work:
    """An order that was accepted."""

    order: Order
    recipes: list[Recipe]
    """With every default filled in."""
    init: np.ndarray | None
    mask: np.ndarray | None
    how: How
    listen: Listen
    gone: threading.Event
    """Set by a caller that left."""
    num_calls: list[int]
    """Questions to the UNet for each picture."""
    is_bare: bool = False
    """Whether `Picture`s are wanted as they were painted, and no files of them."""
    calls_done: int = 0
    """Of whole batches."""
    unfinished: int = field(init=False)
    is_over: bool = False

    def __post_init__(self) -> None:
        self.unfinished = len(self.recipes)

    def key(self, place: int) -> Any:
        """What a picture must have in common with those of its batch."""
        return batch_key(self.recipes[place]), self.how.mask, None if self.mask is None else self.mask.tobytes()

    def tell(self, event: Told) -> None:
        if self.is_over:
            return
        self.is_over = event is None or isinstance(event, Exception)
        self.listen(event)


Row = tuple[Work, int]
"""A picture to be painted: an order, and the place of a recipe in it."""


class Studio:
    """A painter and those who wait for it."""

    def __init__(self, painter: DiffusionPainter, how: How, *, limits: Limits | None = None) -> None:
        """how: the speed; what else it says is each picture's own. limits: what a picture to start from may be."""
        self.painter, self.how, self.limits = painter, how, limits or Limits()
        self.weights = painter.weights()
        self.waiting: list[Row] = []
        self.painting: list[Row] = []
        self.worker: threading.Thread | None = None
        self.lock = threading.Lock()
        self.finishers = ThreadPoolExecutor(1, "finish")  # one, so that what is told of a picture stays in order
        self.call_s: float | None = None
        """Seconds for a question to the UNet, a picture: the pace."""
        self.on_batch: Callable[[int], None] = lambda size: None
        """Told the size of each batch."""
        self.on_waiting: Callable[[int], None] = lambda count: None
        """Told how many pictures wait or are painted, whenever that changes."""

    @property
    def num_pictures(self) -> int:
        """How many pictures wait or are painted."""
        with self.lock:
            return len(self.waiting) + len(self.painting)

    def eta_s(self) -> float | None:
        """Return in how many s all that is here will be painted; None before the pace is known."""
        with self.lock:
            return self._eta_s([*self.painting, *self.waiting])

    async def events(self, order: Order) -> AsyncGenerator[Event, None]:
        """Give what happens to an order; who stops listening has left. Raises what `accept` raises, and OutOfMemory."""
        loop, told, gone = asyncio.get_running_loop(), asyncio.Queue[Any](), threading.Event()

        def listen(event: Told) -> None:
            if not gone.is_set():  # nor is there, perhaps, a loop any more
                loop.call_soon_threadsafe(told.put_nowait, event)

        try:
            await asyncio.to_thread(self.accept, order, listen, gone)
            while (event := await told.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            gone.set()

    def accept(self, order: Order, listen: Listen, gone: threading.Event | None = None) -> None:
        """Check an order and let it wait; takes the time of decoding its files.

        listen: told from other threads. gone: set where nobody wants the pictures any more.
        Raises BadInput or BadImage for what cannot be, ContentFiltered where no prompt of it is painted.
        """
        self._wait(self._checked(order, listen, gone or threading.Event()))

    def check(self, order: Order) -> None:
        """Raise what `accept` would, without any work."""
        self._checked(order, lambda event: None, threading.Event())

    def share(
        self, recipes: Sequence[Recipe], init: np.ndarray, mask: np.ndarray, listen: Listen, gone: threading.Event
    ) -> None:
        """Let recipes wait among all orders; their pictures are told bare, as they were painted. Raises BadInput."""
        whole = self.painter.complete(recipes, init=init, mask=mask)
        calls = [num_calls(self.painter.pipeline, recipe) for recipe in whole]
        order = Order(recipes=tuple(recipes))
        self._wait(Work(order, whole, init, mask, self.how, listen, gone, calls, is_bare=True))

    def _checked(self, order: Order, listen: Listen, gone: threading.Event) -> Work:
        if (words := [denied(recipe.prompt) for recipe in order.recipes]) and all(words):
            raise ContentFiltered(f"Not painted: the prompt asks for {words[0]!r}.")
        side = self.painter.size_px
        sized = [replace(one, width=one.width or side, height=one.height or side) for one in order.recipes]
        init, mask = self._begun(order, sized[0])
        recipes = self.painter.complete(sized, init=init, mask=mask)
        for recipe in recipes:
            if min(recipe.width, recipe.height) < MIN_SIDE_PX:
                raise BadInput(
                    f"A size of {recipe.width} x {recipe.height} px; {MIN_SIDE_PX} px a side are the least, as smaller "
                    "pictures hold no watermark."
                )
        how = replace(
            self.how, format=order.format, quality=order.quality, mask=picture_id(order.mask) if order.mask else ""
        )
        calls = [num_calls(self.painter.pipeline, recipe) for recipe in recipes]
        return Work(order, recipes, init, mask, how, listen, gone, calls)

    def _wait(self, work: Work) -> None:
        tokens = sum(self.painter.prompts.count(recipe.prompt) for recipe in work.recipes)
        size = work.recipes[0].width, work.recipes[0].height
        with self.lock:
            ahead = [*self.painting, *self.waiting]
            work.tell(Accepted(len(ahead), self._eta_s([*ahead, *rows_of(work)]), *size, tokens))
            self.waiting += rows_of(work)
            self.on_waiting(len(self.waiting) + len(self.painting))
            if self.worker is None:
                self.worker = threading.Thread(target=self._work, name="painter", daemon=True)
                self.worker.start()

    def _begun(self, order: Order, recipe: Recipe) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Decode what an order begins with. Raises BadImage, and BadInput for a mask that is none."""
        if order.init is None:
            if order.mask is not None:
                raise BadInput("A mask without a picture; give both.")
            return None, None
        size = image_size(order.init, limits=self.limits)
        if order.mask is not None:
            if not open_header(order.mask, self.limits).has_transparency_data:
                raise BadInput(
                    "The mask has no alpha channel; a PNG is accepted that is transparent where to paint anew."
                )
            if (other := image_size(order.mask, limits=self.limits)) != size:
                raise BadInput(
                    f"The mask has {other[0]} x {other[1]} px and the picture {size[0]} x {size[1]}; they must agree."
                )
            if not (decode_layer(order.mask, limits=self.limits)[..., 3] < 128).any():
                raise BadInput("The mask is empty: nothing of it is transparent, which is where to paint anew.")
        return read_start(order.init, order.mask, (recipe.width, recipe.height))

    def _eta_s(self, rows: Sequence[Row]) -> float | None:
        return None if self.call_s is None else self.call_s * calls_of(rows)

    def _work(self) -> None:
        while rows := self._next():
            self.on_batch(len(rows))
            self._paint(rows)

    def _next(self) -> list[Row]:
        """Take the picture that waits the longest and what can share its batch; none ends the thread."""
        with self.lock:
            for work, _ in self.waiting:
                if work.gone.is_set():
                    work.tell(None)
            self.waiting = [(work, place) for work, place in self.waiting if wants(work)]
            if self.waiting:
                first, place = self.waiting[0]
                key, room = first.key(place), self.painter.batch_size
                self.painting = [row for row in self.waiting if row[0].key(row[1]) == key][:room]
                taken = {(id(work), place) for work, place in self.painting}
                self.waiting = [row for row in self.waiting if (id(row[0]), row[1]) not in taken]
            else:
                self.painting, self.worker = [], None
            self.on_waiting(len(self.waiting) + len(self.painting))
            return self.painting

    def _paint(self, rows: list[Row]) -> None:
        """Paint a batch and hand its pictures on; an error that is one order's fault is told to that one alone."""
        began = time.monotonic()
        try:
            self._batch(rows)
        except Exception as error:
            works = list({id(work): work for work, _ in rows}.values())
            if isinstance(error, GencvError) and len(works) > 1:
                for work in works:
                    self._paint([row for row in rows if row[0] is work])
                return
            if not isinstance(error, GencvError):
                log.exception("a batch failed")
            for work in works:
                self.finishers.submit(work.tell, error)
            return
        pace = (time.monotonic() - began) / calls_of(rows)
        if not all(work.gone.is_set() for work, _ in rows):
            self.call_s = pace if self.call_s is None else PACE_KEPT * self.call_s + (1 - PACE_KEPT) * pace

    def _batch(self, rows: list[Row]) -> None:
        recipes = [work.recipes[place] for work, place in rows]
        inits = [work.init for work, _ in rows]
        threads = torch.get_num_threads()
        pictures = self.painter.paint(
            recipes,
            init=None if inits[0] is None else [one for one in inits if one is not None],
            mask=rows[0][0].mask,
            on_step=lambda done, total: self._step(rows, done, total),
            cancelled=lambda: all(work.gone.is_set() for work, _ in rows),
            on_latents=self._previews(rows) if any(work.order.num_partials for work, _ in rows) else None,
        )
        made = 0
        for (work, place), picture in zip(rows, pictures, strict=False):  # fewer where all callers left
            self.finishers.submit(self._finish, work, place, picture, threads)
            made += 1
        for work, _ in rows[made:]:
            self.finishers.submit(work.tell, None)
        for work, place in rows:
            work.calls_done += work.num_calls[place]

    def _step(self, rows: list[Row], done: int, total: int) -> None:
        for work, places in shares_of(rows):
            if work.order.tells_steps:
                so_far = work.calls_done + done * sum(work.num_calls[place] for place in places) // total
                work.tell(Stepped(so_far, sum(work.num_calls)))

    def _previews(self, rows: list[Row]) -> Callable[[list[int], torch.Tensor], None]:
        """Return what looks at the latents of a batch, and shows them where an order is to be shown some."""
        asked: Counter[int] = Counter()

        def look(places: list[int], latents: torch.Tensor) -> None:
            asked.update(places)
            due = [
                number for number, row in enumerate(places) if asked[row] in moments(*rows[row]) and wants(rows[row][0])
            ]
            if not due:
                return
            try:
                images = self.painter.preview(latents[due])
            except (GencvError, MemoryError, RuntimeError):  # a picture that is not shown is no harm
                return
            for at, image in zip(due, images, strict=True):
                row = places[at]
                work, place = rows[row]
                self.finishers.submit(
                    self._show, work, place, image, moments(work, place).index(asked[row]), asked[row]
                )

        return look

    def _show(self, work: Work, place: int, image: np.ndarray, number: int, calls: int) -> None:
        """Mark and hand on an unfinished picture."""
        if not wants(work):
            return
        if work.mask is not None and work.init is not None:
            image = np.where(work.mask[..., None], image, work.init)
        stated = parameters_of(Picture(image, work.recipes[place]), work.how, weights=self.weights, init_id=began(work))
        stated = replace(stated, extras=stated.extras | {"unfinished": f"{calls} of {work.num_calls[place]}"})
        work.tell(Partial(place, number, to_file(image, stated, work.how, mask=work.mask, credentials=False)))

    def _finish(self, work: Work, place: int, picture: Picture, threads: int) -> None:
        """Stamp and hand on a picture."""
        if not wants(work):
            work.tell(None)
            return
        try:
            work.tell(picture if work.is_bare else self._stamped(work, place, picture, threads))
        except Exception as error:
            if not isinstance(error, GencvError):
                log.exception("a picture could not be stamped")
            work.tell(error)
        work.unfinished -= 1
        if not work.unfinished:
            work.tell(None)

    def _stamped(self, work: Work, place: int, picture: Picture, threads: int) -> Painted:
        data = None
        if picture.image is not None:
            how = replace(work.how, threads=threads)
            stated = parameters_of(picture, how, weights=self.weights, init_id=began(work))
            data = to_file(picture.image, stated, how, mask=work.mask, ingredient=known(work.order.init))
        recipe = picture.recipe
        told = recipe.digest(), picture.finish_reason, data, picture.notes, self.weights
        return Painted(place, recipe, *told)


def open_studio(
    name: str, *, device: str = "auto", speed: str = "exact", batch_size: int = 8, limits: Limits | None = None
) -> Studio:
    """Load a painter, as `load_painter` does, and wait for orders."""
    painter = load_painter(name, device=device, speed=speed, batch_size=batch_size)
    how = How(speed=speed, device=painter.pipeline.unet.device.type, threads=torch.get_num_threads())
    return Studio(painter, how, limits=limits)


def verify(data: bytes, limits: Limits) -> dict[str, Any]:
    """Return what a file says of where it comes from, as `stamp.Provenance` has it. Raises BadImage for no picture."""
    open_header(data, limits)  # before a pixel is decoded
    return stamp.read(data).to_dict()


def rows_of(work: Work) -> list[Row]:
    return [(work, place) for place in range(len(work.recipes))]


def calls_of(rows: Sequence[Row]) -> int:
    """Count the questions to the UNet that some pictures take."""
    return sum(work.num_calls[place] for work, place in rows)


def shares_of(rows: Sequence[Row]) -> list[tuple[Work, list[int]]]:
    """Return the orders in a batch, and the places of each one's pictures."""
    found = {id(work): work for work, _ in rows}
    return [(one, [place for work, place in rows if work is one]) for one in found.values()]


def moments(work: Work, place: int) -> list[int]:
    """Return after how many questions to the UNet an unfinished picture is shown: at even distances."""
    parts = work.order.num_partials + 1
    return sorted({work.num_calls[place] * part // parts for part in range(1, parts)} - {0})


def wants(work: Work) -> bool:
    return not (work.gone.is_set() or work.is_over)


def began(work: Work) -> str:
    return picture_id(work.order.init) if work.order.init else ""


def known(file: bytes | None) -> bytes | None:
    """Return a file that credentials can name as an ingredient; a BMP, say, is named by its id alone."""
    return file if file and credentials.can_hold(file) else None
