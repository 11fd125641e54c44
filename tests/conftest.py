"""Settings that every test shares."""

import importlib.util
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`

ROOT = Path(__file__).parents[1]
os.environ.setdefault("RAY_AUTH_MODE", "disabled")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real pictures of shared/data beside the project")
    return folder


@pytest.fixture
def ray_with_gpu() -> None:
    """One small Ray for all tests that need it in this process; its GPU is there by name only, for scheduling."""
    import ray

    if not ray.is_initialized():
        ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)


@pytest.fixture
def ray_local(ray_with_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same Ray, taken for one without a GPU."""
    from gencv.pipelines import cluster

    monkeypatch.setattr(cluster, "num_gpus", lambda: 0)


@pytest.fixture
def job(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a job in this process: job("embed", "--out", ...) -> exit code, stdout, stderr."""
    from gencv.runs.launch import launch

    def run(name: str, *argv: object) -> tuple[int, str, str]:
        module = load_job(name)
        capfd.readouterr()
        code = 0
        try:
            launch(module.main, [str(word) for word in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    return run


def load_job(name: str) -> ModuleType:
    """Import jobs/NAME.py, which is no package."""
    spec = importlib.util.spec_from_file_location(f"job_{name}", ROOT / "jobs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
