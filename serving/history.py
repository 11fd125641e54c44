"""The history of /spoof: what was said of which picture, and what people say of that.

    curl -H 'content-type: application/json' -d '{"picture_id": "5f0e...", "label": "live"}' \\
        http://127.0.0.1:8000/spoof/v1/feedback

Every key for spoof sees and may delete all of it: it is one team's book (docs/history.md).
"""

import asyncio
import time
from typing import Annotated, Any, Self

from fastapi import FastAPI, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from starlette.datastructures import State

from gencv.core.errors import NotSupported
from gencv.core.record import picture_id
from gencv.core.words import label_of
from gencv.history.ledger import open_ledger
from gencv.history.pages import MAX_LIMIT, Wanted
from gencv.history.recorder import Recorder
from gencv.history.schema import Feedback, Verdict, time_of
from serving.errors import Refused
from serving.settings import History

ID = "^[0-9a-f]{32}$"
SETTLED_S = 2.0
"""After so long a verdict has been written, unless the database is slow or away."""


class Correction(BaseModel):
    """What a person says of a picture that was judged."""

    model_config = ConfigDict(extra="forbid")

    picture_id: str | None = Field(None, pattern=ID)
    """The `id` of a result."""
    verdict_id: str | None = Field(None, pattern=ID)
    """The `verdict_id` of an answer, instead."""
    label: str = Field(max_length=40)
    """What the picture is: `live`, `real`, `spoof`, `generated`, or another word for either."""
    note: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def names_one(self) -> Self:
        if (self.picture_id is None) == (self.verdict_id is None):
            raise ValueError("give picture_id or verdict_id, one of them")
        return self


class Listing(BaseModel):
    """Which rows are listed."""

    model_config = ConfigDict(extra="forbid")

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


def record(recorder: Recorder, state: State, data: bytes, answers: list[dict[str, Any]]) -> None:
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


def add_history(api: FastAPI, recorder: Recorder | None) -> None:
    """Serve a history: without one each of these says so."""

    def kept() -> Recorder:
        if recorder is None:
            raise NotSupported("No history is written here; `history.url` in the settings starts one.")
        return recorder

    @api.post("/v1/feedback", status_code=201, tags=["history"])
    async def feedback(request: Request, correction: Correction) -> dict[str, Any]:
        """Keep a person's correction for the next training set; it is written before this is answered."""
        row = await asyncio.to_thread(correct, kept(), correction, request.state)
        return {"id": row.id, "time": row.time, "picture_id": row.picture_id, "label": row.label}

    @api.get("/v1/feedback", tags=["history"])
    async def corrections(listing: Annotated[Listing, Query()]) -> dict[str, Any]:
        """List corrections, newest first."""
        return await asyncio.to_thread(listed, kept(), "feedback", listing)

    @api.get("/v1/history", tags=["history"])
    async def history(listing: Annotated[Listing, Query()]) -> dict[str, Any]:
        """List verdicts, newest first, each with the last label that a person gave its picture."""
        return await asyncio.to_thread(listed, kept(), "verdicts", listing)

    @api.delete("/v1/history/{picture_id}", tags=["history"])
    async def forget(picture_id: Annotated[str, Path(pattern=ID)]) -> dict[str, Any]:
        """Delete all that names a picture, feedback included, and the picture where it was kept."""
        return {"id": picture_id, "deleted": await asyncio.to_thread(forgotten, kept(), picture_id)}


def correct(recorder: Recorder, correction: Correction, state: State) -> Feedback:
    """Write a correction. Raises Refused (404) for a verdict that is not there, BadInput for a label that is none."""
    if label_of(correction.label) is None:
        raise Refused(400, "invalid_parameter", "label: it is empty; write live or spoof, for example.", "label")
    picture = correction.picture_id
    if correction.verdict_id:
        verdict = found(recorder, correction.verdict_id)
        if verdict is None:
            raise Refused(404, "not_found", f"There is no verdict {correction.verdict_id} here.", "verdict_id")
        picture = verdict["picture_id"]
    row = Feedback(
        request_id=state.request_id,
        caller=state.caller,
        picture_id=picture,
        verdict_id=correction.verdict_id,
        label=correction.label.strip().lower(),
        note=correction.note,
    )
    recorder.ledger.write([row])
    return row


def found(recorder: Recorder, verdict_id: str) -> dict[str, Any] | None:
    """Return a verdict. One of a moment ago may still wait, here or in another copy of the API, and is waited for."""
    until = min(time_of(verdict_id), time.time()) + SETTLED_S
    while True:
        verdict = recorder.ledger.find("verdicts", verdict_id)
        if verdict or time.time() > until:
            return verdict
        time.sleep(0.05)


def listed(recorder: Recorder, kind: str, listing: Listing) -> dict[str, Any]:
    page = recorder.ledger.page(kind, listing.wanted(), limit=listing.limit, cursor=listing.cursor)
    rows = page.rows
    if kind == "verdicts":
        said = recorder.ledger.corrections([row["picture_id"] for row in rows])
        rows = [{**row, "corrected": said.get(row["picture_id"])} for row in rows]
    return {"items": rows, "cursor": str(page.cursor) if page.cursor else None}


def forgotten(recorder: Recorder, picture: str) -> dict[str, int]:
    recorder.flush()  # or what waits would come after it
    return recorder.ledger.forget_picture(picture)
