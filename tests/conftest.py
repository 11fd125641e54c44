"""Settings that every test shares."""

import importlib.util
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`

ROOT = Path(__file__).parents[1]
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
# Before any Ray starts, whose workers sign as well: no test makes an identity in the user's own folder.
os.environ.setdefault("GENCV_IDENTITY", str(Path(tempfile.gettempdir()) / f"gencv-tests-{os.getuid()}" / "identity"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, so that none is left alone at the end, and those of a GPU last, which start Ray again."""
    items.sort(key=lambda item: ("ray_with_gpu" in getattr(item, "fixturenames", ()), "slow" not in item.keywords))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real pictures of shared/data beside the project")
    return folder


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny painter as a diffusers folder: 16 px, random weights."""
    from painters import save_sd

    return save_sd(tmp_path_factory.mktemp("painter") / "tiny")


@pytest.fixture(scope="session")
def save_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save a bundle that says something, fitted on nothing real: save_bundle(crop) -> its folder."""
    import numpy as np
    from fakes import blobs

    from gencv.evaluate.thresholds import Threshold
    from gencv.images.preprocess import Preprocessing
    from gencv.models import bundle
    from gencv.models.detectors import ProbeDetector
    from gencv.models.encoders import load_encoder
    from gencv.models.probes import Labelled, fit_probe

    threshold = Threshold("eer", 0.5, 0.1, 0.1, 30, 30)
    data = blobs(60, 0)
    wide = Labelled(np.pad(data.vectors, ((0, 0), (0, 1280 - 32))), data.labels)
    encoder, probe = load_encoder("starter-features", device="cpu"), fit_probe("mlp", wide, wide, seed=0)

    def save(crop: str) -> Path:
        made = ProbeDetector(
            encoder=encoder,
            probe=probe,
            task="generated",
            preprocessing=Preprocessing(crop=crop, margin=2.0),
            thresholds={"eer": asdict(threshold)},
        )
        folder = tmp_path_factory.mktemp("bundle") / crop
        bundle.save(made, str(folder), training={"manifest": "none"}, metrics={})
        return folder

    return save


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for weights, and no hub."""
    monkeypatch.setenv("GENCV_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def ray_local() -> str:
    """One small Ray for all tests of this process; returns its address, for the processes that they start."""
    return start_ray(num_gpus=0)


@pytest.fixture
def ray_with_gpu() -> str:
    """The same with a GPU that is there by name only, for scheduling."""
    return start_ray(num_gpus=1)


def start_ray(num_gpus: int) -> str:
    import ray

    if ray.is_initialized() and ray.cluster_resources().get("GPU", 0) != num_gpus:
        ray.shutdown()
    if not ray.is_initialized():
        how = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
        ray.init("local", num_cpus=2, num_gpus=num_gpus, **how)
    return str(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """HOST:PORT of a store that speaks S3 over plain HTTP: $GENCV_TEST_S3, with credentials of its own, else moto's."""
    if given := os.environ.get("GENCV_TEST_S3"):
        yield given
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, as a URI with its options."""
    from pyarrow import fs

    if "GENCV_TEST_S3" not in os.environ:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    bucket = f"gencv-{uuid.uuid4().hex[:12]}"
    how = {"endpoint_override": s3_server, "scheme": "http", "region": "us-east-1"}
    fs.S3FileSystem(allow_bucket_creation=True, **how).create_dir(bucket)
    return f"s3://{bucket}?" + "&".join(f"{name}={value}" for name, value in how.items())


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """Make an empty database on a server of this session's own, and return its URL."""
    from postgresql import Server, binaries

    if binaries() is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
    with Server() as server:
        yield server.new_database


@pytest.fixture(params=["sqlite", "postgresql"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a history that is not there yet, in either kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    new_database: Callable[[], str] = request.getfixturevalue("postgresql")
    return new_database()


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
