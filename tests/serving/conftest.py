"""Clients of applications that run in this process, without Ray."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def client() -> Callable[[FastAPI], TestClient]:
    """Return a client on the same machine, as the proxy tells an application of one."""

    def of(api: FastAPI, host: str = "127.0.0.1") -> TestClient:
        return TestClient(api, base_url=LOCAL, client=(host, 50000), raise_server_exceptions=False)

    return of
