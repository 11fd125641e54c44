"""What is given to a cluster says what Ray and our own settings accept."""

from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serving.settings import Common

ROOT = Path(__file__).parents[1]


def kuberay() -> dict[str, Any]:
    (found,) = yaml.safe_load_all((ROOT / "deploy" / "kuberay.yaml").read_text())
    return dict(found)


def serve_configs() -> dict[str, dict[str, Any]]:
    return {
        "serving/config.yaml": yaml.safe_load((ROOT / "serving" / "config.yaml").read_text()),
        "deploy/kuberay.yaml": yaml.safe_load(kuberay()["spec"]["serveConfigV2"]),
    }


def test_ray_accepts_the_cluster() -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(cluster))
    with pytest.raises(ValidationError):
        validate_config(prepare_config(cluster | {"max_worker": 1}))


def test_the_cluster_is_closed_and_idle_by_default() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    head, *workers = cluster["available_node_types"].values()
    assert head["resources"] == {"CPU": 0} and {one["min_workers"] for one in workers} == {0}
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]


@pytest.mark.parametrize("place", ["serving/config.yaml", "deploy/kuberay.yaml"])
def test_serve_and_our_settings_accept_the_applications(place: str) -> None:
    config = serve_configs()[place]
    ServeDeploySchema.model_validate(config)
    for application in config["applications"]:
        module, _, name = application["import_path"].partition(":")
        settings = get_type_hints(getattr(import_module(module), name))["args"]
        assert issubclass(settings, Common)
        made = settings(**application["args"])
        if config["http_options"]["host"] != "127.0.0.1":
            assert made.door.keys_path, "open to others, and without keys"


def test_kubernetes_serves_all_that_a_machine_does() -> None:
    here, there = ({one["import_path"] for one in config["applications"]} for config in serve_configs().values())
    assert here == there


def test_the_pods_have_what_the_applications_name() -> None:
    """Keys and models lie where pods mount them, and nothing is written to what is mounted to be read."""
    applications = serve_configs()["deploy/kuberay.yaml"]["applications"]
    cluster = kuberay()["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for place in paths_in([one["args"] for one in applications]):
            assert any(place.startswith(f"{mount}/") for mount in mounts), place
    (search,) = (one["args"] for one in applications if one["name"] == "search")
    assert not search.get("writable")


def paths_in(value: Any) -> list[str]:
    """Return all absolute paths in settings."""
    if isinstance(value, str):
        return [value] if value.startswith("/") else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [path for one in inner for path in paths_in(one)]


def test_kubernetes_runs_the_same_version_everywhere() -> None:
    import ray

    cluster = kuberay()["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == ray.__version__ and cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {one["image"] for group in groups for one in group["template"]["spec"]["containers"]}
    assert images == {yaml.safe_load((ROOT / "cluster.yaml").read_text())["docker"]["image"]}
