"""The searchers' own copies, each with an index and its encoder, and how the others reach them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

import numpy as np
from ray.serve.handle import DeploymentHandle

from gencv.core.errors import BadImage, BrokenIndex, GencvError, InUse
from serving import errors
from serving.batching import Batcher
from serving.calls import call
from serving.metrics import batch_sizes, count_waiting, stages
from serving.pictures import limits_of
from serving.questions import Asked, Said, SearchSettings

MAX_VECTORS = 64
MAX_WRITES = 256
"""Pictures that one commit adds or removes."""


class Service(Protocol):
    """Who searches; `Searchers` behind a handle, or a fake."""

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        """Return a page: `hits` and what there is to say of it. Raises BadImage, BadInput, Gone."""
        ...

    async def item(self, id: str) -> dict[str, Any]: ...

    async def thumbnail(self, id: str, size_px: int) -> bytes: ...

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        """Return `id`, `added`, and the `version` that has it, of each, or what is wrong with it.

        All that can be added is, by one commit. Raises BadInput, InUse.
        """
        ...

    async def remove(self, id: str) -> dict[str, Any]: ...

    async def ready(self) -> dict[str, Any]: ...


class Searchers:
    """An index and its encoder; what waits for the encoder is one batch, and what waits for the pen one commit."""

    def __init__(self, settings: SearchSettings) -> None:
        from gencv.index.query import Query
        from gencv.services.posted import Writer
        from gencv.services.search import Searcher

        self.searcher = Searcher(
            settings.index,
            reranker=settings.reranker,
            limits=limits_of(settings.door),
            hidden=() if settings.show_uri else ("uri",),
        )
        self.searcher.load()  # what is wrong with it ends the deployment, not the first request
        with suppress(GencvError):  # of an encoder without texts
            self.searcher.answer(Query(text="a picture", k=1))  # the first one takes seconds
        count, size = count_waiting("search", "encoder"), settings.replicas.max_batch
        self.encode = Batcher(self.searcher.encode, size, on_batch=noted, on_waiting=count)
        self.writer = Writer(self.searcher)
        self.write = Batcher(self.written, MAX_WRITES, weight=len)
        self.measure = Latest(self.searcher.measure_cutoff)

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        from gencv.index.query import Query

        began = time.perf_counter()
        said = asked.model_dump(exclude={"like", "region", "vector", "rerank"})
        pixels = await self.run(self.searcher.prepare, image, asked.region) if image is not None else None
        vector = None if asked.vector is None else vectors_of(asked.vector)
        question = Query(**said, pixels=pixels, image=vector, like_id=asked.like)
        prepared = time.perf_counter()
        encoded = await self.encode(question) if question.needs_encoder else None
        encoded_at = time.perf_counter()
        found = await self.run(self.searcher.answer, question, encoded, rerank=asked.rerank)
        times = {"prepare": prepared - began, "encode": encoded_at - prepared}
        times["search"] = time.perf_counter() - encoded_at
        for stage, took_s in times.items():
            stages().observe(took_s, {"application": "search", "stage": stage})
        return {
            **told(found),
            "asked": {**asked.model_dump(exclude={"cursor", "vector"}), "image": image is not None},
            "timing_ms": {stage: round(took_s * 1000, 1) for stage, took_s in times.items()},
        }

    async def item(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.run(self.searcher.item, id)
        return found

    async def thumbnail(self, id: str, size_px: int) -> bytes:
        data: bytes = await self.run(self.searcher.thumbnail, id, size_px)
        return data

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        from gencv.services.posted import About

        about = About(**{**said.model_dump(), "caption": tuple(said.caption)})
        examined: list[Any] = [await self.run(tried, self.writer.examine, data, about) for data in images]
        wishes = [one for one in examined if not isinstance(one, BadImage)]
        done = iter(await self.changed(wishes) if wishes else ())
        return [one if isinstance(one, BadImage) else facts_of(next(done)) for one in examined]

    async def remove(self, id: str) -> dict[str, Any]:
        (done,) = await self.changed([id])
        if isinstance(done, GencvError):
            raise done
        return {"version": done.version}

    async def ready(self) -> dict[str, Any]:
        index = await self.run(self.searcher.index)
        space = index.space
        facts = {"version": index.version, "pictures": index.num_rows, "columns": list(index.columns)}
        return {"index": facts, "encoder": space.encoder, "space": space.digest(), "dim": space.dim}

    def written(self, groups: Sequence[list[Any]]) -> list[list[Any]]:
        """Do what several requests wish for by one commit."""
        done = iter(self.writer.write([wish for group in groups for wish in group]))
        return [list(islice(done, len(group))) for group in groups]

    async def changed(self, wishes: list[Any]) -> list[Any]:
        """Change the index, and let what follows from it follow."""
        try:
            done: list[Any] = await self.write(wishes)
        except InUse:
            raise InUse("Another writer is changing the index; try again in some seconds.") from None
        except BrokenIndex as error:
            raise hidden(error) from None
        if any(not isinstance(one, GencvError) and one.changed for one in done):
            self.measure()
        return done

    async def run(self, function: Any, *args: Any, **more: Any) -> Any:
        """Run something in a thread. Raises as it does, without the places that an error of the index names."""
        try:
            return await asyncio.to_thread(function, *args, **more)
        except BrokenIndex as error:
            raise hidden(error) from None


def tried(examine: Callable[..., Any], *args: Any) -> Any:
    """Return what comes of a picture, or the BadImage that it is."""
    try:
        return examine(*args)
    except BadImage as error:
        return error


def facts_of(done: Any) -> dict[str, Any]:
    """Return what a client is told of a picture that is in the index now."""
    return {"id": done.id, "added": done.changed, "version": done.version}


class Latest:
    """Work that follows changes, in a thread: one at a time, and once more where something changed meanwhile."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.is_due = False
        self.task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        self.is_due = True
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self.is_due:
            self.is_due = False
            try:
                await asyncio.to_thread(self.work)
            except GencvError as error:  # the next change tries again
                errors.log.error("%s", error)


