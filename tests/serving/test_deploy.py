"""A Ray that runs is given applications by `serve deploy`, and a job while it serves, as docs/operations.md has it."""

import io
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import socket
from threading import Event

import httpx2
import psutil
import pytest
import yaml
from fakes import manifest_of, picture, write_pictures
from PIL import Image

from gencv.core.embeddings import Embeddings
from gencv.core.tables import ROWS_PER_PART

ROOT = Path(__file__).parents[2]
START_S = 120
NUM_PICTURES = ROWS_PER_PART + 4
"""Two parts, so that workers of the cluster take them, not the driver alone."""


class Cluster:
    """A head of Ray's with ports and a folder of its own, which asks for a token, and what may be said to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.serve_port, self.dashboard_port = folder, *free_ports(2)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GENCV_"))}
        self.log = folder / "log"
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"
        self.environment = plain | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_DASHBOARD_ADDRESS": self.dashboard,
            "RAY_API_SERVER_ADDRESS": self.dashboard,
        }
        (folder / "token").write_text("a token of 32 letters and figures")

    def start(self) -> None:
        gcs, metrics, client, agent = free_ports(4)
        self.head = self.begin(
            f"ray start --head --block --num-cpus 2 --temp-dir {self.folder} --node-ip-address 127.0.0.1 --port {gcs} "
            f"--dashboard-host 127.0.0.1 --dashboard-port {self.dashboard_port} --metrics-export-port {metrics} "
            f"--ray-client-server-port {client} --dashboard-agent-listen-port {agent} --disable-usage-stats"
        )

    def stop(self) -> None:
        """Stop the processes of this cluster, and no other's."""
        mine = [psutil.Process(self.head.pid), *psutil.Process(self.head.pid).children(recursive=True)]
        self.head.terminate()
        _, left = psutil.wait_procs(mine, timeout=20)
        for one in left:
            one.kill()
        self.head.wait()

    def begin(self, command: str) -> subprocess.Popen[bytes]:
        """Begin a command in the checkout; what it says goes to the end of the log."""
        with self.log.open("a") as log:
            words = ["/usr/bin/env", *shlex.split(command)]  # which looks for the command in that environment
            return subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def run(self, command: str) -> None:
        """Run a command, which must succeed."""
        assert self.begin(command).wait() == 0, self.log.read_text()[-3000:]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has; not of the range that Ray gives its workers."""
    found: list[int] = []
    while len(found) < count:
        with closing(socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if not 10_002 <= port <= 19_999 and port not in found:
            found.append(port)
    return found


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not so after {seconds} s"
        time.sleep(0.2)


def status_of(url: str) -> int:
    try:
        return httpx2.get(url, timeout=5).status_code  # what is loaded for it goes on when it leaves
    except httpx2.HTTPError:
        return 0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # short, as the names of sockets lie in it
        found = Cluster(Path(folder))
        found.start()
        try:
            yield found
        finally:
            found.stop()


def config_for(cluster: Cluster, bundle: Path) -> Path:
    """Write serving/config.yaml with /spoof alone, and another port and bundle."""
    config = yaml.safe_load((ROOT / "serving" / "config.yaml").read_text())
    config["http_options"]["port"] = cluster.serve_port
    (spoof,) = (one for one in config["applications"] if one["name"] == "spoof")
    spoof["args"] = {"bundles": {"test": str(bundle)}}
    config["applications"] = [spoof]
    path = cluster.folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_running_ray_serves_and_takes_a_job_meanwhile(
    cluster: Cluster, tmp_path: Path, save_bundle: Callable[[str], Path]
) -> None:
    bundle, manifest, out = save_bundle("none"), tmp_path / "manifest", tmp_path / "embeddings"
    manifest_of(write_pictures(tmp_path / "pictures", NUM_PICTURES, size=(40, 32))).save(str(manifest))
    wait_until(lambda: status_of(f"{cluster.dashboard}/api/version") == 401, START_S)  # up, and asks for the token
    cluster.run(f"serve deploy {config_for(cluster, bundle)}")
    address = f"http://127.0.0.1:{cluster.serve_port}/spoof"
    wait_until(lambda: status_of(f"{address}/readyz") == 200, START_S)

    stream = io.BytesIO()
    Image.fromarray(picture(0, 240, 200)).save(stream, "PNG")
    is_over = Event()

    def ask() -> list[int]:
        found = []
        while not is_over.wait(0.2):
            answer = httpx2.post(f"{address}/v1/check", files={"image": stream.getvalue()}, timeout=60)
            found.append(answer.status_code)
        return found

    with ThreadPoolExecutor(1) as pool:
        statuses = pool.submit(ask)
        try:
            cluster.run(
                "ray job submit --working-dir . -- python jobs/embed.py --encoder starter-features "
                f"--manifest {manifest} --out {out}"
            )
        finally:
            is_over.set()
    assert Embeddings.load(str(out)).good.sum() == NUM_PICTURES
    assert len(statuses.result()) > 10 and set(statuses.result()) == {200}
