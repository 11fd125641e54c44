"""Follow a training elsewhere: the figures of each epoch to TensorBoard or MLflow, where one is asked for."""

import importlib
from collections.abc import Callable
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadInput, UnknownName


def require_trackers(names: tuple[str, ...]) -> None:
    """Raise UnknownName for a tracker that does not exist, BadInput for one that is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        try:
            importlib.import_module(MODULES[name])
        except ImportError:
            raise BadInput(f"--track {name} needs the package {MODULES[name]}, which is not installed.") from None


def track(names: tuple[str, ...], out: str, facts: dict[str, Any]) -> None:
    """Hand on the numbers of one epoch. out: the run's folder, by which a continued run is known again."""
    figures = {key: float(value) for key, value in facts.items() if isinstance(value, int | float) and key != "epoch"}
    for name in names:
        TRACKERS[name](out, figures, int(facts["epoch"]))


def to_tensorboard(out: str, figures: dict[str, float], epoch: int) -> None:
    """Write event files into OUT/tensorboard."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(storage.join(out, "tensorboard")) as writer:
        for name, value in figures.items():
            writer.add_scalar(name, value, epoch)


def to_mlflow(out: str, figures: dict[str, float], epoch: int) -> None:
    """Log to the server of MLFLOW_TRACKING_URI (else ./mlruns), experiment `gencv`, one run for each run's folder."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("gencv")
    number = experiment.experiment_id if experiment else client.create_experiment("gencv")
    found = client.search_runs([number], f"tags.`gencv.out` = '{out}'", max_results=1)
    run = found[0] if found else client.create_run(number, tags={"gencv.out": out})
    for name, value in figures.items():
        client.log_metric(run.info.run_id, name, value, step=epoch)


MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}
TRACKERS: dict[str, Callable[[str, dict[str, float], int], None]] = {
    "tensorboard": to_tensorboard,
    "mlflow": to_mlflow,
}
