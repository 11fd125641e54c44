"""Applications without weights: their services answer at once what a person can predict, in the shape of the real ones.

Pictures are decoded as the real ones decode them, so what is no picture is refused in the same way.
"""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import COLOURS, ColourEncoder, FakePainters, colour_index
from fastapi import FastAPI

from gencv.core.contracts import CONTENT_FILTERED, DONE
from gencv.core.errors import NotFound
from gencv.core.record import picture_id
from gencv.history.ledger import open_ledger
from gencv.history.recorder import Recorder
from gencv.images.decode import Limits, decode
from gencv.images.degrade import encode_png
from gencv.mockup.making import Made
from gencv.provenance import stamp
from gencv.services import search as searching
from gencv.services.diffusion import verify
from gencv.services.jobs import Job
from gencv.services.orders import Accepted, Event, MockupOrder, Order, Painted, Partial
from serving import diffusion, search, spoof
from serving.door import Door

LIMITS = Limits(max_bytes=2**20, max_pixels=1_000_000)
DOOR = Door(max_body_mb=1, max_megapixels=1, rate_per_minute=1_000_000)


class Judge:
    """Calls reddish pictures spoofs."""

    async def check(self, bundle: str, data: bytes, options: spoof.Options) -> dict[str, Any]:
        pixels = decode(data, limits=LIMITS)
        score = float(pixels[..., 0].mean() / (pixels.mean() * 3 + 1))
        answer = {
            "task": "spoof",
            "label": "spoof" if score > 0.5 else "live",
            "reasons": [],
            "score": score,
            "threshold": 0.5,
            "threshold_id": "eer-0",
            "expected_fpr": 0.25,
            "expected_fnr": 0.25,
            "error_rate": None,
            "id": picture_id(data),
            "scores": {"spoof": score, "live": 1 - score},
        }
        why = {"explanations": {kind: {} for kind in options.explain}} if options.explain else {}
        return {"answers": [answer | why], "digest": f"of {bundle}", "timing_ms": {"examine": 0.5, "judge": 1.0}}

    async def provenance(self, data: bytes) -> dict[str, Any]:
        return stamp.read(data).to_dict()

    async def ready(self) -> dict[str, Any]:
        return {"bundles": {"one": "of one"}}


class Painting:
    """Paints grey, the seed's."""

    async def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        for file in (order.init, order.mask):
            if file is not None:
                decode(file, limits=LIMITS)
        yield Accepted(0, None, 64, 64, 3)
        for place, asked in enumerate(order.recipes):
            recipe = replace(asked, model=model)
            data = encode_png(np.full((8, 8, 3), recipe.seed % 256, np.uint8))
            if "forbidden" in recipe.prompt:
                yield Painted(place, recipe, recipe.digest(), CONTENT_FILTERED, None, ("It is forbidden.",))
                continue
            for number in range(order.num_partials):
                yield Partial(place, number, data)
            yield Painted(place, recipe, recipe.digest(), DONE, data, (), "weights of a test")

    async def check(self, model: str, order: Order | MockupOrder) -> None: ...

    async def mockup(self, model: str, order: MockupOrder) -> Made:
        decode(order.product, limits=LIMITS)
        return await FakePainters().mockup(model, order)

    async def verify(self, data: bytes) -> dict[str, Any]:
        return verify(data, LIMITS)

    async def ready(self) -> dict[str, Any]:
        return {"painters": {"grey": "weights of a test"}}


class Queue:
    """A desk where everything waits for ever."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}

    async def submit(self, job: Job, order: Order | MockupOrder) -> dict[str, Any]:
        about = {"id": job.id, "object": "job", "kind": job.kind, "status": "queued", "created_at": int(job.created)}
        progress = {"done": 0, "total": job.total, "share": 0.0}
        about |= {"position": len(self.jobs), "eta_s": None, "progress": progress, "result": None, "error": None}
        return self.jobs.setdefault(job.id, about)

    async def get(self, caller: str, id: str) -> dict[str, Any]:
        if id not in self.jobs:
            raise NotFound(f"There is no job {id}.")
        return self.jobs[id]

    async def page(self, caller: str, limit: int, cursor: str) -> dict[str, Any]:
        return {"object": "list", "data": list(self.jobs.values())[:limit], "cursor": None}

    async def cancel(self, caller: str, id: str) -> dict[str, Any]:
        return await self.get(caller, id)

    async def delete(self, caller: str, id: str) -> None:
        await self.get(caller, id)
        del self.jobs[id]

    async def picture(self, caller: str, id: str, place: int) -> tuple[str, str, bytes]:
        await self.get(caller, id)
        raise NotFound(f"There is no picture {place} of the job {id}.")

    async def sheet(self, caller: str, id: str) -> tuple[str, str, bytes]:
        return await self.picture(caller, id, 0)

    async def events(self, caller: str, id: str) -> AsyncGenerator[tuple[str, dict[str, Any]] | None, None]:
        yield "cancelled", await self.get(caller, id)


def applications(folder: Path, monkeypatch: pytest.MonkeyPatch, *, door: Door = DOOR) -> dict[str, FastAPI]:
    """Make all of them, by name, with one history and a small real index below a folder."""
    monkeypatch.setattr(searching, "load_encoder", lambda name, **how: ColourEncoder())
    colour_index(folder / "index", [name for name in COLOURS for _ in range(4)])
    found = search.SearchSettings(index=str(folder / "index"), writable=True, door=door)
    judged = spoof.SpoofSettings(bundles={"one": "/bundles/one", "two": "/bundles/two"}, door=door)
    painted = diffusion.DiffusionSettings(painters={"grey": "grey", "other/name": "other"}, door=door)

    def recorder() -> Recorder:
        return Recorder(open_ledger(f"sqlite:///{folder}/history.db"))

    return {
        "spoof": spoof.build_api(Judge(), judged, recorder()),
        "search": search.build_api(search.Searchers(found), found, recorder()),
        "diffusion": diffusion.build_api(Painting(), painted, Queue(), recorder()),
    }
