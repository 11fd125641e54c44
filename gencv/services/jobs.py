"""A job: work that outlives its request, as it is kept in a folder of its own.

    FOLDER/ID/job.json    what was asked, how it stands, what is said of its pictures
    FOLDER/ID/init, mask, product    the files that it begins with
    FOLDER/ID/0.png, 1.png, ...      its pictures, by their places
    FOLDER/ID/sheet.png   all of a sweep

job.json comes last: what it does not name is not there. So a job is whole whenever a process is killed, a picture that
was not finished is painted again under its own name, and a folder without a job.json is what is left of none.
"""

import asyncio
import json
import logging
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gencv.core import storage
from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput
from gencv.services.orders import MockupOrder, Order

log = logging.getLogger(__name__)
QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
FINAL = (SUCCEEDED, FAILED, CANCELLED)
MOCKUP, SWEEP = "mockup", "sweep"
"""Kinds of jobs of which something is to be known; the others are orders of pictures and nothing else."""
ID = "^[0-9a-f]{32}$"
STARTS = ("init", "mask", "product")
"""Fields of orders that hold files."""
JOB, SHEET = "job.json", "sheet.png"


@dataclass(kw_only=True)
class Job:
    """What was asked, and how it stands."""

    id: str
    kind: str
    model: str
    order: Order | MockupOrder
    """Without its files, which lie in the folder."""
    starts: tuple[str, ...]
    """Names of those files."""
    created: float
    """In s since 1970, rounded to a millionth."""
    caller: str = ""
    key: str = ""
    """By which the caller may ask for it again; "" for none."""
    digest: str = ""
    """Of what was asked."""
    status: str = QUEUED
    finished: float | None = None
    pictures: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What is said of each that is done, by its place; `id` is that of its file, None where nothing is shown."""
    has_sheet: bool = False
    error: dict[str, Any] | None = None
    steps: float = 0.0
    """What is done of pictures that are being painted, in pictures; this and what follows is not kept."""
    task: asyncio.Task[None] | None = field(default=None, repr=False, compare=False)
    """What checks, and later paints it."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False, compare=False)

    @property
    def total(self) -> int:
        """Pictures that were asked for."""
        return len(self.order.recipes) if isinstance(self.order, Order) else 1

    @property
    def is_over(self) -> bool:
        return self.status in FINAL

    def missing(self) -> list[int]:
        """Return the places of pictures that are not done; those that can share a batch beside each other."""
        left = [place for place in range(self.total) if place not in self.pictures]
        if isinstance(self.order, Order):
            recipes = self.order.recipes
            left.sort(key=lambda place: (recipes[place].strength or 0, recipes[place].guidance_scale > 1))
        return left


def new_job(kind: str, model: str, order: Order | MockupOrder, **more: str) -> Job:
    """Return a job that nobody has begun. more: its id, caller, key, and digest, where there are such."""
    starts = tuple(name for name in STARTS if getattr(order, name, None))
    bare = replace(order, product=b"") if isinstance(order, MockupOrder) else replace(order, init=None, mask=None)
    about: dict[str, Any] = {"id": secrets.token_hex(16)} | more
    return Job(kind=kind, model=model, order=bare, starts=starts, created=round(time.time(), 6), **about)


def to_json(job: Job) -> bytes:
    kept = {name: getattr(job, name) for name in KEPT}
    order = {name: value for name, value in asdict(job.order).items() if name not in STARTS}
    return json.dumps(kept | {"order": order}, indent=1).encode()


def from_json(data: bytes) -> Job:
    """Return the job of a job.json. Raises ValueError, KeyError, or TypeError for what is none."""
    values = json.loads(data)
    order = values.pop("order")
    if values["kind"] == MOCKUP:
        values["order"] = MockupOrder(product=b"", **order)
    else:
        recipes = tuple(Recipe.from_dict(one) for one in order.pop("recipes"))
        values["order"] = Order(recipes=recipes, **order)
    values["pictures"] = {int(place): said for place, said in values["pictures"].items()}
    return Job(**values | {"starts": tuple(values["starts"])})


KEPT = (
    *("id", "kind", "model", "starts", "caller", "key", "digest", "created"),
    *("status", "finished", "pictures", "has_sheet", "error"),
)
"""Fields of a job that are written down as they are."""


@dataclass(frozen=True)
class Folder:
    """Where jobs are kept. Raises OSError where it cannot be reached: no fault of who asks."""

    place: str
    """A path or URI."""

    def jobs(self) -> list[Job]:
        """Return the jobs, oldest first; what is left of those that never came to be is removed."""
        found = []
        for name in storage.names_in(self.place):
            if not re.fullmatch(ID, name):
                continue
            try:
                found.append(from_json(self.read(name, JOB)))
            except FileNotFoundError:
                storage.remove(storage.join(self.place, name))
            except (ValueError, KeyError, TypeError, BadInput):
                log.exception("%s is no job of this version, and is left as it is", name)
        return sorted(found, key=lambda job: (job.created, job.id))

    def begin(self, job: Job, order: Order | MockupOrder) -> None:
        """Write a new job with the files of its order."""
        for name in job.starts:
            self.write(job.id, name, getattr(order, name))
        self.write(job.id, JOB, to_json(job))

    def order(self, job: Job) -> Order | MockupOrder:
        """Return a job's order with its files."""
        files: dict[str, Any] = {name: self.read(job.id, name) for name in job.starts}
        return replace(job.order, **files)

    def write(self, id: str, name: str, data: bytes) -> None:
        try:
            storage.write_bytes(storage.join(self.place, id, name), data)
        except BadInput as error:  # it names the folder, which is nothing to tell a caller
            raise OSError(str(error)) from None

    def read(self, id: str, name: str) -> bytes:
        return storage.read_bytes(storage.join(self.place, id, name))

    def remove(self, id: str) -> None:
        """Remove a job; first what says that there is one."""
        storage.remove_file(storage.join(self.place, id, JOB))
        storage.remove(storage.join(self.place, id))


def picture_name(job: Job, place: int) -> str:
    """Return the name of a picture's file."""
    return f"{place}.{job.order.format}"
