"""One server with all applications for the whole session, and a browser page that may only talk to it."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fakes import COLOURS, ColourEncoder, colour_index, manifest_of, write_embeddings, write_pictures
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from gencv.core.embeddings import SPACE
from gencv.images.decode import decode
from gencv.services import search

WAIT_MS = 15_000
CHROMIUM = shutil.which("chromium")
OFFLINE = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
HOW: Any = {"executable_path": CHROMIUM, "args": [*OFFLINE, *CAMERA]}

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, save_bundle: Callable[[str], Path]) -> Path:
    """A folder as `make demo` leaves it, but small: a bundle, its training pictures, an index of coloured walls."""
    from gencv.models import bundle

    folder = tmp_path_factory.mktemp("web")
    shutil.copytree(save_bundle("none"), folder / "bundle")
    detector: Any = bundle.load(str(folder / "bundle"), device="cpu")
    paths = write_pictures(folder / "pictures", 8)
    shown = manifest_of(paths, label=[number % 2 for number in range(8)])
    vectors = detector.encoder.images(np.stack([detector.prepare(decode(path.read_bytes())) for path in paths]))
    write_embeddings(shown, vectors, folder / "embeddings")
    (folder / "embeddings" / SPACE).write_text(json.dumps(detector.space.to_dict()))
    colour_index(folder / "index", [name for name in COLOURS for _ in range(4)])
    return folder


@pytest.fixture(scope="session")
def new_site(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Serve the whole: `with new_site(door=...) as address`."""
    from whole import build_whole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "load_encoder", lambda name, **how: ColourEncoder())

        @contextmanager
        def serve(**options: Any) -> Iterator[str]:
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", 0))
                address = "http://127.0.0.1:{1}".format(*listening.getsockname())
                with served(build_whole(demo, tmp_path_factory.mktemp("site"), address, **options), listening):
                    yield address

        yield serve


@pytest.fixture(scope="session")
def site(new_site: Callable[..., Any]) -> Iterator[str]:
    """The address of one that asks for no keys: $GENCV_TEST_SITE, which `make serve` started, else one of our own."""
    if given := os.environ.get("GENCV_TEST_SITE"):
        yield given
        return
    with new_site() as address:
        yield address


@contextmanager
def served(whole: Any, listening: socket.socket) -> Iterator[None]:
    # A page keeps a stream open, which a stop does not wait for.
    server = uvicorn.Server(uvicorn.Config(whole, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with (
        sync_playwright() as driver,
        driver.chromium.launch(**HOW) as browser,
    ):
        yield browser


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page of its own: new_page(width=390, ...); whatever goes wrong in any of them fails the test."""
    faults: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(width: int = 1100, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("request", lambda request: faults.extend(foreign(request)))
        page.on("console", lambda said: faults.append(f"{said.text} {said.location}") if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture
def page(site: str, new_page: Callable[..., Page]) -> Page:
    """The page, open and ready."""
    found = new_page()
    found.goto(site)
    found.get_by_role("tab", name="Check").wait_for()
    return found


def foreign(request: Request) -> list[str]:
    is_here = request.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
    return [] if is_here else [f"{request.url} is not here"]
