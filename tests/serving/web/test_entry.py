"""How people get in, and what the fence keeps out: around a page that says which key it was asked with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse
from starlette.testclient import TestClient

from serving.api import new_api
from serving.door import Door, digest_of
from serving.web.entry import COOKIE, Entry
from serving.web.fence import Fence

Client = Callable[..., TestClient]
BROWSER = {"accept": "text/html,application/xhtml+xml"}
PAGE = '<html><head><meta\n property="og:image" content="https://elsewhere.test/x.jpg"\n/><title>gencv</title></head></html>'


@pytest.fixture
def here(client: Client, tmp_path: Path) -> TestClient:
    keys = tmp_path / "keys"
    lines = [
        {"name": name, "sha256": digest_of(name), "scopes": scopes}
        for name, scopes in (("for-all", ["web", "spoof"]), ("for-spoof", ["spoof"]))
    ]
    keys.write_text("\n".join(json.dumps(line) for line in lines))

    async def ready() -> dict[str, Any]:
        return {}

    api: FastAPI = new_api("web", "page", "", Door(keys_path=str(keys)), ready, is_counted=False)
    api.add_middleware(Entry)
    api.add_middleware(Fence)

    @api.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @api.api_route("/gradio_api/queue/join", methods=["GET", "POST"])
    async def key(request: Request) -> dict[str, str]:
        return {"key": request.headers.get("x-api-key", "")}

    found = client(api)
    found.follow_redirects = False
    return found


def sign_in(here: TestClient, key: str, **headers: str) -> Any:
    return here.post("/login", data={"key": key}, headers=headers)


def test_a_key_is_given_once_and_kept_from_scripts_and_other_sites(here: TestClient) -> None:
    shut = here.get("/", headers=BROWSER)
    assert (shut.status_code, shut.headers["location"]) == (303, "/login")
    assert 'type="password"' in here.get("/login").text
    answer = sign_in(here, "for-all")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags and "samesite=strict" in flags and "path=/" in flags and "secure" not in flags
    assert here.get("/", headers=BROWSER).status_code == 200
    assert here.get("/gradio_api/queue/join").json() == {"key": "for-all"}
    here.get("/logout")
    assert COOKIE not in here.cookies and here.get("/", headers=BROWSER).status_code == 303


def test_behind_tls_the_cookie_never_travels_without(here: TestClient) -> None:
    assert "Secure" in sign_in(here, "for-all", **{"x-forwarded-proto": "https"}).headers["set-cookie"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("nobodys", "opens nothing here"),  # of a key that was withdrawn the same
        ("for-spoof", "its scopes must name web"),
    ],
)
def test_a_key_that_does_not_open_the_page_is_said(here: TestClient, key: str, said: str) -> None:
    sign_in(here, key)
    shut = here.get("/", headers=BROWSER)
    assert shut.status_code == 303 and said in here.get(shut.headers["location"]).text


@pytest.mark.parametrize("key", ["", "a b", 'a"b', "a;b", "ü", "x" * 5_000, "<script>"])
def test_what_is_no_key_sets_no_cookie(here: TestClient, key: str) -> None:
    answer = sign_in(here, key)
    assert (answer.status_code, "set-cookie" in answer.headers) == (400, False)
    assert "That is no key." in answer.text and "<script>" not in answer.text


def test_programs_get_their_own_answer(here: TestClient) -> None:
    assert here.get("/").json()["error"]["code"] == "invalid_api_key"
    with_key = here.get("/gradio_api/queue/join", headers={"x-api-key": "for-all", "cookie": f"{COOKIE}=nobodys"})
    assert with_key.json() == {"key": "for-all"}
    assert here.get("/gradio_api/queue/join", headers={"cookie": f'{COOKIE}="a b"'}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8000"},
        {"origin": "http://elsewhere.test"},
        {"origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/gradio_api/queue/join"])
def test_other_sites_pages_send_nothing(here: TestClient, path: str, headers: dict[str, str]) -> None:
    sign_in(here, "for-all")
    answer = here.post(path, data={"key": "for-spoof"}, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "same-origin"}, {"origin": "http://127.0.0.1:8000"}])
def test_the_page_itself_does(here: TestClient, headers: dict[str, str]) -> None:
    sign_in(here, "for-all")
    assert here.post("/gradio_api/queue/join", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/config",
        "/runs",
        "/gradio_api/info",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/proxy=https://elsewhere.test/",
        "/gradio_api/file=https://elsewhere.test/x.png",
        "/gradio_api/file=etc/passwd",
        "/gradio_api/run/predict",
        "/gradio_api/call/judge",
        "/gradio_api/component_server",
        "/docs",
    ],
)
def test_of_gradio_only_what_the_page_needs_is_served(here: TestClient, path: str) -> None:
    sign_in(here, "for-all")
    answer = here.get(path)
    assert (answer.status_code, answer.text) == (404, "There is nothing here.")


def test_the_page_names_nobody_else_and_may_ask_nobody_else(here: TestClient) -> None:
    sign_in(here, "for-all")
    answer = here.get("/", headers=BROWSER)
    assert "elsewhere.test" not in answer.text and "<title>gencv</title>" in answer.text
    assert len(answer.content) == int(answer.headers["content-length"])
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "http" not in policy and "*" not in policy
