"""The history of an application: what is written down of its answers, and the routes that list and delete it.

Every key for an application sees its rows and may delete them: it is one team's book (docs/history.md).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.datastructures import State

from gencv.core.contracts import DONE
from gencv.core.errors import NotSupported
from gencv.core.record import picture_id
from gencv.history.ledger import open_ledger
from gencv.history.pages import MAX_LIMIT, Wanted
from gencv.history.recorder import Recorder
from gencv.history.schema import Painting, Search, Verdict
from gencv.mockup.making import Made
from gencv.services.orders import Event, MockupOrder, Order, Painted
from serving.answers import HISTORIES, Deleted
from serving.openapi import HISTORY
from serving.settings import History

ID = "^[0-9a-f]{32}$"


class Listing(BaseModel):
    """Which rows are listed."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    label: str | None = Field(None, max_length=40)
    caller: str | None = Field(None, max_length=200)
    """Name of a key; empty for requests without one."""
    picture_id: str | None = Field(None, pattern=ID)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: int = Field(50, ge=1, le=MAX_LIMIT)
    cursor: str = Field("", max_length=200)

    def wanted(self) -> Wanted:
        return Wanted(**self.model_dump(exclude={"limit", "cursor"}))


def open_recorder(history: History) -> Recorder | None:
    """Open the history that an application is told to write; None where it is told of none. Raises BadInput."""
    if not history.url:
        return None
    return Recorder(open_ledger(history.url, keep_pictures=history.keep_pictures), days=history.days)


def record_verdicts(recorder: Recorder, state: State, data: bytes, answers: list[dict[str, Any]]) -> None:
    """Leave a row for each answer of a picture, and put its id into the answer; None where there was no room."""
    if not answers:
        return
    rows = [
        Verdict(
            request_id=state.request_id,
            caller=state.caller,
            picture_id=picture_id(data),
            bundle=answer["bundle"],
            digest=answer["digest"],
            task=answer["task"],
            label=answer["label"],
            score=answer["score"],
            threshold_id=answer["threshold_id"],
            reasons=list(answer["reasons"]),
            attribution=answer.get("kind"),
            attribution_score=answer.get("kind_score"),
        )
        for answer in answers
    ]
    is_left = recorder.put(*rows, picture=data)
    for answer, row in zip(answers, rows, strict=True):
        answer["verdict_id"] = row.id if is_left else None


def record_search(
    recorder: Recorder, state: State, asked: dict[str, Any], image: bytes | None, found: dict[str, Any]
) -> None:
    """Leave a row for a page that was found. asked: the query, without pictures and vectors."""
    row = Search(
        request_id=state.request_id,
        caller=state.caller,
        picture_id=picture_id(image) if image is not None else None,
        asked=asked,
        index_version=found["index"]["version"],
        hits=[hit["id"] for hit in found["hits"]],
    )
    recorder.put(row, picture=image)


def record_made(
    recorder: Recorder, request_id: str, caller: str, order: Order | MockupOrder, made: Painted | Made
) -> None:
    """Leave a row for a picture that was made; of a mockup its recipe is what was asked for. order: what it is of."""
    if isinstance(made, Painted):
        data, reason, recipe = made.data, made.finish_reason, asdict(made.recipe)
        model, weights = made.recipe.model, made.weights
    else:
        assert isinstance(order, MockupOrder)
        recipe = asdict(order) | {"product": picture_id(order.product)}
        data, reason, weights = made.file, DONE, ""
        model = made.recipe.model if made.recipe else ""
    row = Painting(
        request_id=request_id,
        caller=caller,
        picture_id=picture_id(data) if data is not None else None,
        recipe=recipe,
        model=model,
        model_digest=weights,
        finish_reason=reason,
    )
    recorder.put(row, picture=data)


async def recorded(
    recorder: Recorder | None, state: State, order: Order, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    """Give what happens to an order, and leave a row for each picture of it."""
    async with aclosing(events):
        async for one in events:
            if recorder and isinstance(one, Painted):
                record_made(recorder, state.request_id, state.caller, order, one)
            yield one


def add_history(api: FastAPI, recorder: Recorder | None, kind: str, path: str = "/v1/history") -> None:
    """Serve the rows of a kind: without a history each of these says so. kind: a key of KINDS."""

    @api.get(path, tags=[HISTORY], responses={200: {"model": HISTORIES[kind]}})
    async def history(listing: Annotated[Listing, Query()]) -> dict[str, Any]:
        """List what was answered, newest first."""
        return await asyncio.to_thread(listed, kept(recorder), kind, listing)

    @api.delete(f"{path}/{{id}}", tags=[HISTORY], responses={200: {"model": Deleted}})
    async def forget(id: Annotated[str, Path(pattern=ID)]) -> dict[str, Any]:
        """Delete a row, or all that names a picture.

        Of a picture all rows go, feedback included, and the picture itself where it was kept.
        """
        return {"id": id, "deleted": await asyncio.to_thread(forgotten, kept(recorder), id)}


def kept(recorder: Recorder | None) -> Recorder:
    """Return the history. Raises NotSupported where there is none."""
    if recorder is None:
        raise NotSupported("No history is written here; `history.url` in the settings starts one.")
    return recorder


def listed(recorder: Recorder, kind: str, listing: Listing) -> dict[str, Any]:
    page = recorder.ledger.page(kind, listing.wanted(), limit=listing.limit, cursor=listing.cursor)
    rows = page.rows
    if kind == "verdicts":  # each with the last label that a person gave its picture
        said = recorder.ledger.corrections([row["picture_id"] for row in rows])
        rows = [{**row, "corrected": said.get(row["picture_id"])} for row in rows]
    return {"items": rows, "cursor": str(page.cursor) if page.cursor else None}


def forgotten(recorder: Recorder, id: str) -> dict[str, int]:
    recorder.flush()  # or what waits would come after it
    return recorder.ledger.forget(id)
