"""The desk: jobs wait here, are painted a few at a time, and are kept until they are old.

    desk = Desk(painters, "/data/jobs")
    desk.start()
    await desk.submit(job, order)
    async for kind, about in desk.events("", job.id):
        ...

There is one desk to a folder. Killed and started again, it goes on: pictures that are done are kept, what is missing is
painted, from recipes with all seeds drawn. All that is written of a job is written under its lock, and to its end, even
where the job is cancelled meanwhile: what was said last is what the folder says.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from gencv.core import storage
from gencv.core.errors import ContentFiltered, KeyReused, NotFound, QueueFull
from gencv.core.record import picture_id
from gencv.diffusion.sweep import varied
from gencv.mockup.making import Made
from gencv.services.jobs import (
    CANCELLED,
    FAILED,
    FINAL,
    JOB,
    QUEUED,
    RUNNING,
    SHEET,
    SUCCEEDED,
    SWEEP,
    Folder,
    Job,
    picture_name,
    to_json,
)
from gencv.services.mockup import said_of
from gencv.services.orders import Event, MockupOrder, Order, Painted, Stepped

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Jobs that are painted at the same time, so that small ones share batches and a large one keeps none waiting long."""
PICTURES_AT_ONCE = 8
"""Of one job; painters take so many into a batch, and other callers' come between."""
QUIET_S = 15.0
"""After so long without news a listener is told that nothing has happened."""
EXPIRED_EVERY_S = 3600.0
PACE_KEPT = 0.8
"""Share of the pace so far in the next estimate of it."""


class Painters(Protocol):
    """Who paints."""

    async def check(self, model: str, order: Order | MockupOrder) -> None:
        """Raise the GencvError for which an order would be refused."""
        ...

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]: ...

    async def mockup(self, model: str, order: MockupOrder) -> Made: ...


CURSOR = r"^(\d{1,12}\.\d{6}-[0-9a-f]{32})?$"


def age(job: Job) -> tuple[float, str]:
    return job.created, job.id


def never(error: Exception, tries: int) -> float | None:
    return None


