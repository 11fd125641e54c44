"""An identity for the tests, so that none is made in the user's own folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def identity_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity") / "own"


@pytest.fixture(autouse=True)
def own_identity(identity_folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENCV_IDENTITY", str(identity_folder))
        yield