def hidden(error: BrokenIndex) -> BrokenIndex:
    """Return what a client is told of a damaged file; its name is in the log."""
    errors.log.error("the index is damaged: %s", error)
    return BrokenIndex("The index is damaged; the log names the file.")


def vectors_of(given: list[float] | list[list[float]]) -> np.ndarray:
    """Return [D] or [V, D]. Raises Refused for rows of several lengths, or too many."""
    try:
        with np.errstate(over="ignore"):  # infinity is refused later
            vectors = np.array(given, np.float32)
    except ValueError:
        vectors = np.empty(0, np.float32)
    if not vectors.size or (vectors.ndim == 2 and len(vectors) > MAX_VECTORS):
        raise errors.Refused(
            400, "invalid_parameter", f"vector: numbers, or up to {MAX_VECTORS} lists of as many.", "vector"
        )
    return vectors


def told(found: Any) -> dict[str, Any]:
    """Return what a client is told of a page."""
    hits, index = found.hits, found.index
    rows = found.rows.to_pylist()
    for row, hit in zip(rows, hits.hits, strict=True):
        row["copies"] = list(hit.copies)
    no_match = True if not rows else None if hits.good is None else not hits.good
    return {
        "hits": rows,
        "cursor": hits.cursor or None,
        "no_good_match": no_match,
        "remarks": hits.remarks(),
        "best": {"cosine": hits.strength, "level": hits.level, "chance": hits.chance},
        "index": {"version": hits.version, "pictures": index.num_rows},
        "encoder": index.space.encoder,
        "reranker": hits.reranker or None,
    }


def noted(size: int) -> None:
    batch_sizes().observe(size, {"application": "search"})


class Remote:
    """The `Service` behind a handle."""

    def __init__(self, searchers: DeploymentHandle) -> None:
        self.searchers = searchers

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "ask", asked, image)
        return found

    async def item(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "item", id)
        return found

    async def thumbnail(self, id: str, size_px: int) -> bytes:
        found: bytes = await call(self.searchers, "thumbnail", id, size_px)
        return found

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        """A try whose replica died after its commit makes the next one say that the pictures were there already."""
        found: list[dict[str, Any] | GencvError] = await call(self.searchers, "add", images, said)
        return found

    async def remove(self, id: str) -> dict[str, Any]:
        """As with `add`, the next try may not find what the first one removed."""
        found: dict[str, Any] = await call(self.searchers, "remove", id)
        return found

    async def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = await call(self.searchers, "ready")
        return found
