"""All of it as a user starts it: `python -m serving`, requests over HTTP, and copies that are killed under them."""

import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import socket

import httpx2
import pytest
import yaml
from fakes import picture
from fronts import front
from PIL import Image
from processes import descendants

from gencv.services.spoof import open_checker
from serving.door import digest_of

ROOT = Path(__file__).parents[2]
KEY = {"x-api-key": "the key of the tests"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, save_bundle: Callable[[str], Path]) -> Iterator[tuple[str, Path]]:
    """The address of the applications, and the folder of the bundle that judges."""
    folder, bundle = tmp_path_factory.mktemp("serving"), save_bundle("none")
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = yaml.safe_load((ROOT / "serving" / "config.yaml").read_text())
    config["http_options"]["port"] = port
    (spoof,) = (one for one in config["applications"] if one["name"] == "spoof")
    spoof["args"] |= {"bundles": {"test": str(bundle)}, "replicas": {"min": 2, "max": 2}, "api_replicas": 2}
    config["applications"] = [spoof]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "serving", str(folder / "config.yaml")]
    key = {"name": "tests", "sha256": digest_of(KEY["x-api-key"]), "scopes": ["spoof"], "rate_per_minute": 10**6}
    environment = os.environ | {"GENCV_API_KEYS": json.dumps(key)}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    try:
        said = server.stdout.readline()
        assert re.match(r"Serving after \d+ s", said), (folder / "log").read_text()[-2000:]
        yield f"http://127.0.0.1:{port}", bundle
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            assert server.wait(60) == 0
        finally:
            server.kill()


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(seed, 240, 200)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_scores_over_http_are_those_of_the_command_line(served: tuple[str, Path]) -> None:
    address, bundle = served
    checker, data = open_checker(str(bundle), device="cpu"), png(0)
    answer = httpx2.post(f"{address}/spoof/v1/check", headers=KEY, files={"image": ("a.png", data)}, timeout=60)
    (result,) = answer.json()["results"]
    (told,), (expected,) = result["answers"], checker.check(data)
    assert told["score"] == pytest.approx(expected["score"], abs=1e-4) and told["label"] == expected["label"]
    assert told["digest"] == checker.digest == httpx2.get(f"{address}/spoof/readyz").json()["bundles"]["test"]
    assert result["provenance"]["found"] == [] and answer.headers["x-request-id"] == answer.json()["id"]
    refused = httpx2.post(f"{address}/spoof/v1/check", headers=KEY, files={"image": b"GIF"}, timeout=60)
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "not_an_image"
    assert httpx2.post(f"{address}/spoof/v1/check", files={"image": data}, timeout=60).status_code == 401


@pytest.mark.ray
@pytest.mark.kill
@pytest.mark.timeout(300)
def test_no_client_sees_that_a_copy_of_the_model_is_killed(served: tuple[str, Path]) -> None:
    address, _ = served
    ask_while_one_is_killed("ServeReplica:spoof:detectors", address)
    assert httpx2.get(f"{address}/spoof/readyz", timeout=60).json()["status"] == "ready"


@pytest.mark.ray
@pytest.mark.kill
@pytest.mark.timeout(300)
def test_behind_the_front_none_sees_that_a_copy_of_the_api_is_killed(served: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = served
    with front(tmp_path, [int(address.rpartition(":")[2])]) as (before, trusted):
        ask_while_one_is_killed("ServeReplica:spoof:spoof", before, trusted)


def ask_while_one_is_killed(name: str, address: str, verify: ssl.SSLContext | bool = True) -> None:
    """Let clients ask for twelve seconds, in which a process is killed; fails unless all are answered."""
    until = time.monotonic() + 12

    def ask(client: int) -> list[int]:
        found = []
        with httpx2.Client(headers=KEY, verify=verify, timeout=60) as http:
            while time.monotonic() < until:
                answer = http.post(f"{address}/spoof/v1/check", files={"image": png(client)})
                found.append(answer.status_code)
        return found

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, number) for number in range(8)]
        time.sleep(4)
        first, *_ = descendants(os.getpid(), name)
        os.kill(first, signal.SIGKILL)
        statuses = [status for client in clients for status in client.result()]
    assert len(statuses) > 12 and set(statuses) == {200}
