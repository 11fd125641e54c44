"""All of it as a user starts it: `python -m serving`, requests over HTTP, and a detector that is killed under them."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import socket

import httpx2
import psutil
import pytest
import yaml
from fakes import picture
from PIL import Image

from gencv.services.spoof import open_checker

ROOT = Path(__file__).parents[2]
START_S = 150


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
    spoof["args"] |= {"bundles": {"test": str(bundle)}, "replicas": {"min": 2, "max": 2}}
    config["applications"] = [spoof]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "serving", str(folder / "config.yaml")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
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


def detectors() -> list[psutil.Process]:
    mine = psutil.Process(os.getpid()).children(recursive=True)
    return [one for one in mine if "ServeReplica:spoof:detectors" in " ".join(one.cmdline())]


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_scores_over_http_are_those_of_the_command_line(served: tuple[str, Path]) -> None:
    address, bundle = served
    checker, data = open_checker(str(bundle), device="cpu"), png(0)
    answer = httpx2.post(f"{address}/spoof/v1/check", files={"image": ("a.png", data)}, timeout=60)
    (result,) = answer.json()["results"]
    (told,), (expected,) = result["answers"], checker.check(data)
    assert told["score"] == pytest.approx(expected["score"], abs=1e-4) and told["label"] == expected["label"]
    assert told["digest"] == checker.digest == httpx2.get(f"{address}/spoof/readyz").json()["bundles"]["test"]
    assert result["provenance"]["found"] == [] and answer.headers["x-request-id"] == answer.json()["id"]
    refused = httpx2.post(f"{address}/spoof/v1/check", files={"image": b"GIF"}, timeout=60)
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "not_an_image"
    away = httpx2.post(f"{address}/spoof/v1/check", headers={"x-forwarded-for": "192.0.2.1"}, timeout=60)
    assert away.status_code == 401


@pytest.mark.ray
@pytest.mark.kill
@pytest.mark.timeout(300)
def test_no_client_sees_that_a_detector_is_killed(served: tuple[str, Path]) -> None:
    address, _ = served
    until = time.monotonic() + 20

    def ask(client: int) -> list[int]:
        found = []
        with httpx2.Client(timeout=60) as http:
            while time.monotonic() < until:
                answer = http.post(f"{address}/spoof/v1/check", files={"image": png(client)})
                found.append(answer.status_code)
        return found

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, number) for number in range(8)]
        time.sleep(5)
        first, *_ = detectors()
        first.kill()
        statuses = [status for client in clients for status in client.result()]
    assert len(statuses) > 20 and set(statuses) == {200}
    assert json.loads(httpx2.get(f"{address}/spoof/readyz", timeout=60).text)["status"] == "ready"
