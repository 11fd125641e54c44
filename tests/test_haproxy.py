"""What deploy/haproxy.cfg does in front of machines that die under requests; the machines are stand-ins."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
import yaml
from fronts import CONFIG, front

PATH = "/spoof/v1/check"


class Machine(ThreadingHTTPServer):
    """Answers health, and, unless it `dies` or `fails`, with the length of what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.how = "lives"
        self.asked: list[Message] = []
        """The headers of each request."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Be quiet of connections that end with the proxy."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Machine

    def do_GET(self) -> None:
        self.answer(200, b"success")

    def do_POST(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.server.asked.append(self.headers)
        if self.server.how == "dies":
            self.close_connection = True
        else:
            self.answer(500 if self.server.how == "fails" else 200, str(length).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, list[Machine]]]:
    with ExitStack() as stack:
        machines = [stack.enter_context(Machine()) for _ in range(2)]
        ports = [one.server_port for one in machines]
        address, trusted = stack.enter_context(front(tmp_path_factory.mktemp("front"), ports))
        yield stack.enter_context(httpx2.Client(base_url=address, verify=trusted, timeout=20)), machines
        for one in machines:
            one.shutdown()


@pytest.fixture
def client(everything: tuple[httpx2.Client, list[Machine]]) -> httpx2.Client:
    for machine in everything[1]:
        machine.how = "lives"
        machine.asked.clear()
    return everything[0]


@pytest.fixture
def machines(everything: tuple[httpx2.Client, list[Machine]]) -> list[Machine]:
    return everything[1]


def asked(machines: list[Machine]) -> list[Message]:
    return [headers for machine in machines for headers in machine.asked]


@pytest.mark.parametrize("how", ["dies", "fails"])
@pytest.mark.parametrize("size", [0, 40_000, 6_000_000])
def test_what_a_machine_leaves_is_answered_by_another(
    client: httpx2.Client, machines: list[Machine], how: str, size: int
) -> None:
    machines[0].how = how
    answers = [client.post(PATH, content=b"a" * size) for _ in range(4)]
    assert {(one.status_code, one.text) for one in answers} == {(200, str(size))}
    assert machines[0].asked, "nobody asked the one that dies"
    ids = [headers["x-request-id"] for headers in asked(machines)]
    assert len(ids) > len(set(ids)) == 4, "both tries have one id, which no other request has"


@pytest.mark.parametrize(
    ("path", "headers", "tries"),
    [
        ("/spoof/v1/feedback", {}, 3),
        ("/v1/jobs/3/cancel", {}, 3),
        ("/v1/jobs", {"Idempotency-Key": "apples"}, 3),
        ("/v1/jobs", {}, 1),
        ("/v1/%6Aobs", {}, 1),
        ("/gradio_api/queue/join", {}, 1),
    ],
)
def test_what_may_not_be_done_twice_is_not(
    client: httpx2.Client, machines: list[Machine], path: str, headers: dict[str, str], tries: int
) -> None:
    for machine in machines:
        machine.how = "fails"
    assert client.post(path, headers=headers).status_code == 500
    assert len(asked(machines)) == tries
    for machine in machines:
        machine.how = "dies"
    assert client.post(path, headers=headers).status_code == 502, "or a browser sends it again by itself"
    assert len(asked(machines)) == 2 * tries


def test_more_than_fits_is_answered_though_not_again(client: httpx2.Client, machines: list[Machine]) -> None:
    assert client.post(PATH, content=b"a" * 20_000_000).text == "20000000"
    for machine in machines:
        machine.how = "fails"
    assert client.post(PATH, content=b"a" * 20_000_000).status_code == 500
    assert len(asked(machines)) == 2


def test_a_request_says_where_it_comes_from_and_serves_own_pages_are_shut(
    client: httpx2.Client, machines: list[Machine]
) -> None:
    answer = client.post(PATH, headers={"x-request-id": "mine", "x-forwarded-proto": "http"})
    (headers,) = asked(machines)
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-request-id"] == "mine"
    assert headers.get_all("x-forwarded-proto") == ["https"]
    assert answer.headers["strict-transport-security"]
    assert {client.get(path).status_code for path in ("/-/routes", "/-/healthz", "/%2D/routes")} == {404}
    assert client.get("/spoof/readyz").status_code == 200


def test_nothing_is_said_in_the_clear(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(str(client.base_url).replace("https", "http"))


def test_it_waits_longer_than_serve() -> None:
    serve = yaml.safe_load((CONFIG.parents[1] / "serving" / "config.yaml").read_text())["http_options"]
    (seconds,) = re.findall(r"timeout server (\d+)s", CONFIG.read_text())
    assert int(seconds) > serve["request_timeout_s"], "which says so in the one shape of errors"
