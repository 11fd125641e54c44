"""What nobody should send, to all applications: each answer is the right refusal, in one sentence and one shape."""

import base64
import io
import json
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection, socket
from typing import Any

import pytest
import uvicorn
from answerers import DOOR, applications
from fakes import colour_png, picture
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from serving.door import digest_of

JSON, FORM = {"content-type": "application/json"}, {"content-type": "multipart/form-data; boundary=x"}
GOOD = colour_png("red")
POSTS = {
    "spoof": ("/v1/check", "/v1/feedback"),
    "search": ("/v1/query", "/v1/items"),
    "diffusion": ("/images/generations", "/images/edits", "/images/variations", "/provenance/verify"),
}
"""What each application takes bodies at."""
PICTURES = {"/v1/check": "spoof", "/v1/query": "search", "/v1/items": "search", "/provenance/verify": "diffusion"}
PICTURES |= {"/images/edits": "diffusion", "/images/variations": "diffusion"}


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FastAPI]]:
    with pytest.MonkeyPatch.context() as patch:
        yield applications(tmp_path_factory.mktemp("apis"), patch)


@pytest.fixture(scope="module")
def heres(apis: dict[str, FastAPI]) -> Iterator[dict[str, TestClient]]:
    """A client of each, all of them on one event loop."""
    with pytest.MonkeyPatch.context():
        clients = {
            name: TestClient(
                api, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5000), raise_server_exceptions=False
            )
            for name, api in apis.items()
        }
        for one in clients.values():
            one.__enter__()
        yield clients
        for one in clients.values():
            one.__exit__(None, None, None)


def refusal(answer: Any, *statuses: int) -> dict[str, Any]:
    """Return an answer's error, which is one sentence and says nothing of this machine."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"message", "type", "code", "param"}
    error: dict[str, Any] = answer.json()["error"]
    assert re.fullmatch(r"[a-z0-9_]+", error["code"]), error
    assert 0 < len(error["message"]) < 1000 and "\n" not in error["message"].strip() and "Traceback" not in answer.text
    assert not re.search(r"/(tmp|root|home|usr|work|site-packages|bundles)\b|\.py\b", answer.text), answer.text
    return error


def form(*parts: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    heads = (b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), d) for n, d in parts)
    return b"".join(heads) + end


def deep(size: int) -> bytes:
    return b'{"text": ' + b"[" * size + b"]" * size + b"}"


BODIES: dict[str, tuple[dict[str, str], bytes, tuple[int, ...]]] = {
    "no type": ({}, b"abc", (400, 415)),
    "another type": ({"content-type": "text/plain"}, b"abc", (400, 415)),
    "xml": ({"content-type": "text/xml"}, b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a/>", (400, 415)),
    "a url-encoded form": ({"content-type": "application/x-www-form-urlencoded"}, b"text=a", (400, 415)),
    "a type that is none": ({"content-type": "\x7f;;;=/"}, b"abc", (400, 415)),
    "a form without a boundary": ({"content-type": "multipart/form-data"}, form(("image", GOOD)), (400, 415)),
    "a form of another bound": ({"content-type": "multipart/form-data; boundary=y"}, form(("text", b"a")), (400, 415)),
    "a form that breaks off": (FORM, form(("image", GOOD), end=b"")[:-9], (400, 415)),
    "a form that is empty": (FORM, b"", (400, 415)),
    "a form with a part without a name": (FORM, b"--x\r\ncontent-type: a/b\r\n\r\n1\r\n--x--\r\n", (400, 415)),
    "a form with 10,000 fields": (FORM, form(*[("a", b"")] * 10_000), (400, 413, 415)),
    "a form with an unknown field": (FORM, form(("colour", b"red")), (400, 415)),
    "a form with a NUL": (FORM, form(("te\0xt", b"a\0")), (400, 415)),
    "JSON that is empty": (JSON, b"", (400, 415)),
    "JSON that breaks off": (JSON, b'{"text": "a', (400, 415)),
    "JSON that is no object": (JSON, b"[1]", (400, 415)),
    "JSON that is null": (JSON, b"null", (400, 415)),
    "deep JSON": (JSON, deep(100_000), (400, 415)),
    "a huge number": (JSON, b'{"seed": ' + b"9" * 5_000 + b"}", (400, 415)),
    "a huge power": (JSON, b'{"k": 1e999999999, "seed": 1e999}', (400, 415)),
    "NaN": (JSON, b'{"colour": NaN}', (400, 415)),
    "100,000 fields": (JSON, b"{" + b",".join(b'"%x":0' % n for n in range(100_000)) + b"}", (400, 413, 415)),
    "an unknown field": (JSON, b'{"colour": "red"}', (400, 415)),
    "a lone surrogate": (JSON, b'{"text": "\\ud800", "prompt": "\\udfff", "label": "\\ud800"}', (400, 415)),
    "bytes that are no UTF-8": (JSON, b'{"text": "\xff\xfe", "prompt": "\xff"}', (400, 415)),
    "a byte order mark": (JSON, b"\xff\xfe{\0}\0", (400, 415)),
    "gzip": ({**JSON, "content-encoding": "gzip"}, zlib.compress(b'{"text": "a"}', wbits=31), (400, 415)),
    "a bomb of gzip": ({**FORM, "content-encoding": "gzip"}, zlib.compress(b"\0" * 10**7, wbits=31), (400, 415)),
    "too many bytes": (JSON, b'{"text": "' + b"a" * 2**20 + b'"}', (413,)),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("application", "path"), [(app, path) for app, paths in POSTS.items() for path in paths])
def test_bodies(heres: dict[str, TestClient], application: str, path: str, name: str) -> None:
    headers, body, statuses = BODIES[name]
    refusal(heres[application].post(path, content=body, headers=headers), *statuses)


def test_an_unknown_field_is_named(heres: dict[str, TestClient]) -> None:
    for application, path in (("spoof", "/v1/check"), ("search", "/v1/query"), ("diffusion", "/images/generations")):
        error = refusal(heres[application].post(path, json={"colour": 1, "image": "YQ==", "prompt": "a"}), 400)
        assert error["code"] == "unknown_parameter" and error["param"] in ("colour", "image", "prompt")


def png_of(width: int, height: int, *, chunks: bytes = b"") -> bytes:
    """Make a PNG that says it is so large, with no pixels to speak of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(0)).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


