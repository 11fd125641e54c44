"""What /spoof writes down, lists, and forgets."""

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from answerers import applications
from fakes import colour_png
from starlette.testclient import TestClient

from gencv.core.errors import BadInput, HistoryUnavailable
from gencv.core.record import picture_id
from gencv.history.recorder import Recorder
from gencv.history.schema import Feedback
from serving.history import open_recorder
from serving.settings import History
from serving.spoof import Options, SpoofSettings, build_api

Client = Callable[..., TestClient]
SETTINGS = SpoofSettings(bundles={"one": "/bundles/one", "two": "/bundles/two"})
A = picture_id(b"a")


class Judge:
    """Calls pictures by their first letter; a bundle for each."""

    async def check(self, bundle: str, data: bytes, options: Options) -> dict[str, Any]:
        label = "spoof" if data.startswith(b"s") else "live"
        answer = {"id": picture_id(data), "task": "spoof", "label": label, "score": 0.25, "threshold_id": "eer"}
        kind = {"kind": "print", "kind_score": 0.5} if bundle == "two" else {}
        return {"answers": [{**answer, "reasons": ("unstable",), **kind}], "digest": f"of {bundle}", "timing_ms": {}}

    async def provenance(self, data: bytes) -> dict[str, Any]:
        return {}

    async def ready(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def recorder(history_url: str, tmp_path: Path) -> Iterator[Recorder]:
    found = open_recorder(History(url=history_url, keep_pictures=str(tmp_path / "kept")))
    assert found is not None
    yield found
    found.close()


@pytest.fixture
def here(client: Client, recorder: Recorder) -> TestClient:
    return client(build_api(Judge(), SETTINGS, recorder))


def check(here: TestClient, *pictures: bytes) -> list[dict[str, Any]]:
    files = [("image", ("x", data)) for data in pictures]
    results: list[dict[str, Any]] = here.post("/v1/check", files=files).json()["results"]
    return results


def items(here: TestClient, path: str = "history", **query: Any) -> list[dict[str, Any]]:
    answer = here.get(f"/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_a_verdict_is_written_down_with_the_id_that_the_answer_names(here: TestClient, recorder: Recorder) -> None:
    answer = here.post("/v1/check", files=[("image", ("x", b"a"))], headers={"x-request-id": "req-1"})
    answers = answer.json()["results"][0]["answers"]
    assert recorder.flush()
    rows = {row["id"]: row for row in items(here)}
    assert list(rows)[::-1] == [one["verdict_id"] for one in answers]
    two = rows[answers[1]["verdict_id"]]
    assert two.pop("time").endswith("Z")
    assert two == {
        "id": answers[1]["verdict_id"],
        "request_id": "req-1",
        "caller": "",
        "picture_id": A,
        "bundle": "two",
        "digest": "of two",
        "task": "spoof",
        "label": "live",
        "score": 0.25,
        "threshold_id": "eer",
        "reasons": ["unstable"],
        "attribution": "print",
        "attribution_score": 0.5,
        "corrected": None,
    }


def test_a_correction_is_written_before_it_is_answered(here: TestClient, recorder: Recorder) -> None:
    (result,) = check(here, b"a")
    by_picture = here.post("/v1/feedback", json={"picture_id": A, "label": "Spoof", "note": "a screen"})
    assert by_picture.status_code == 201 and recorder.ledger.counts()["feedback"] == 1
    verdict_id = result["answers"][0]["verdict_id"]
    by_verdict = here.post("/v1/feedback", json={"verdict_id": verdict_id, "label": "live"}).json()
    assert by_verdict["picture_id"] == A
    second, first = items(here, "feedback")
    assert (first["label"], first["note"], first["verdict_id"]) == ("spoof", "a screen", None)
    assert (second["label"], second["verdict_id"], second["id"]) == ("live", verdict_id, by_verdict["id"])
    assert [row["corrected"] for row in items(here)] == ["live", "live"]


def test_a_correction_that_is_sent_again_is_there_once(here: TestClient, recorder: Recorder) -> None:
    def said(**more: str) -> str:
        answer = here.post("/v1/feedback", json={"picture_id": A, "label": "spoof", "note": "a\0 screen"} | more)
        assert answer.status_code == 201
        return str(answer.json()["id"])

    first = said()
    assert said() == said(label=" SPOOF") == first and recorder.ledger.counts()["feedback"] == 1
    others = [said(note=""), said(label="live"), said()]  # the last takes it back: its word is the newest again
    assert len({first, *others}) == 4 and recorder.ledger.corrections([A]) == {A: "spoof"}
    recorder.ledger.write([Feedback(request_id="1", caller="another", picture_id=A, label="spoof", note="a screen")])
    assert said() not in (first, *others)


def test_a_verdict_that_is_still_being_written_can_be_corrected(
    here: TestClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, tries = type(recorder.ledger).find, []

    def late(ledger: Any, kind: str, id: str) -> Any:
        tries.append(id)
        return find(ledger, kind, id) if len(tries) > 2 else None

    monkeypatch.setattr(type(recorder.ledger), "find", late)
    (result,) = check(here, b"a")
    recorder.flush()
    asked = {"verdict_id": result["answers"][0]["verdict_id"], "label": "live"}
    assert here.post("/v1/feedback", json=asked).status_code == 201 and len(tries) == 3


def test_pages_and_filters(here: TestClient, recorder: Recorder) -> None:
    check(here, b"a", b"s1", b"s2")
    recorder.flush()
    assert len(items(here, label="spoof")) == 4 and len(items(here, picture_id=A)) == 2
    assert items(here, caller="triage") == [] and len(items(here, caller="")) == 6
    assert items(here, until="2020-01-01T00:00:00Z") == [] and len(items(here, since="2020-01-01T00:00:00Z")) == 6
    first = here.get("/v1/history", params={"limit": 4}).json()
    second = here.get("/v1/history", params={"limit": 4, "cursor": first["cursor"]}).json()
    assert len(first["items"]) == 4 and len(second["items"]) == 2 and second["cursor"] is None
    other = here.get("/v1/history", params={"label": "live", "cursor": first["cursor"]})
    assert other.status_code == 400 and "another listing" in other.json()["error"]["message"]


def test_a_picture_is_forgotten(here: TestClient, recorder: Recorder, tmp_path: Path) -> None:
    check(here, b"a", b"s")
    here.post("/v1/feedback", json={"picture_id": A, "label": "live"})
    recorder.flush()
    kept = tmp_path / "kept" / A[:2] / A
    assert kept.read_bytes() == b"a"
    check(here, b"a")  # and forgets what still waits
    answer = here.delete(f"/v1/history/{A}").json()
    assert answer == {
        "id": A,
        "deleted": {"verdicts": 4, "searches": 0, "paintings": 0, "feedback": 1, "kept": 1},
    }
    assert not kept.exists() and len(items(here)) == 2 and items(here, "feedback") == []


@pytest.mark.parametrize(
    ("method", "path", "asked", "status", "code", "param"),
    [
        ("post", "feedback", {"json": {"picture_id": A, "label": "maybe"}}, 400, "bad_input", None),
        ("post", "feedback", {"json": {"picture_id": A, "label": ""}}, 400, "invalid_parameter", "label"),
        ("post", "feedback", {"json": {"picture_id": A, "label": "live", "by": "me"}}, 400, "unknown_parameter", "by"),
        ("post", "feedback", {"json": {"picture_id": "../x", "label": "live"}}, 400, "invalid_parameter", "picture_id"),
        ("post", "feedback", {"json": {"label": "live"}}, 400, "invalid_parameter", None),
        ("post", "feedback", {"json": {"verdict_id": A, "label": "live"}}, 404, "not_found", "verdict_id"),
        ("post", "feedback", {"content": b"[" * 10**5}, 400, None, None),
        ("get", "history", {"params": {"colour": "red"}}, 400, "unknown_parameter", "colour"),
        ("get", "history", {"params": {"limit": "1000"}}, 400, "invalid_parameter", "limit"),
        ("get", "history", {"params": {"cursor": "next"}}, 400, "bad_input", None),
        ("get", "history", {"params": {"since": "2030-01-01T00:00:00"}}, 400, "invalid_parameter", "since"),
        ("get", "history", {"params": {"since": "0001-01-01T00:00:00+14:00"}}, 400, "bad_input", None),
        ("get", "history", {"params": {"label": "a\0b"}}, 200, None, None),
        ("delete", "history/..%2f..%2fetc", {}, 404, "not_found", None),
        ("delete", f"history/{A.upper()}", {}, 400, "invalid_parameter", "id"),
    ],
)
def test_bad_requests_are_one_sentence(
    here: TestClient, method: str, path: str, asked: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    answer = here.request(method, f"/v1/{path}", **asked)
    assert answer.status_code == status, answer.text
    if code:
        assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param), answer.text


def test_without_a_history_verdicts_are_given_all_the_same(client: Client) -> None:
    assert open_recorder(History()) is None
    here = client(build_api(Judge(), SETTINGS))
    (result,) = check(here, b"a")
    assert "verdict_id" not in result["answers"][0]
    answer = here.get("/v1/history")
    assert answer.status_code == 400 and "history.url" in answer.json()["error"]["message"]


def test_a_history_that_fails_costs_no_verdict(
    here: TestClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise HistoryUnavailable("The history does not answer.")

    monkeypatch.setattr(type(recorder.ledger), "write", fails)
    (result,) = check(here, b"a")
    assert result["answers"][0]["label"] == "live"
    answer = here.post("/v1/feedback", json={"picture_id": A, "label": "live"})
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "history_unavailable"
    monkeypatch.undo()
    assert recorder.flush() and len(items(here)) == 2  # and is written once it answers again


def test_stopping_writes_what_waits(client: Client, history_url: str) -> None:
    recorder = open_recorder(History(url=history_url))
    assert recorder is not None
    with client(build_api(Judge(), SETTINGS, recorder)) as here:
        check(here, *[b"%d" % number for number in range(10)])
    again = open_recorder(History(url=history_url))
    assert again is not None and again.ledger.counts()["verdicts"] == 20
    again.close()


def test_a_history_that_cannot_be_opened_is_said_at_the_start() -> None:
    with pytest.raises(BadInput, match="'mysql'"):
        open_recorder(History(url="mysql://host/x"))


@pytest.fixture
def all_here(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TestClient, TestClient, TestClient]:
    """Clients of /spoof, /search, and /v1 with one history in common."""
    apis = applications(tmp_path, monkeypatch)
    spoof, search, diffusion = (client(apis[name]) for name in ("spoof", "search", "diffusion"))
    return spoof, search, diffusion


def test_searches_are_written_down_without_their_pictures(all_here: tuple[TestClient, ...]) -> None:
    _, search, _ = all_here
    data = colour_png("red", 99)
    asked = {"text": "a wall", "k": "2", "where": "label = 0"}
    found = search.post("/v1/query", files={"image": ("x.png", data)}, data=asked, headers={"x-request-id": "req-1"})
    search.post("/v1/query", json={"vector": [1, 0, 0, 0], "k": 1})
    search.post("/v1/query", json={"text": "a", "where": "nothing = 1"})  # is refused, and no search
    until(lambda: len(items(search)) == 2)
    by_vector, row = items(search)
    assert by_vector["asked"] == {"k": 1} and by_vector["picture_id"] is None
    assert row["asked"] == {"text": "a wall", "k": 2, "where": "label = 0"} and row["picture_id"] == picture_id(data)
    assert (row["request_id"], row["caller"]) == ("req-1", "")
    assert row["hits"] == [hit["id"] for hit in found.json()["hits"]]
    assert row["index_version"] == found.json()["index"]["version"]
    assert search.delete(f"/v1/history/{by_vector['id']}").json()["deleted"]["searches"] == 1
    assert search.delete(f"/v1/history/{row['picture_id']}").json()["deleted"]["searches"] == 1
    assert items(search) == []


def test_paintings_are_written_down_shown_or_not(all_here: tuple[TestClient, ...]) -> None:
    *_, diffusion = all_here
    made = diffusion.post("/images/generations", json={"prompt": "a", "seed": [7, 9]}).json()
    diffusion.post("/images/generations", json={"prompt": "forbidden", "seed": 1})
    with diffusion.stream("POST", "/images/generations", json={"prompt": "b", "seed": 5, "stream": True}) as stream:
        assert b"completed" in stream.read()
    until(lambda: len(diffusion.get("/history").json()["items"]) == 4)
    streamed, hidden, second, first = diffusion.get("/history").json()["items"]
    assert [row["recipe"]["seed"] for row in (first, second, hidden, streamed)] == [7, 9, 1, 5]
    assert first["picture_id"] == picture_id(base64.b64decode(made["data"][0]["b64_json"]))
    assert (first["model"], first["model_digest"], first["finish_reason"]) == ("grey", "weights of a test", "done")
    assert hidden["picture_id"] is None and hidden["finish_reason"] == "content_filtered"
    assert diffusion.delete(f"/history/{first['picture_id']}").json()["deleted"]["paintings"] == 1
    assert diffusion.delete(f"/history/{hidden['id']}").json()["deleted"]["paintings"] == 1
    assert [row["id"] for row in diffusion.get("/history").json()["items"]] == [streamed["id"], second["id"]]


def test_mockups_are_written_down_with_what_was_asked_for(all_here: tuple[TestClient, ...]) -> None:
    *_, diffusion = all_here
    product = colour_png("red", 99)
    fields = {"template": "mug", "art": "cutout"}
    made = diffusion.post("/mockups", files={"product": ("cup.png", product)}, data=fields).json()
    until(lambda: len(diffusion.get("/history").json()["items"]) == 1)
    (row,) = diffusion.get("/history").json()["items"]
    assert row["picture_id"] == picture_id(base64.b64decode(made["data"][0]["b64_json"]))
    assert row["recipe"]["product"] == picture_id(product) and row["finish_reason"] == "done"
    assert {name: row["recipe"][name] for name in fields} == fields


def test_a_picture_is_forgotten_in_all_of_one_history(all_here: tuple[TestClient, ...]) -> None:
    spoof, search, _ = all_here
    data = colour_png("red", 99)
    (verdict, *_) = check(spoof, data)[0]["answers"]
    search.post("/v1/query", files={"image": ("x.png", data)})
    until(lambda: len(items(spoof)) == 2 and len(items(search)) == 1)
    assert spoof.get("/v1/history", params={"label": "spoof"}).json()["items"]
    assert search.get("/v1/history", params={"label": "spoof"}).json()["error"]["code"] == "bad_input"
    gone = search.delete(f"/v1/history/{verdict['id']}").json()["deleted"]
    assert (gone["verdicts"], gone["searches"]) == (2, 1) and items(spoof) == items(search) == []


def until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
