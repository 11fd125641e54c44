"""Which cluster is connected to, where Ray's own note of one outlived it."""

from contextlib import closing
from socket import create_server

import pytest

from gencv.core.errors import BadInput
from gencv.pipelines import cluster


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note of a cluster at a port where nobody listens any more."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with closing(create_server(("127.0.0.1", 0))) as server:
        address = "127.0.0.1:{1}".format(*server.getsockname())
    monkeypatch.setattr(cluster, "read_ray_address", lambda: address)


@pytest.mark.usefixtures("dead")
def test_a_cluster_that_was_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert cluster.living(None) == "local"
    assert cluster.living("192.0.2.1:6379") == "192.0.2.1:6379", "what is given is meant"
    assert not cluster.is_there(None)
    with pytest.raises(BadInput, match="No Ray cluster answers"):
        cluster.living("auto")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert cluster.living(None) is None


def test_a_cluster_that_runs_or_none_at_all_is_rays_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "read_ray_address", lambda: None)
    assert cluster.living(None) is None and cluster.living("auto") == "auto"
    with closing(create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setattr(cluster, "read_ray_address", lambda: "127.0.0.1:{1}".format(*server.getsockname()))
        assert cluster.living(None) is None and cluster.living("auto") == "auto"
