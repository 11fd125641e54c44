import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from gencv.core.errors import BadInput, UnknownName
from gencv.runs.tracking import require_trackers, track

FACTS = {"epoch": 2, "val_auroc": 0.75, "device": "cpu"}


def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    require_trackers(("tensorboard",))
    track(("tensorboard",), str(tmp_path), FACTS)
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"val_auroc" in events and b"device" not in events


class Client:
    """What mlflow's client keeps, as far as we use it."""

    experiments: ClassVar[dict[str, Any]] = {}
    runs: ClassVar[list[Any]] = []
    logged: ClassVar[list[tuple[str, float, int]]] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiments.get(name)

    def create_experiment(self, name: str) -> str:
        self.experiments[name] = SimpleNamespace(experiment_id="7")
        return "7"

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if f"= '{run.tags['gencv.out']}'" in query]

    def create_run(self, experiment: str, tags: dict[str, str]) -> Any:
        self.runs.append(SimpleNamespace(info=SimpleNamespace(run_id=f"run{len(self.runs)}"), tags=tags))
        return self.runs[-1]

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        self.logged.append((run, value, step))


def test_mlflow_knows_a_continued_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mlflow")
    module.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    require_trackers(("mlflow",))
    for epoch in (1, 2):
        track(("mlflow",), "/runs/a", {**FACTS, "epoch": epoch})
    track(("mlflow",), "/runs/b", FACTS)
    assert Client.logged == [("run0", 0.75, 1), ("run0", 0.75, 2), ("run1", 0.75, 2)]


def test_a_tracker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="mlflow, tensorboard"):
        require_trackers(("paper",))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(BadInput, match="needs the package mlflow"):
        require_trackers(("mlflow",))
