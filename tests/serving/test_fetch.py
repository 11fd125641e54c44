"""Pictures by URL: what is fetched, and all that is not."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from answerers import Judge
from certificates import certificate
from fakes import colour_png
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving import fetch
from serving.door import Door
from serving.errors import Busy, Refused
from serving.fetch import Fetcher, Urls, addresses_of, is_public
from serving.room import Room
from serving.spoof import SpoofSettings, build_api

PUBLIC = ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "100.63.255.255", "172.32.0.1")
INSIDE = (
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:1.1.1.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1", "3fff::1", "", "localhost",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def private_v4() -> st.SearchStrategy[ipaddress.IPv4Address]:
    nets = ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12")
    nets += ("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
    return st.sampled_from(nets).flatmap(lambda net: st.ip_addresses(v=4, network=net))


@given(private_v4(), st.integers(0, 2**64 - 1))
def test_no_other_form_of_an_inner_address_is_public(inner: ipaddress.IPv4Address, rest: int) -> None:
    number = int(inner)
    hidden = {
        "mapped": 0xFFFF << 32 | number,
        "compatible": number,
        "translated": 0xFFFF << 48 | number,
        "nat64": 0x64FF9B << 96 | number,
        "local nat64": 0x64FF9B0001 << 80 | number,
        "6to4": 0x2002 << 112 | number << 80 | rest,
        "teredo server": 0x20010000 << 96 | number << 64 | rest,
        "teredo client": 0x20010000 << 96 | rest << 32 & (2**96 - 1) | number ^ 0xFFFFFFFF,
    }
    assert not is_public(str(inner))
    for name, value in hidden.items():
        assert not is_public(str(ipaddress.IPv6Address(value))), name


FETCHER = Fetcher(Urls(on=True))


@settings(deadline=None)
@given(private_v4(), st.sampled_from(["{:d}", "0x{:x}", "0{:o}", "parts", "hex parts", "octal parts", "short"]))
def test_odd_spellings_are_read_before_they_are_judged(inner: ipaddress.IPv4Address, way: str) -> None:
    """As the system reads them: what is no address of its own would be asked for in vain."""
    a, b, c, d = inner.packed
    spelt = {
        "parts": str(inner),
        "hex parts": f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        "octal parts": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "short": f"{a}.{b}.{c << 8 | d}",
    }.get(way, way.format(int(inner)))
    with pytest.raises(Refused) as refused:
        asyncio.run(FETCHER.fetch(f"http://{spelt}/x.png", int))
    assert refused.value.code in ("url_not_public", "invalid_url")
    assert not any(map(is_public, addresses_of(spelt, 80)))


class Pages(BaseHTTPRequestHandler):
    """A web server: a path says what it answers."""

    seen: list[tuple[str, str | None, dict[str, str]]] = []  # noqa: RUF012 (of the class, as the server makes one each)

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["host"], dict(self.headers)))
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "to":
            self.answer(302, {"location": rest})
        elif kind == "round":
            self.answer(301, {"location": "/round", "set-cookie": "a=b"})
        elif kind == "status":
            self.answer(int(rest))
        elif kind == "large":
            self.answer(200, {}, b"a" * int(rest))
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            self.server.stop.wait(20)  # type: ignore[attr-defined]
        elif kind == "cut":
            self.answer(200, {"content-length": "100"}, b"a")
        else:
            self.answer(200, {}, colour_png("red"))

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"content-length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class Net:
    """The internet of a test: names, and the one server, on loopback, that all public ones lead to."""

    def __init__(self, port: int) -> None:
        self.port, self.asked = port, list[str]()
        self.names = {"web.example": ["203.0.113.7"], "other.example": ["203.0.113.7"], "in.example": ["10.0.0.1"]}
        self.names["both.example"] = ["203.0.113.7", "127.0.0.1"]

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    """A documentation's address stands for the public one that the server of the test has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.stop = threading.Event()  # type: ignore[attr-defined]
    Pages.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Net(server.server_port)
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "203.0.113.7")
    opened = asyncio.BaseEventLoop.create_connection

    async def create_connection(loop: Any, factory: Any, host: str, port: int, **more: Any) -> Any:
        assert host == "203.0.113.7", "nothing but the address that was checked is connected to"
        return await opened(loop, factory, "127.0.0.1", port, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    yield found
    server.stop.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def get(net: Net, path: str, host: str = "web.example", take: Callable[[int], None] = int, **urls: Any) -> bytes:
    fetcher = Fetcher(Urls(on=True, ports=(80, 443, net.port), **urls), net)
    return asyncio.run(fetcher.fetch(f"http://{host}:{net.port}{path}", take))


def code_of(net: Net, path: str, host: str = "web.example") -> str:
    with pytest.raises(Refused) as refused:
        get(net, path, host)
    assert refused.value.status == 400 and refused.value.param == "url"
    assert str(refused.value).count(".") <= 2 and "10.0" not in str(refused.value)
    return refused.value.code


def test_a_picture_is_fetched_from_the_address_that_was_checked(net: Net) -> None:
    taken: list[int] = []
    assert get(net, "/a.png?x=1#part", take=taken.append) == colour_png("red")
    ((path, host, headers),) = Pages.seen
    assert (path, host) == ("/a.png?x=1", f"web.example:{net.port}") and sum(taken) == len(colour_png("red"))
    assert net.asked == ["web.example"], "a name is looked up once"
    assert headers["accept-encoding"] == "identity" and "cookie" not in headers


def test_redirects_are_followed_each_checked_anew(net: Net) -> None:
    assert get(net, f"/to/http://other.example:{net.port}/to//a.png") == colour_png("red")
    assert net.asked == ["web.example", "other.example", "other.example"]
    assert [host for _, host, _ in Pages.seen][-1] == f"other.example:{net.port}"
    for target in ("http://in.example/", "http://both.example/", "http://nowhere.example/", "http://[::1]/"):
        Pages.seen.clear()
        net.names["[::1]"] = net.names["::1"] = ["::1"]
        assert code_of(net, f"/to/{target}") == "url_not_public" and len(Pages.seen) == 1
    for target in ("file:///etc/passwd", "ftp://web.example/", "http://a:b@web.example/", "http://web.example:22/"):
        assert code_of(net, f"/to/{target}") == "invalid_url"
    Pages.seen.clear()
    assert code_of(net, "/round") == "url_failed" and len(Pages.seen) == 4
    assert not any("cookie" in headers for *_, headers in Pages.seen)


def test_of_what_lies_inside_the_same_is_said_as_of_what_is_not_there(net: Net) -> None:
    said = set()
    for host in ("in.example", "both.example", "nowhere.example"):
        with pytest.raises(Refused) as refused:
            get(net, "/a.png", host)
        said.add((refused.value.code, str(refused.value)))
    assert len(said) == 1 and not Pages.seen


def test_what_goes_wrong_has_a_code(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(net, "/status/404") == code_of(net, "/status/204") == "url_failed"
    assert code_of(net, "/cut") == "url_unreachable"
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.3)
    assert code_of(net, "/slow") == "url_timeout"
    net.names["web.example"] = ["203.0.113.7"]
    with pytest.raises(Refused) as refused:
        asyncio.run(Fetcher(Urls(on=True, ports=(1,)), net).fetch("http://web.example:1/", int))
    assert refused.value.code == "url_unreachable"


@pytest.mark.parametrize(
    "url",
    ["", "x", "//web.example/a", "http://", "http:///a", "http://a\nb/", "http://web.example/\0", "http://[::1/",
     "data:image/png;base64,aa", "http://web.example:99999/", "http://web.example:8080/", "gopher://web.example/",
     "http://u@web.example/", "http://:p@web.example/", "http://web.example/" + "a" * 2048, "http://" + "\ud800" + "/"],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(Fetcher(Urls(on=True), lambda host, port: []).fetch(url, int))
    assert refused.value.code in ("invalid_url", "url_not_public") and refused.value.status == 400


def test_the_name_and_not_the_address_is_in_the_certificate(net: Net, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "web.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.socket = served.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trusting = ssl.create_default_context(cafile=str(pem))

    def ask(host: str, tls: ssl.SSLContext | None) -> bytes:
        fetcher = Fetcher(Urls(on=True, ports=(server.server_port,)), net, tls)
        return asyncio.run(fetcher.fetch(f"https://{host}:{server.server_port}/a.png", int))

    assert ask("web.example", trusting) == colour_png("red")
    for host, tls in (("other.example", trusting), ("web.example", None)):
        with pytest.raises(Refused) as refused:
            ask(host, tls)
        assert refused.value.code == "url_unreachable"
    server.shutdown()
    server.server_close()


def test_what_is_fetched_takes_its_part_of_the_room(net: Net) -> None:
    room = Room(1000, 500)
    with room.share() as share:
        assert get(net, "/large/400", take=share.grow) == b"a" * 400 and room.held == 400
        with pytest.raises(Refused) as refused:
            get(net, "/large/400", take=share.grow)
        assert refused.value.code == "body_too_large"
    with room.share() as share, room.share() as other, room.share() as third:
        share.grow(500)
        other.grow(450)
        fetcher = Fetcher(Urls(on=True, ports=(net.port,)), net)
        with pytest.raises(Busy):
            asyncio.run(fetcher.fetch_all([f"http://web.example:{net.port}/large/100"], third.grow))
    assert room.held == 0


@pytest.fixture
def here(client: Callable[..., TestClient], net: Net, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(fetch, "addresses_of", net)
    urls, door = Urls(on=True, ports=(net.port,)), Door(max_images=3)
    return client(build_api(Judge(), SpoofSettings(bundles={"one": "/one"}, urls=urls, door=door)))


def test_pictures_by_url_are_judged_beside_others(here: TestClient, net: Net) -> None:
    good, bad = f"http://web.example:{net.port}/a.png", f"http://in.example:{net.port}/"
    results = here.post("/v1/check", json={"url": [good, bad]}).json()["results"]
    assert [one["name"] for one in results] == [good, bad] and results[0]["answers"][0]["label"] == "spoof"
    assert results[1]["error"]["code"] == "url_not_public" and results[1]["error"]["param"] == "url"
    form = here.post("/v1/check", files={"image": ("b.png", colour_png("blue"))}, data={"url": good})
    assert [one["answers"][0]["label"] for one in form.json()["results"]] == ["live", "spoof"]
    assert here.post("/v1/check", json={"url": good}).status_code == 200
    alone = here.post("/v1/check", json={"url": bad})
    assert alone.status_code == 400 and alone.json()["error"]["param"] == "url"
    Pages.seen.clear()
    many = here.post("/v1/check", json={"url": [good] * 4})
    assert many.status_code == 413 and many.json()["error"]["code"] == "too_many_images" and not Pages.seen


def test_they_are_off_unless_switched_on(client: Callable[..., TestClient]) -> None:
    here = client(build_api(Judge(), SpoofSettings(bundles={"one": "/one"})))
    refused = here.post("/v1/check", json={"url": "http://web.example/"})
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "urls_off"
