"""The spoof endpoint over a service that judges by the bytes it is given."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayActorError
from starlette.testclient import TestClient

from gencv.core.errors import BadImage, BrokenBundle
from serving.errors import Busy
from serving.settings import value_of
from serving.spoof import Options, SpoofSettings, build_api

Client = Callable[..., TestClient]
SETTINGS = SpoofSettings(bundles={"one": "/bundles/one", "two": "/bundles/two"}, default=("one",))


class Judge:
    """Says what it was asked; some bytes are an error."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def check(self, bundle: str, data: bytes, options: Options) -> dict[str, Any]:
        self.asked.append((bundle, data, options))
        if error := ERRORS.get(data):
            raise error
        answer = {"id": data.decode(), "task": "spoof", "label": "live", "score": 0.25}
        return {"answers": [answer], "digest": f"of {bundle}", "timing_ms": {"judge": 1.0}}

    async def provenance(self, data: bytes) -> dict[str, Any]:
        return {"found": []}

    async def ready(self) -> dict[str, Any]:
        return {"bundles": {"one": "of one"}}


ERRORS: dict[bytes, Exception] = {
    b"cut": BadImage("truncated"),
    b"huge": BadImage("too_many_pixels", "limit 4"),
    b"busy": Busy(3),
    b"broken": BrokenBundle("The bundle is incomplete."),
    b"mistake": KeyError("x"),
    b"deadly": RayActorError(),
}


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def here(client: Client, judge: Judge) -> TestClient:
    return client(build_api(judge, SETTINGS))


def files(*names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{name}.png", name.encode())) for name in names]


def test_one_picture_in_a_form(here: TestClient, judge: Judge) -> None:
    answer = here.post("/v1/check", files=files("a"), data={"reencode": "false"})
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    assert result["name"] == "a.png" and result["id"] == "a" and result["error"] is None
    assert result["answers"] == [
        {"bundle": "one", "digest": "of one", "id": "a", "task": "spoof", "label": "live", "score": 0.25}
    ]
    assert result["provenance"] == {"found": []} and len(answer.json()["id"]) == 32
    assert judge.asked == [("one", b"a", Options(reencode=False))]


def test_reasons_are_asked_for_by_name(here: TestClient, judge: Judge) -> None:
    here.post("/v1/check", files=files("a"), data={"explain": ["attention", "neighbours"]})
    assert judge.asked[0][2].explain == ("attention", "neighbours")
    assert here.post("/v1/check", files=files("a"), data={"explain": "why"}).json()["error"]["param"] == "explain.0"


def test_a_form_as_the_page_of_requests_sends_it(here: TestClient, judge: Judge) -> None:
    """Lists that nobody filled in come as one empty text."""
    form = {"bundles": "", "faces": "largest", "reencode": "true", "explain": "", "provenance": "true", "url": ""}
    assert here.post("/v1/check", files=files("a"), data=form).status_code == 200
    assert judge.asked == [("one", b"a", Options())]
    body = here.get("/openapi.json").json()["paths"]["/v1/check"]["post"]["requestBody"]["content"]
    fields = body["multipart/form-data"]["schema"]["properties"]
    assert fields["image"]["items"] == {"type": "string", "format": "binary"}
    assert {name for name, field in fields.items() if field["type"] == "array"} == {
        "image",
        "bundles",
        "explain",
        "url",
    }


def test_several_bundles_and_no_provenance_in_json(here: TestClient) -> None:
    texts = [base64.b64encode(b"a").decode(), "data:image/png;base64," + base64.b64encode(b"b").decode()]
    asked = {"image": texts, "bundles": ["two", "one"], "provenance": False}
    results = here.post("/v1/check", json=asked).json()["results"]
    assert [[one["bundle"] for one in result["answers"]] for result in results] == [["two", "one"]] * 2
    assert [result["id"] for result in results] == ["a", "b"] and results[0]["provenance"] is None


def test_a_bad_picture_among_good_ones_fails_alone(here: TestClient) -> None:
    answer = here.post("/v1/check", files=files("a", "cut"))
    good, bad = answer.json()["results"]
    assert answer.status_code == 200 and good["error"] is None and bad["answers"] == []
    assert bad["error"]["code"] == "truncated" and bad["error"]["param"] == "image"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("cut", 400, "truncated"),
        ("huge", 413, "too_many_pixels"),
        ("busy", 429, "busy"),
        ("broken", 503, "model_broken"),
        ("mistake", 500, "failed"),
        ("deadly", 503, "copies_died"),
    ],
)
def test_errors_have_one_shape(here: TestClient, name: str, status: int, code: str) -> None:
    answer = here.post("/v1/check", files=files(name))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code) and set(error) == {"message", "type", "code", "param"}
    assert error["message"] and "Traceback" not in error["message"]
    assert answer.headers.get("retry-after") == {"busy": "3", "deadly": "10"}.get(name)


@pytest.mark.parametrize(
    ("asked", "status", "code", "param"),
    [
        ({"json": {"image": "YQ==", "speed": 1}}, 400, "unknown_parameter", "speed"),
        ({"json": {}}, 400, "missing_parameter", "image"),
        ({"json": {"image": []}}, 400, "missing_parameter", "image"),
        ({"json": {"image": "%%"}}, 400, "invalid_base64", "image"),
        ({"json": {"image": "YQ==", "faces": "all"}}, 400, "invalid_parameter", "faces"),
        ({"json": {"image": "YQ==", "bundles": ["../../etc"]}}, 400, "unknown_name", None),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_json", None),
        ({"content": b"[" * 10**5, "headers": {"content-type": "application/json"}}, 400, "invalid_json", None),
        ({"content": b"a", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type", None),
        ({"files": files(*"abcdefghijklmnopq")}, 413, "too_many_images", "image"),
        ({"data": {"image": "text"}, "files": [("x", b"")]}, 400, "invalid_parameter", "image"),
    ],
)
def test_bad_requests_are_one_sentence(
    here: TestClient, asked: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = here.post("/v1/check", **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error


def test_a_form_that_breaks_off(here: TestClient) -> None:
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\nabc'
    answer = here.post("/v1/check", content=head, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_health_names_what_is_loaded(here: TestClient) -> None:
    assert here.get("/readyz").json()["bundles"] == {"one": "of one"}
    paths = here.get("/openapi.json").json()["paths"]
    assert set(paths["/v1/check"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "application/json"}


def test_the_environment_overrides_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCV_SPOOF_REPLICAS__MAX", "4")
    monkeypatch.setenv("GENCV_SPOOF_THRESHOLD", "fpr_1")
    found = SETTINGS.from_environment("GENCV_SPOOF_")
    assert found.replicas.max == 4 and found.threshold == "fpr_1"
    assert found.replicas.options()["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 4}
    monkeypatch.setenv("GENCV_SPOOF_NOTHING", "1")
    with pytest.raises(Exception, match="names no setting"):
        SETTINGS.from_environment("GENCV_SPOOF_")
    assert value_of("[1]") == [1] and value_of("eer") == "eer"
