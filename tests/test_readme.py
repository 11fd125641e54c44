"""Every block of the README runs, in a copy of the project, as a user would paste it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import ray

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


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
    "block", [block for block in BLOCKS if not block.startswith("make")], ids=lambda block: block.split("\n")[1][:20]
)
def test_the_block_runs(block: str, copy: Path, request: pytest.FixtureRequest) -> None:
    starts_ray = "ray start" in block
    if starts_ray:  # and stops every Ray of this machine; the tests after this one start theirs again
        ray.shutdown()
        address = {}
    else:  # quicker than one of its own for each job
        address = {"RAY_ADDRESS": request.getfixturevalue("ray_local"), "RAY_AUTH_MODE": "disabled"}
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
    said = {
        "ray start": "succeeded",
        "evaluate.py": "AUROC",
        "check.py": '"label"',
        "--query": "starter:chelsea",
        "--replay": "Identical",
    }
    assert all(words in done.stdout for command, words in said.items() if command in block)
    if starts_ray:
        assert (copy / "runs/submitted/manifest/manifest.parquet").exists()