FILES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "empty": (b"", (400,)),
    "text": (b"hello", (400,)),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", (400,)),
    "a script of PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n", (400,)),
    "a truncated PNG": (GOOD[:-40], (400,)),
    "a PNG that is only its head": (GOOD[:8], (400,)),
    "a damaged PNG": (GOOD[:60] + bytes(40) + GOOD[100:], (400,)),
    "a PNG of a billion px": (png_of(40_000, 25_000), (413,)),
    "a PNG of 2^62 px": (png_of(2**31 - 1, 2**31 - 1), (413, 400)),
    "a PNG of no px": (png_of(0, 0), (400,)),
    "a PNG with less than it says": (png_of(900, 900), (400,)),
    "a JPEG of a billion px": (jpeg_of(40_000, 25_000), (413,)),
    "a truncated JPEG": (jpeg_of(96, 72)[:900], (400,)),
    "a BMP of a billion px": (bmp_of(40_000, 25_000), (413,)),
    "a ZIP": (b"PK\3\4" + bytes(100), (400,)),
    "a GIF that breaks off": (b"GIF89a" + struct.pack("<HH", 9, 9), (400,)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("path", "application"), PICTURES.items())
def test_files(heres: dict[str, TestClient], application: str, path: str, name: str) -> None:
    data, statuses = FILES[name]
    more = {"prompt": "a"} if path == "/images/edits" else {}
    files = {"image": ("../../etc/passwd", data, "image/png")}
    answer = heres[application].post(path, files=files, data=more)
    if path == "/provenance/verify" and answer.status_code == 200:  # pixels that are damaged may lie below what is told
        assert answer.json()["found"] == []
        return
    error = refusal(answer, *statuses)
    assert not data or error["code"] not in ("failed", "bad_input"), error
    if path.startswith("/v1/"):
        text = base64.b64encode(data).decode()
        assert heres[application].post(path, json={"image": text}).status_code in statuses


def test_an_animation_is_its_first_picture(heres: dict[str, TestClient]) -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    answer = heres["spoof"].post("/v1/check", files={"image": ("a.gif", stream.getvalue())})
    assert answer.status_code == 200 and len(answer.json()["results"][0]["answers"]) == 2


