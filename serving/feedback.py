"""What people say of verdicts: corrections, which the next training set is made of.

    curl -H 'content-type: application/json' -d '{"picture_id": "5f0e...", "label": "live"}' \\
        http://127.0.0.1:8000/spoof/v1/feedback
"""

import asyncio
import time
from typing import Annotated, Any, Self

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.datastructures import State

from gencv.core.words import label_of
from gencv.history.ledger import values_of
from gencv.history.pages import Wanted
from gencv.history.recorder import Recorder
from gencv.history.schema import Feedback, time_of
from serving.answers import HISTORIES, Corrected
from serving.errors import Refused
from serving.history import ID, Listing, kept, listed
from serving.openapi import HISTORY

SETTLED_S = 2.0
"""After so long a verdict has been written, unless the database is slow or away."""


class Correction(BaseModel):
    """What a person says of a picture that was judged."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

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


def add_feedback(api: FastAPI, recorder: Recorder | None) -> None:
    """Take and list corrections: without a history each of these says so."""

    @api.post("/v1/feedback", status_code=201, tags=[HISTORY], responses={201: {"model": Corrected}, 404: {}})
    async def feedback(request: Request, correction: Correction) -> dict[str, Any]:
        """Keep a person's correction for the next training set; it is written before this is answered.

        One that only says again what the picture's newest one says, by the same caller, is answered with what is
        there, as when a client repeats a request that it had no answer to.
        """
        row = await asyncio.to_thread(correct, kept(recorder), correction, request.state)
        return {name: row[name] for name in ("id", "time", "picture_id", "label")}

    @api.get("/v1/feedback", tags=[HISTORY], responses={200: {"model": HISTORIES["feedback"]}})
    async def corrections(listing: Annotated[Listing, Query()]) -> dict[str, Any]:
        """List corrections, newest first."""
        return await asyncio.to_thread(listed, kept(recorder), "feedback", listing)


def correct(recorder: Recorder, correction: Correction, state: State) -> dict[str, Any]:
    """Write a correction; returns its row, or the picture's newest where that says the same.

    Raises Refused (404) for a verdict that is not there, BadInput for a label that is none.
    """
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
    said = values_of(row)
    last = recorder.ledger.page("feedback", Wanted(picture_id=picture), limit=1).rows
    if last and all(last[0][name] == said[name] for name in ("caller", "verdict_id", "label", "note")):
        return last[0]
    recorder.ledger.write([row])
    return said


def found(recorder: Recorder, verdict_id: str) -> dict[str, Any] | None:
    """Return a verdict. One of a moment ago may still wait, here or in another copy of the API, and is waited for."""
    until = min(time_of(verdict_id), time.time()) + SETTLED_S
    while True:
        verdict = recorder.ledger.find("verdicts", verdict_id)
        if verdict or time.time() > until:
            return verdict
        time.sleep(0.05)
