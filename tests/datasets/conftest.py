"""Small pictures for the tests of sources."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def jpeg() -> Callable[[int], bytes]:
    """Make the bytes of a small JPEG, other ones for each number."""

    def make(number: int) -> bytes:
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        return buffer.getvalue()

    return make


@pytest.fixture
def tree(tmp_path: Path, jpeg: Callable[[int], bytes]) -> Callable[..., Path]:
    """Write a picture at each of some relative paths and return their root."""

    def write(*paths: str, root: str = "data") -> Path:
        for number, path in enumerate(paths):
            file = tmp_path / root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jpeg(number))
        return tmp_path / root

    return write