ADDRESSES = [
    ("spoof", "GET", "/v1/nothing", 404),
    ("spoof", "GET", "/", 404),
    ("spoof", "GET", "/v1/check", 405),
    ("spoof", "DELETE", "/v1/check", 405),
    ("spoof", "TRACE", "/v1/check", 405),
    ("spoof", "OPTIONS", "/v1/check", 405),
    ("spoof", "BREW", "/v1/check", 405),
    ("spoof", "HEAD", "/v1/history", 405),
    ("spoof", "GET", "/v1/history?" + "a=1&" * 10_000, 400),
    ("spoof", "GET", "/v1/history?limit=" + "9" * 5_000, 400),
    ("spoof", "GET", "/v1/history?limit=1&limit=2&colour=red", 400),
    ("spoof", "GET", "/v1/history?since=9999999999999999999", 400),
    ("spoof", "DELETE", "/v1/history/..%2f..%2fetc%2fpasswd", 404),
    ("spoof", "DELETE", "/v1/history/%00", 400),
    ("spoof", "DELETE", "/v1/history/" + "0" * 50_000, 400),
    ("spoof", "GET", "/static-offline-docs/..%2f..%2f..%2fetc%2fpasswd", 404),
    ("search", "GET", "/v1/items/..%2f..%2fetc%2fpasswd", 404),
    ("search", "GET", "/v1/items/%2e%2e", 404),
    ("search", "GET", "/v1/items/" + "a" * 65, 400),
    ("search", "GET", "/v1/items/a'%20OR%20'a'='a", 400),
    ("search", "GET", "/v1/items/nobody", 404),
    ("search", "GET", "/v1/items/nobody/thumbnail?size_px=1e9", 400),
    ("search", "GET", "/v1/similar/nobody?k=-1", 400),
    ("search", "GET", "/v1/similar/nobody?k=99999999999999999999", 400),
    ("search", "GET", "/v1/similar/nobody?where=%00", 400),
    ("search", "DELETE", "/v1/items/nobody", 404),
    ("search", "GET", "/v1/history?label=a", 400),
    ("diffusion", "GET", "/models/..%2f..%2fetc%2fpasswd", 404),
    ("diffusion", "GET", "/models/other/name/more", 404),
    ("diffusion", "GET", "/models/a%0d%0aset-cookie:b=c", 404),
    ("diffusion", "GET", "/history?cursor=" + "0" * 300, 400),
    ("diffusion", "PUT", "/images/generations", 405),
]


@pytest.mark.parametrize(("application", "method", "path", "status"), ADDRESSES, ids=lambda one: str(one)[:40])
def test_addresses(heres: dict[str, TestClient], application: str, method: str, path: str, status: int) -> None:
    answer = heres[application].request(method, path)
    assert answer.status_code == status, answer.text[:300]
    if method != "HEAD":
        refusal(answer, status)
    assert "set-cookie" not in answer.headers


ASKED = [
    ("search", "/v1/query", {"text": "a", "where": "1=1; DROP TABLE pictures"}, 400),
    ("search", "/v1/query", {"text": "a", "where": "(" * 5_000}, 400),
    ("search", "/v1/query", {"text": "a", "where": "uri LIKE '/%'"}, 400),
    ("search", "/v1/query", {"text": "a", "k": 10**9}, 400),
    ("search", "/v1/query", {"text": "a" * 500_000}, 400),
    ("search", "/v1/query", {"text": "a", "like": "../../etc"}, 400),
    ("search", "/v1/query", {"vector": [[0.0] * 4] * 65}, 400),
    ("search", "/v1/query", {"text": "a", "cursor": "../../etc/passwd"}, 400),
    ("spoof", "/v1/check", {"image": "YQ==", "bundles": ["../../etc"]}, 400),
    ("spoof", "/v1/check", {"image": ["YQ=="] * 17}, 413),
    ("spoof", "/v1/check", {"url": "http://169.254.169.254/latest/meta-data"}, 403),
    ("spoof", "/v1/feedback", {"picture_id": "0" * 32, "label": "live", "note": "a" * 2_001}, 400),
    ("diffusion", "/images/generations", {"prompt": "a", "model": "../../etc/passwd"}, 404),
    ("diffusion", "/images/generations", {"prompt": "a", "size": "99999x99999"}, 400),
    ("diffusion", "/images/generations", {"prompt": "a", "n": 10**30}, 400),
    ("diffusion", "/images/generations", {"prompt": "a", "seed": [0] * 100_000}, 400),
    ("diffusion", "/images/generations", {"prompt": "forbidden"}, 400),
]


@pytest.mark.parametrize(("application", "path", "asked", "status"), ASKED, ids=lambda one: str(one)[:40])
def test_values(heres: dict[str, TestClient], application: str, path: str, asked: dict[str, Any], status: int) -> None:
    refusal(heres[application].post(path, json=asked), status)


