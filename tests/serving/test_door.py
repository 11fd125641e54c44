"""Who is let in, and how much of what they send is read."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

import serving.door
from gencv.core.errors import BadInput
from serving.api import new_api
from serving.door import Door, Doorkeeper, Rates, digest_of, read_keys
from serving.errors import Refused
from serving.room import Share

Client = Callable[..., TestClient]


async def ready() -> dict[str, Any]:
    return {"models": {}}


def api_of(**door: Any) -> FastAPI:
    api = new_api("spoof", "test", "", Door(**door), ready)

    @api.post("/echo")
    async def echo(request: Request) -> dict[str, Any]:
        return {"bytes": len(await request.body()), "caller": request.state.caller, "id": request.state.request_id}

    return api


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    lines = [
        {"name": "triage", "sha256": digest_of("secret"), "scopes": ["spoof"], "rate_per_minute": 3},
        {"name": "shop", "sha256": digest_of("other"), "scopes": ["search"]},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return str(path)


def test_without_keys_only_this_machine_is_served(client: Client) -> None:
    api = api_of()
    assert client(api).post("/echo", content=b"abc").json()["bytes"] == 3
    assert client(api, "192.0.2.7").post("/echo").status_code == 401
    assert client(api).post("/echo", headers={"authorization": "Bearer none"}).json()["caller"] == ""
    assert client(api).post("/echo", headers={"origin": "http://127.0.0.1:8000"}).status_code == 200
    for headers in (
        {"x-forwarded-for": "192.0.2.7"},
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"},
    ):
        refused = client(api).post("/echo", headers=headers)
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("::1", 200), ("0.0.0.0", 401), ("10.0.0.5", 401), (None, 401)]
)
def test_behind_haproxy_its_address_says_whether_a_key_is_needed(
    client: Client, keys: str, monkeypatch: pytest.MonkeyPatch, host: str | None, status: int
) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")  # through it all come over the loopback interface
    monkeypatch.setattr(serving.door, "proxy_host", lambda: host)
    assert client(api_of()).post("/echo").status_code == status
    assert client(api_of()).post("/echo", headers={"host": "evil.example"}).status_code == 401
    assert client(api_of(keys_path=keys)).post("/echo").status_code == 401
    assert client(api_of(keys_path=keys)).post("/echo", headers={"x-api-key": "secret"}).status_code == 200


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_serve_says_where_its_proxies_listen(ray_local: str) -> None:
    from ray import serve

    assert serving.door.proxy_host() is None
    serve.start(http_options={"host": "127.0.0.1", "port": 0})
    try:
        assert serving.door.proxy_host() == "127.0.0.1"
    finally:
        serve.shutdown()


def test_health_is_open(client: Client, keys: str) -> None:
    away = client(api_of(keys_path=keys), "192.0.2.7")
    assert away.get("/healthz").json() == {"status": "ok"}
    assert away.get("/readyz").json()["status"] == "ready"
    assert away.post("/echo").status_code == 401


def test_the_pages_of_requests_need_no_key_but_their_own_machine_where_there_are_none(
    client: Client, keys: str
) -> None:
    for path in ("/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
        assert client(api_of(keys_path=keys), "192.0.2.7").get(path).status_code == 200
        assert client(api_of()).get(path).status_code == 200
        assert client(api_of(), "192.0.2.7").get(path).status_code == 401
    for path in ("/docs/echo", "/static-offline-docs", "/static-offline-docs/../echo", "/openapi.json/"):
        status = client(api_of(keys_path=keys), "192.0.2.7").post(path).status_code
        assert status in (401, 405), path


def test_keys_have_scopes_and_rates(client: Client, keys: str) -> None:
    away = client(api_of(keys_path=keys), "192.0.2.7")
    assert client(api_of(keys_path=keys)).post("/echo").status_code == 401  # a key is asked of everybody
    good = {"authorization": "Bearer secret"}
    assert away.post("/echo", headers=good).json()["caller"] == "triage"
    assert away.post("/echo", headers={"x-api-key": "secret"}).status_code == 200
    wrong = away.post("/echo", headers={"authorization": "Bearer other"})
    assert wrong.status_code == 403 and wrong.json()["error"]["type"] == "permission_error"
    assert away.post("/echo", headers=good).status_code == 200
    late = away.post("/echo", headers=good)
    assert late.status_code == 429 and 1 <= int(late.headers["retry-after"]) <= 20


def test_a_bucket_fills_again() -> None:
    rates = Rates()
    assert [rates.wait_s("a", 2, 0.0) for _ in range(3)] == [0, 0, 30]
    assert rates.wait_s("a", 2, 29.0) == pytest.approx(1) and rates.wait_s("a", 2, 31.0) == 0
    assert rates.wait_s("b", 2, 0.0) == 0


def test_bodies_are_bounded_stated_or_not(client: Client) -> None:
    here = client(api_of(max_body_mb=0.001))
    assert here.post("/echo", content=b"a" * 1048).status_code == 200
    assert here.post("/echo", content=b"a" * 1049).status_code == 413
    assert here.post("/echo", content=iter([b"a" * 600, b"a" * 600])).json()["error"]["code"] == "body_too_large"


def test_a_slow_client_is_dropped() -> None:
    async def silent() -> Any:
        await asyncio.sleep(60)

    keeper = Doorkeeper(FastAPI(), Door(body_timeout_s=0.05), "spoof")
    with pytest.raises(Refused) as refused:
        asyncio.run(keeper.read(silent, Share(keeper.room)))
    assert refused.value.status == 408


def test_nobody_waits_for_a_body_that_is_none() -> None:
    async def silent() -> Any:
        raise AssertionError("asked for a body")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    host = {"client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 8000), "headers": [(b"host", b"127.0.0.1:8000")]}
    asyncio.run(api_of()({"type": "http", "method": "GET", "path": "/docs", "query_string": b"", **host}, silent, send))
    assert sent[0]["status"] == 200


def test_requests_have_an_id(client: Client) -> None:
    here = client(api_of())
    assert here.post("/echo", headers={"x-request-id": "abc-1"}).json()["id"] == "abc-1"
    made = [here.post("/echo", headers={"x-request-id": given}).json()["id"] for given in ("a b\tc", "x" * 65, "")]
    assert all(len(one) == 32 for one in made) and len(set(made)) == 3


@pytest.mark.parametrize("line", ["{", '{"name": "x"}', '{"name": "x", "sha256": "ab", "scopes": []}', "[1]"])
def test_a_line_that_is_no_key_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(line)
    with pytest.raises(BadInput, match="Line 1"):
        read_keys(str(tmp_path / "keys"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_keys(str(tmp_path / "none"))


def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"name": "env", "sha256": digest_of("x"), "scopes": ["spoof"]})
    monkeypatch.setenv("GENCV_API_KEYS", f"{line}\n\n")
    assert [key.name for key in read_keys("")] == ["env"]