class Desk:
    """Jobs of many callers, each of whom sees his own."""

    def __init__(
        self,
        painters: Painters,
        folder: str,
        *,
        days: float = 7,
        max_queued: int = 64,
        told: Callable[[Exception], dict[str, Any]] = lambda error: {"message": str(error)},
        again_s: Callable[[Exception, int], float | None] = never,
        on_made: Callable[[Job, Order | MockupOrder, Painted | Made], None] = lambda job, order, made: None,
    ) -> None:
        """Read what a folder or URI holds; `start` goes on with it.

        days: after which a finished job is forgotten; 0 keeps all. told: logs an error, and returns it as
        callers are told it. again_s: after how many s what failed so often in a row is tried again; None where it has
        failed for good. on_made: told of each picture that is kept.
        """
        self.painters, self.folder, self.days, self.max_queued = painters, Folder(folder), days, max_queued
        self.told, self.again_s, self.on_made = told, again_s, on_made
        self.jobs = {job.id: job for job in self.folder.jobs()}
        self.keys = {(job.caller, job.key): job for job in self.jobs.values() if job.key}
        unfinished = [job for job in self.jobs.values() if not job.is_over]
        self.waiting = sorted(unfinished, key=lambda job: job.status != RUNNING)
        self.beginning: dict[str, Job] = {}
        """Those that are checked and written, before they are there."""
        self.running: list[Job] = []
        self.saving: set[asyncio.Task[Any]] = set()
        self.news = asyncio.Event()
        """Set at the next change of anything; then there is another one."""
        self.pace_s: float | None = None
        """Seconds from picture to picture while there is work."""
        self.last_s = 0.0
        self.expiring: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on with what is not finished; in a running loop."""
        self.expiring = asyncio.create_task(self._expire_forever())
        self._next()

    async def stop(self) -> None:
        """Stop all work where it stands; a desk of the same folder goes on with it."""
        self.waiting = []
        tasks = [self.expiring, *(job.task for job in (*self.running, *self.beginning.values()))]
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), *self.saving, return_exceptions=True)

    # What callers ask for.

    async def submit(self, job: Job, order: Order | MockupOrder) -> dict[str, Any]:
        """Let a job wait; returns how it stands, once it is kept. The same key, or id, is the same job.

        Raises KeyReused where that was another one, QueueFull, and what `Painters.check` raises.
        """
        known = self.jobs.get(job.id) or self.beginning.get(job.id)
        if job.key:
            known = known or self.keys.get((job.caller, job.key))
        if known is None:
            if len(self.waiting) + len(self.beginning) >= self.max_queued:
                raise QueueFull(f"{self.max_queued} jobs wait already; try again later.")
            known = job
            if job.key:
                self.keys[job.caller, job.key] = job
            self.beginning[job.id] = job
            job.task = asyncio.create_task(self._begin(job, order))
        elif (known.caller, known.digest) != (job.caller, job.digest):
            raise KeyReused("This Idempotency-Key came with another body before; take another key for another job.")
        if known.id in self.beginning and known.task:
            await asyncio.shield(known.task)
        return self.view(known)

    def find(self, caller: str, id: str) -> Job:
        """Return a job of a caller's. Raises NotFound, for those of others too."""
        job = self.jobs.get(id)
        if job is None or job.caller != caller:
            raise NotFound(f"There is no job {id}.")
        return job

    async def get(self, caller: str, id: str) -> dict[str, Any]:
        return self.view(self.find(caller, id))

    async def page(self, caller: str, limit: int, cursor: str) -> dict[str, Any]:
        """Return a caller's jobs, newest first. cursor: of the page before, as CURSOR has it; "" for the first."""
        last, _, last_id = cursor.partition("-")
        own = [job for job in self.jobs.values() if job.caller == caller]
        own = sorted((job for job in own if not cursor or age(job) < (float(last), last_id)), key=age, reverse=True)
        found = own[:limit]
        more = f"{found[-1].created:.6f}-{found[-1].id}" if len(own) > limit else None
        return {"object": "list", "data": [self.view(job) for job in found], "cursor": more}

    async def cancel(self, caller: str, id: str) -> dict[str, Any]:
        """Stop a job before its painter's next step; one that is over stays as it is."""
        job = self.find(caller, id)
        await self._cancel(job)
        return self.view(job)

    async def delete(self, caller: str, id: str) -> None:
        """Cancel a job and forget it, with its pictures."""
        await self._forget(self.find(caller, id))

    async def picture(self, caller: str, id: str, place: int) -> tuple[str, str, bytes]:
        """Return a picture's id, its format, and its file. Raises NotFound."""
        job = self.find(caller, id)
        said = job.pictures.get(place)
        if said is None or said["id"] is None:
            raise NotFound(f"There is no picture {place} of the job {id}; `result` says which there are.")
        return said["id"], job.order.format, await asyncio.to_thread(self.folder.read, id, picture_name(job, place))

    async def sheet(self, caller: str, id: str) -> tuple[str, str, bytes]:
        """Return a contact sheet as `picture` does. Raises NotFound."""
        if not self.find(caller, id).has_sheet:
            raise NotFound(f"There is no sheet of the job {id}; a sweep has one when it is done.")
        data = await asyncio.to_thread(self.folder.read, id, SHEET)
        return picture_id(data), "png", data

    async def events(self, caller: str, id: str) -> AsyncGenerator[tuple[str, dict[str, Any]] | None, None]:
        """Give how a job stands, at once, and what happens to it until it is over; None where nothing does for long.

        `position` while it waits, `picture` for each that is done, `progress`, and at last the status that it ended
        with. Who stops listening stops nothing. Raises NotFound.
        """
        job = self.find(caller, id)
        shown: set[int] = set()
        told: dict[str, dict[str, Any]] = {}
        while True:
            news, view = self.news, self.view(job)  # of one moment: while a listener is told, things go on
            if view["status"] == QUEUED:
                position = {name: view[name] for name in ("position", "eta_s")}
                if told.get("position", {}).get("position") != position["position"]:
                    told["position"] = position
                    yield "position", position
            for said in view["result"]["data"] if view["result"] else []:
                if said["place"] not in shown:
                    shown.add(said["place"])
                    yield "picture", said
            if told.get("progress") != view["progress"]:
                told["progress"] = view["progress"]
                yield "progress", view["progress"]
            if view["status"] in FINAL:
                yield view["status"], view
                return
            try:
                await asyncio.wait_for(news.wait(), QUIET_S)
            except TimeoutError:
                yield None

    def view(self, job: Job) -> dict[str, Any]:
        """Return how a job stands, as JSON has it."""
        ahead = sum(len(other.missing()) for other in self._before(job))
        done = len(job.pictures)
        left = ahead + job.total - done - job.steps
        pictures = [job.pictures[place] for place in sorted(job.pictures)]
        return {
            "id": job.id,
            "object": "job",
            "kind": job.kind,
            "status": job.status,
            "created_at": int(job.created),
            "position": ahead,
            "eta_s": None if self.pace_s is None or job.is_over else round(self.pace_s * left, 1),
            "progress": {"done": done, "total": job.total, "share": round((done + job.steps) / job.total, 3)},
            "result": {"data": pictures, "has_sheet": job.has_sheet} if pictures else None,
            "error": job.error,
        }

    def _before(self, job: Job) -> list[Job]:
        """Return the jobs that are painted first."""
        if job not in self.waiting:
            return []
        return [*self.running, *self.waiting[: self.waiting.index(job)]]

    # How they are done.

    async def _begin(self, job: Job, order: Order | MockupOrder) -> None:
        try:
            await self.painters.check(job.model, order)
            await self._whole(asyncio.to_thread(self.folder.begin, job, order))
        except BaseException:
            if job.key:
                del self.keys[job.caller, job.key]
            raise
        finally:
            del self.beginning[job.id]
        self.jobs[job.id] = job
        self.waiting.append(job)
        self._next()

    def _next(self) -> None:
        """Begin as many jobs as may be painted at once."""
        if not self.running:
            self.last_s = time.monotonic()
        while self.waiting and len(self.running) < AT_ONCE:
            job = self.waiting.pop(0)
            job.status = RUNNING
            self.running.append(job)
            job.task = asyncio.create_task(self._run(job))
            job.task.add_done_callback(partial(self._done, job))  # a task that never began has no `finally`
        self._tell()

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        self.running.remove(job)
        if not task.cancelled() and (error := task.exception()):
            log.error("how a job ended could not be written down", exc_info=error)
        self._next()

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    async def _run(self, job: Job) -> None:
        try:
            await self._save(job)
            await self._paint(job)
            if all(said["id"] is None for said in job.pictures.values()):
                notes = [note for said in job.pictures.values() for note in said["notes"]]
                raise ContentFiltered(" ".join(dict.fromkeys(notes)) or "Nothing is shown.")
            if job.kind == SWEEP and not job.has_sheet:
                await self._whole(self._draw(job))
            await self._end(job, SUCCEEDED)
        except Exception as error:
            await self._end(job, FAILED, self.told(error))

    async def _paint(self, job: Job) -> None:
        """Paint what is missing of a job, again where that may help."""
        order = await asyncio.to_thread(self.folder.order, job)
        failed = 0
        while missing := job.missing():
            try:
                await self._some(job, order, missing[:PICTURES_AT_ONCE])
                failed = 0
            except Exception as error:
                failed = failed + 1 if job.missing() == missing else 1
                after_s = self.again_s(error, failed)
                if after_s is None:
                    raise
                await asyncio.sleep(after_s)
            finally:
                job.steps = 0

    async def _some(self, job: Job, order: Order | MockupOrder, places: list[int]) -> None:
        """Paint some pictures of a job, and keep each."""
        if isinstance(order, MockupOrder):
            made = await self.painters.mockup(job.model, order)
            await self._keep(job, 0, said_of(made, order), made.file)
            self.on_made(job, order, made)
            return
        axes = varied(order.recipes)
        part = replace(order, recipes=tuple(order.recipes[place] for place in places), tells_steps=True)
        kept = 0
        async with aclosing(self.painters.paint(job.model, part)) as events:
            async for one in events:
                if isinstance(one, Stepped):
                    job.steps = max(0.0, len(places) * one.done / one.total - kept)
                    self._tell()
                elif isinstance(one, Painted):
                    said = {name: getattr(one.recipe, name) for name in axes} | {
                        "seed": one.recipe.seed,
                        "finish_reason": one.finish_reason,
                        "recipe": one.digest,
                        "notes": list(one.notes),
                    }
                    await self._keep(job, places[one.place], said, one.data)
                    self.on_made(job, order, one)
                    kept += 1
        assert kept == len(places), "painters give every picture, or say why not"

    async def _keep(self, job: Job, place: int, said: dict[str, Any], data: bytes | None) -> None:
        """Keep a picture: its file, and then what is said of it."""

        async def keep() -> None:
            async with job.writing:
                if job.status != RUNNING:  # cancelled, or forgotten, meanwhile
                    return
                if data is not None:
                    await asyncio.to_thread(self.folder.write, job.id, picture_name(job, place), data)
                about = {"place": place, "id": None if data is None else picture_id(data)}
                job.pictures[place] = about | said
                job.steps = max(0.0, job.steps - 1)
                await self._write(job)

        await self._whole(keep())
        now = time.monotonic()
        took_s, self.last_s = now - self.last_s, now
        self.pace_s = took_s if self.pace_s is None else PACE_KEPT * self.pace_s + (1 - PACE_KEPT) * took_s
        self._tell()

    async def _draw(self, job: Job) -> None:
        """Draw the contact sheet of a sweep."""
        from gencv.plots.generate import contact_sheet  # brings matplotlib, which nothing else here needs

        assert isinstance(job.order, Order)
        recipes = job.order.recipes
        rows = [
            recipe.to_dict() | {"path": picture_name(job, place) if job.pictures[place]["id"] else None}
            for place, recipe in enumerate(recipes)
        ]
        async with job.writing:
            place = storage.join(self.folder.place, job.id)
            data = await asyncio.to_thread(contact_sheet, rows, varied(recipes), place)
            if job.status == RUNNING:
                await asyncio.to_thread(self.folder.write, job.id, SHEET, data)
                job.has_sheet = True

    async def _end(self, job: Job, status: str, error: dict[str, Any] | None = None) -> None:
        """Say how a job ended, which nothing changes any more."""
        if not job.is_over:
            job.status, job.finished, job.error, job.steps = status, time.time(), error, 0
            await self._save(job)

    async def _cancel(self, job: Job) -> None:
        if job in self.waiting:
            self.waiting.remove(job)
        if job in self.running and job.task and not job.is_over:
            job.task.cancel()
        await self._end(job, CANCELLED)

    async def _forget(self, job: Job) -> None:
        """Cancel a job, and remove all that there is of it; what is being written of it comes first."""
        await self._cancel(job)

        async def forget() -> None:
            async with job.writing:
                if self.jobs.pop(job.id, None):
                    if job.key:
                        del self.keys[job.caller, job.key]
                    await asyncio.to_thread(self.folder.remove, job.id)

        await self._whole(forget())

    async def expire(self, now: float) -> None:
        """Forget what was finished so many days before now."""
        old = [job for job in self.jobs.values() if job.finished and job.finished < now - self.days * 86_400]
        for job in old if self.days else []:
            await self._forget(job)

    async def _expire_forever(self) -> None:
        while True:
            try:
                await self.expire(time.time())
            except Exception:  # a storage that is away; an hour later it may be back
                log.exception("old jobs could not be forgotten")
            await asyncio.sleep(EXPIRED_EVERY_S)

    async def _save(self, job: Job) -> None:
        async def save() -> None:
            async with job.writing:
                await self._write(job)

        await self._whole(save())
        self._tell()

    async def _write(self, job: Job) -> None:
        """Write down how a job stands, under its lock; one that is forgotten stays so."""
        if job.id in self.jobs:
            await asyncio.to_thread(self.folder.write, job.id, JOB, to_json(job))

    async def _whole(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for work that goes on to its end where the one who waits is cancelled."""
        task = asyncio.ensure_future(work)
        self.saving.add(task)
        task.add_done_callback(self.saving.discard)
        await asyncio.shield(task)