def test_values_that_json_has_no_word_for(heres: dict[str, TestClient]) -> None:
    for asked in (b'{"text": "a", "text_weight": NaN}', b'{"text": "a", "vector": [NaN, 0, 0, 1]}',
                  b'{"text": "a", "text_weight": 1e400}', b'{"vector": [Infinity, 0, 0, 1]}'):  # fmt: skip
        refusal(heres["search"].post("/v1/query", content=asked, headers=JSON), 400)
    twice = heres["search"].post("/v1/query", content=b'{"text": "red", "text": "blue", "k": 1}', headers=JSON)
    assert twice.status_code == 200 and twice.json()["asked"]["text"] == "blue"  # the last one, as everywhere


def test_no_header_of_a_request_gets_into_an_answer(heres: dict[str, TestClient]) -> None:
    for name, here in heres.items():
        answer = here.get("/healthz", headers={"x-request-id": "a\tset-cookie: b", "origin": "http://evil.example"})
        assert answer.status_code == 200, name
        assert not any(one.lower().startswith(("access-control", "set-cookie")) for one in answer.headers)
        early = here.options("/v1/x", headers={"origin": "http://evil.example", "access-control-request-method": "GET"})
        assert not any(one.lower().startswith("access-control") for one in early.headers)
        assert early.status_code == 401, "from a page of another site, where no keys are asked for"


def test_keys_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(json.dumps({"name": "a", "sha256": digest_of("key"), "scopes": ["search"]}))
    door = DOOR.model_copy(update={"keys_path": str(tmp_path / "keys")})
    with pytest.MonkeyPatch.context() as patch:
        apis = applications(tmp_path, patch, door=door)
    here = TestClient(apis["spoof"], base_url="http://127.0.0.1:8000", client=("192.0.2.7", 1))
    for headers in (
        {}, {"authorization": "Bearer "}, {"authorization": "key"}, {"authorization": "Basic a2V5"},
        {"x-api-key": "ke"},
        {"authorization": "Bearer key."}, {"authorization": "Bearer " + "a" * 50_000}, {"x-api-key": "keykey"},
        {"authorization": "Bearer " + digest_of("key")}, {"cookie": "key"},
    ):  # fmt: skip
        assert refusal(here.post("/v1/check", headers=headers), 401)["code"] == "invalid_api_key"
    for headers in ({"x-api-key": "key"}, {"authorization": "Bearer key"}, {"authorization": "bearer  key"}):
        assert refusal(here.post("/v1/check", headers=headers), 403)["code"] == "wrong_scope"
    assert here.get("/v1/history?api_key=key").status_code == 401


@dataclass
class Wire:
    """Bytes on a connection to a real server, and what comes back."""

    address: tuple[str, int]
    head: bytes = field(default=b"POST /v1/check HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n")

    def send(self, *parts: bytes, pause_s: float = 0.0) -> bytes:
        with create_connection(self.address, 20) as wire:
            for part in parts:
                try:
                    wire.sendall(part)
                except OSError:
                    break
                time.sleep(pause_s)
            wire.settimeout(10)
            return wire.recv(65536)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        door = DOOR.model_copy(update={"body_timeout_s": 0.5})
        api = applications(tmp_path_factory.mktemp("wire"), patch, door=door)["spoof"]
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.01)
    yield Wire(("127.0.0.1", port))
    server.should_exit = True
    thread.join(10)


def test_a_hundred_megabytes_are_not_read(wire: Wire) -> None:
    stated = wire.send(wire.head + b"content-length: 104857600\r\n\r\n")
    assert stated.startswith(b"HTTP/1.1 413") and b"body_too_large" in stated
    chunk = b"40000\r\n" + b"a" * 0x40000 + b"\r\n"
    unstated = wire.send(wire.head + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 6)
    assert unstated.startswith(b"HTTP/1.1 413")


def test_a_client_that_is_slow_is_told_so(wire: Wire) -> None:
    for parts in ((), (b'{"', b"i", b"m", b"a", b"g", b"e", b'"')):
        answer = wire.send(wire.head + b"content-length: 100\r\n\r\n", *parts, pause_s=0.1)
        assert answer.startswith(b"HTTP/1.1 408") and b"body_timeout" in answer


def test_what_is_no_http_is_no_500(wire: Wire) -> None:
    for bad in (
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        wire.head + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
    ):
        answer = wire.send(bad)
        assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), (bad, answer)


def test_they_all_still_live(heres: dict[str, TestClient], apis: dict[str, FastAPI]) -> None:
    assert [here.get("/healthz").status_code for here in heres.values()] == [200] * 3
    answer = heres["spoof"].post("/v1/check", files={"image": ("a.png", GOOD)})
    assert answer.status_code == 200 and answer.json()["results"][0]["error"] is None
