"""Every block of the README runs, in a copy of the project, as a user would paste it."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import ray
import yaml
from PIL import Image

from gencv.index.table import Index

ROOT = Path(__file__).parents[1]
SERVED = "127.0.0.1:8000"
"""Where `make serve` answers; a block with it in it asks what is served."""
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme") / "gencv"
    skipped = {".venv", ".git", "runs", "__pycache__"}
    shutil.copytree(ROOT, folder, ignore=lambda where, names: skipped & set(names) if where == str(ROOT) else [])
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.startswith("make")])
def test_the_targets_of_make_exist(block: str) -> None:
    for line in block.splitlines():
        subprocess.run(["make", "--dry-run", line.split()[1]], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if not block.startswith("make") and SERVED not in block and "ray start" not in block],
    ids=lambda block: block.split("\n")[1][:20],
)
def test_the_block_runs(block: str, copy: Path, ray_local: str) -> None:
    # On one Ray, which is quicker than one of its own for each job.
    said = pasted(block, copy, {"RAY_ADDRESS": ray_local, "RAY_AUTH_MODE": "disabled"})
    expected = {
        "evaluate.py": "AUROC",
        "check.py": '"label"',
        "--query": "starter:chelsea",
        "--replay": "Identical",
    }
    assert all(words in said for command, words in expected.items() if command in block)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_ray_is_started_given_a_job_and_stopped(copy: Path) -> None:
    (block,) = [block for block in BLOCKS if "ray start" in block]
    ray.shutdown()  # as the block stops every Ray of this machine; the tests after this one start theirs again
    assert "succeeded" in pasted(block, copy, {})
    assert (copy / "runs/submitted/manifest/manifest.parquet").exists()


def pasted(block: str, copy: Path, address: dict[str, str]) -> str:
    """Run a block in a shell; returns what it prints. address: of a Ray, as the environment says it."""
    home = copy.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=copy,
        env={**environment, **address, "HOME": str(home), "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def served(copy: Path) -> Iterator[str]:
    """HOST:PORT of the applications but for the page, with the bundle and the index that the blocks before made."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = yaml.safe_load((copy / "serving" / "config.yaml").read_text().replace("runs/demo", f"{copy}/runs/readme"))
    config["http_options"]["port"] = port
    config["applications"] = [one for one in config["applications"] if one["name"] != "web"]
    (copy / "runs" / "serving.yaml").write_text(yaml.safe_dump(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GENCV_"))}
    with (copy / "runs" / "serving.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "serving", "runs/serving.yaml"],
            cwd=copy,
            env={**environment, "RAY_ADDRESS": "local", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(copy)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert server.stdout is not None
    try:
        said = server.stdout.readline()
        assert said.startswith("Serving after"), (copy / "runs" / "serving.log").read_text()[-2000:]
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        finally:
            server.kill()


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_what_is_served_answers_as_the_readme_has_it(served: str, copy: Path) -> None:
    (block,), (snippet,) = [one for one in BLOCKS if SERVED in one], SNIPPETS
    asking = ["bash", "-euo", "pipefail", "-c", block.replace(SERVED, served).replace("curl ", "curl --fail ")]
    said = subprocess.run(asking, cwd=copy, capture_output=True, text=True, check=True).stdout
    checked, found = read_all(said)
    (answer,) = checked["results"][0]["answers"]
    assert answer["label"] in ("live", "spoof", "uncertain") and answer["scores"] and answer["threshold_id"]
    ids = [hit["id"] for hit in found["hits"]]
    uris = Index.open(str(copy / "runs" / "readme" / "index")).rows(ids, ["uri"])["uri"].to_pylist()
    assert len(uris) == 3 and uris[0].startswith("starter:chelsea"), "which is a cat"
    picture_of(base64.b64decode(json.loads((copy / "apple.json").read_text())["data"][0]["b64_json"]))
    subprocess.run([sys.executable, "-c", snippet.replace(SERVED, served)], cwd=copy, check=True)
    picture_of((copy / "apple.png").read_bytes())


def read_all(text: str) -> list[dict[str, Any]]:
    """Return JSON objects that stand one behind the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def picture_of(data: bytes) -> None:
    """Raise unless some bytes are a whole picture with something in it."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.convert("L").getextrema() != (0, 0) and min(image.size) >= 64
