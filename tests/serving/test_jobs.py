"""/v1/jobs over HTTP, with a real desk and painters that paint at once."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakePainters, png
from fastapi import FastAPI
from ray.exceptions import RayActorError
from starlette.testclient import TestClient

from gencv.core.errors import BadImage, OutOfMemory
from gencv.images.decode import decode
from gencv.services.desk import Desk
from gencv.services.orders import MockupOrder
from serving import errors
from serving.calls import MAX_TRIES, answer_of
from serving.diffusion import build_api
from serving.door import Door, digest_of
from serving.jobs import RemoteDesk, again_s
from serving.orders import DiffusionSettings

SETTINGS = DiffusionSettings(painters={"starter": "starter", "other": "sd-1.5"}, num_inference_steps=4)
PNG = base64.b64encode(png(3)).decode()


@pytest.fixture
def painters() -> FakePainters:
    return FakePainters()


@pytest.fixture
def desk(painters: FakePainters, tmp_path: Path) -> Desk:
    return Desk(painters, str(tmp_path / "jobs"), told=lambda error: errors.told(error)["error"], max_queued=3)


@pytest.fixture
def http(client: Callable[[FastAPI], TestClient], painters: Any, desk: Desk) -> Iterator[TestClient]:
    api = FastAPI()
    api.mount("/v1", build_api(painters, SETTINGS, desk))  # under a prefix, as Serve has it
    with client(api) as found:
        assert found.portal is not None
        found.portal.call(desk.start)
        yield found
        found.portal.call(desk.stop)


def post(http: TestClient, kind: str = "generation", key: str = "", **request: Any) -> Any:
    headers = {"idempotency-key": key} if key else {}
    return http.post("/v1/jobs", json={"kind": kind, "request": request}, headers=headers)


def events(http: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = http.get(f"/v1/jobs/{job['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [part.split("\n") for part in answer.text.strip().split("\n\n")]
    found = [json.loads(data.removeprefix("data: ")) for _, data in told]
    assert [kind for kind, _ in told] == [f"event: {one['type']}" for one in found]
    return found


def test_a_job_from_its_request_to_its_pictures(http: TestClient) -> None:
    answer = post(http, prompt="a", n=2, seed=5)
    job = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert set(job) == {
        *("id", "object", "kind", "status", "created_at", "position", "eta_s", "progress", "result", "error")
    }
    assert (job["object"], job["kind"], job["result"], job["error"]) == ("job", "generation", None, None)
    told = events(http, job)
    assert told[-1]["type"] == "succeeded" == told[-1]["status"]
    urls = [f"/v1/jobs/{job['id']}/pictures/{place}" for place in range(2)]
    assert [one["url"] for one in told if one["type"] == "picture"] == urls
    found = http.get(answer.headers["location"]).json()
    assert found["progress"] == {"done": 2, "total": 2, "share": 1.0} and found["result"]["sheet"] is None
    assert [one["seed"] for one in found["result"]["data"]] == [5, 6]
    got = http.get(urls[1])
    assert got.content == png(6) and got.headers["content-type"] == "image/png"
    assert got.headers["cache-control"] == "private"
    again = http.get(urls[1], headers={"if-none-match": f'"x", {got.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(urls[1], headers={"if-none-match": '"x"'}).status_code == 200
    assert http.delete(answer.headers["location"]).status_code == 204
    for path in ("", "/events", "/pictures/0", "/sheet"):
        gone = http.get(f"/v1/jobs/{job['id']}{path}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_every_kind_is_the_order_of_its_endpoint(http: TestClient, painters: FakePainters) -> None:
    masked = {"image": PNG, "mask": f"data:image/png;base64,{PNG}", "prompt": "b", "strength": 0.5}
    for kind, request in (
        ("edit", masked),
        ("variation", {"image": PNG, "model": "other"}),
        ("mockup", {"product": PNG, "scene": "studio", "seed": 4, "output_format": "webp"}),
        ("mockup", {"product": PNG, "template": "mug", "fit": "contain"}),
    ):
        assert events(http, post(http, kind, **request).json())[-1]["type"] == "succeeded"
    edit, variation, scene, printed = painters.orders
    assert edit.init == edit.mask == png(3) and edit.recipes[0].strength == 0.5
    assert edit.recipes[0].num_inference_steps == 4 and edit.tells_steps
    assert variation.init == png(3) and variation.recipes[0].prompt == ""
    assert scene == MockupOrder(product=png(3), scene="studio", seed=4, format="webp")
    assert printed == MockupOrder(product=png(3), template="mug", fit="contain")


def test_a_sweep_is_every_combination_and_a_sheet(http: TestClient, painters: FakePainters) -> None:
    request = {"prompt": "a", "image": PNG, "strength": [0.3, 0.6], "guidance_scale": [2, 7.5], "seed": [1, 2]}
    job = post(http, "sweep", **request).json()
    told = events(http, job)[-1]
    swept = [(one["seed"], one["strength"], one["guidance_scale"]) for one in told["result"]["data"]]
    assert swept == [(seed, strength, scale) for seed in (1, 2) for strength in (0.3, 0.6) for scale in (2, 7.5)]
    sheet = http.get(told["result"]["sheet"])
    assert sheet.headers["content-type"] == "image/png" and decode(sheet.content).shape[1] > 900
    plain = post(http, "sweep", prompt="a", guidance_scale=3, n=2).json()
    assert plain["progress"]["total"] == 2 and events(http, plain)[-1]["result"]["sheet"]


@pytest.mark.parametrize(
    ("kind", "request_", "code", "param"),
    [
        ("painting", {}, "invalid_parameter", "kind"),
        ("generation", {}, "missing_parameter", "prompt"),
        ("generation", {"prompt": "a", "cfg": 3}, "unknown_parameter", "cfg"),
        ("generation", {"prompt": "a", "image": PNG}, "unknown_parameter", "image"),
        ("generation", {"prompt": "a", "stream": True}, "invalid_parameter", "stream"),
        ("generation", {"prompt": "a", "size": "9000x9000"}, "invalid_parameter", "size"),
        ("edit", {"prompt": "a"}, "missing_parameter", "image"),
        ("edit", {"prompt": "a", "image": "?"}, "invalid_base64", "image"),
        ("edit", {"prompt": "a", "image": [PNG]}, "invalid_parameter", "image"),
        ("edit", {"prompt": "a", "image": PNG, "mask": 3}, "invalid_parameter", "mask"),
        ("variation", {"image": PNG, "mask": PNG}, "unknown_parameter", "mask"),
        ("mockup", {"template": "mug"}, "missing_parameter", "product"),
        ("mockup", {"product": PNG}, "invalid_parameter", None),
        ("mockup", {"product": PNG, "template": "mug", "scene": "studio"}, "invalid_parameter", None),
        ("mockup", {"product": PNG, "template": "/etc"}, "unknown_name", None),
        ("mockup", {"product": PNG, "scene": "a.json"}, "unknown_name", None),
        ("mockup", {"product": PNG, "scene": "studio", "fit": "cover"}, "invalid_parameter", None),
        ("sweep", {"prompt": "a", "seed": [1, 1]}, "bad_input", None),
        ("sweep", {"prompt": "a", "seed": [1], "n": 2}, "invalid_parameter", "n"),
        ("sweep", {"prompt": "a", "seed": list(range(65))}, "invalid_parameter", "request"),
        ("sweep", {"prompt": "a", "strength": []}, "invalid_parameter", "strength"),
        ("sweep", {"prompt": "a", "strength": [2]}, "invalid_parameter", "strength.0"),
        ("sweep", {"image": PNG}, "missing_parameter", "prompt"),
    ],
)
def test_what_is_refused_is_never_begun(
    http: TestClient, desk: Desk, painters: FakePainters, kind: str, request_: dict[str, Any], code: str, param: Any
) -> None:
    answer = post(http, kind, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param) and error["message"]
    assert not painters.checked and not desk.jobs


def test_what_painters_would_refuse_is_refused_at_once(http: TestClient, desk: Desk, painters: FakePainters) -> None:
    painters.refuses = BadImage("truncated")
    answer = post(http, "edit", prompt="a", image=PNG)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "truncated") and not desk.jobs
    model = post(http, prompt="a", model="../etc")
    assert (model.status_code, model.json()["error"]["code"]) == (404, "model_not_found")


def test_an_idempotency_key(http: TestClient) -> None:
    first = post(http, key="apples 1", prompt="a", seed=1)
    spaced = '{"request": {"seed":1,   "prompt": "a"}, "kind": "generation"}'
    headers = {"idempotency-key": "apples 1", "content-type": "application/json"}
    same = http.post("/v1/jobs", content=spaced, headers=headers)
    assert (first.status_code, same.status_code) == (202, 200) and same.json()["id"] == first.json()["id"]
    other = post(http, key="apples 1", prompt="b")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    drawn = post(http, key="drawn", prompt="a").json(), post(http, key="drawn", prompt="a").json()
    assert drawn[0]["id"] == drawn[1]["id"], "though a seed is drawn for each request"
    for key in ("x" * 256, "tab\there", "ü".encode()):
        answer = http.post("/v1/jobs", json={"kind": "generation", "request": {}}, headers={"idempotency-key": key})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_too_many_wait(http: TestClient, painters: FakePainters, desk: Desk) -> None:
    painters.may._value = 0
    answers = [post(http, prompt="a") for _ in range(8)]
    assert [one.status_code for one in answers] == [202] * 7 + [429]
    assert answers[-1].headers["retry-after"] == "30" and answers[-1].json()["error"]["code"] == "busy"
    last = answers[6].json()
    assert last["position"] == 6 and http.get(f"/v1/jobs/{last['id']}").json()["status"] == "queued"
    for _ in range(2):
        answer = http.post(f"/v1/jobs/{last['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert [one["type"] for one in events(http, last)] == ["progress", "cancelled"]


def test_a_job_that_fails_has_the_shape_of_an_error(http: TestClient, painters: FakePainters) -> None:
    for error, code in ((OutOfMemory("It does not fit."), "out_of_memory"), (OSError("/secret"), "failed")):
        painters.fails = [error]
        told = events(http, post(http, prompt="a").json())[-1]
        assert told["type"] == "failed" and set(told["error"]) == {"message", "type", "code", "param"}
        assert told["error"]["code"] == code and "/secret" not in json.dumps(told)


def test_pages(http: TestClient) -> None:
    ids = [post(http, prompt="a").json()["id"] for _ in range(3)]
    page = http.get("/v1/jobs", params={"limit": 2}).json()
    rest = http.get("/v1/jobs", params={"limit": 2, "cursor": page["cursor"]}).json()
    assert [one["id"] for one in page["data"] + rest["data"]] == ids[::-1] and rest["cursor"] is None
    for params in ({"limit": 0}, {"cursor": "x"}, {"cursor": "../.."}):
        assert http.get("/v1/jobs", params=params).status_code == 400


@pytest.mark.parametrize("id", ["x", "0" * 31, "0" * 33, "0" * 31 + "G", "..%2f..%2fetc", "0" * 32 + "%0a"])
def test_ids_that_are_none(http: TestClient, id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", ""), ("GET", "/pictures/0")):
        assert http.request(method, f"/v1/jobs/{id}{path}").status_code in (400, 404)


def test_what_is_no_json(http: TestClient) -> None:
    assert http.post("/v1/jobs", data={"kind": "edit"}).status_code == 415
    for content in (b"{", b"[]", b'{"kind": "edit", "request": []}', b"\xff"):
        answer = http.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400


def test_each_key_has_its_own_jobs(
    client: Callable[[FastAPI], TestClient], painters: Any, desk: Desk, tmp_path: Path
) -> None:
    keys = [{"name": name, "sha256": digest_of(name), "scopes": ["diffusion"]} for name in ("ann", "ben")]
    (tmp_path / "keys").write_text("\n".join(map(json.dumps, keys)))
    settings = SETTINGS.model_copy(update={"door": Door(keys_path=str(tmp_path / "keys"))})
    ann, ben = ({"authorization": f"Bearer {name}", "idempotency-key": "k"} for name in ("ann", "ben"))
    asked = {"kind": "generation", "request": {"prompt": "a"}}
    with client(build_api(painters, settings, desk)) as http:
        hers = http.post("/jobs", json=asked, headers=ann).json()
        his = http.post("/jobs", json=asked, headers=ben)
        assert his.status_code == 202 and his.json()["id"] != hers["id"]
        assert [one["id"] for one in http.get("/jobs", headers=ann).json()["data"]] == [hers["id"]]
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            assert http.request(method, f"/jobs/{hers['id']}{path}", headers=ben).status_code == 404
        assert "event: succeeded" in http.get(f"/jobs/{hers['id']}/events", headers=ann).text


def test_without_a_desk_each_route_says_so(client: Callable[[FastAPI], TestClient], painters: Any) -> None:
    http = client(build_api(painters, SETTINGS))
    for method, path in (("POST", ""), ("GET", ""), ("GET", f"/{'0' * 32}"), ("GET", f"/{'0' * 32}/events")):
        answer = http.request(method, f"/jobs{path}", json={"kind": "generation", "request": {"prompt": "a"}})
        assert answer.status_code == 501 and "jobs.folder" in answer.json()["error"]["message"]


def test_what_may_be_asked_again_and_when() -> None:
    assert again_s(errors.Busy(7), 99) == 7
    waits = [again_s(RayActorError(), failed) for failed in range(1, 7)]
    assert waits == [2, 4, 8, 16, 32, None] and again_s(OutOfMemory("x"), 1) is None


def test_events_go_on_where_the_desk_dies_and_no_picture_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [("picture", {"place": place}) for place in range(3)]
    scripts: list[list[Any]] = [
        [*pictures[:2], RayActorError()],
        [RayActorError()],
        [*pictures, None, ("succeeded", {})],
    ]

    async def script(*asked: Any) -> AsyncGenerator[Any, None]:
        assert asked[1:] == ("events", "me", "id")
        for one in scripts.pop(0):
            if isinstance(one, Exception):
                raise one
            yield one

    async def heard() -> list[Any]:
        desk: Any = object()
        return [one async for one in RemoteDesk(desk).events("me", "id")]

    monkeypatch.setattr("serving.jobs.stream", script)
    assert asyncio.run(heard()) == [*pictures, None, ("succeeded", {})]
    scripts[:] = [[RayActorError()] for _ in range(MAX_TRIES)]
    with pytest.raises(RayActorError):
        asyncio.run(heard())


def test_who_is_cancelled_while_he_waits_for_an_answer_cancels_the_work() -> None:
    class Response:
        cancelled = False

        def __await__(self) -> Any:
            return asyncio.sleep(60).__await__()

        def cancel(self) -> None:
            self.cancelled = True

    async def main() -> None:
        response = Response()
        task = asyncio.create_task(answer_of(response))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() and response.cancelled

    asyncio.run(main())
