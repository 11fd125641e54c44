"""Tiny painters for every test of this folder."""

import pytest
from painters import make_sd, make_sdxl, painter_of

from gencv.diffusion.painter import DiffusionPainter


@pytest.fixture(scope="session")
def sd() -> DiffusionPainter:
    return painter_of(make_sd())


@pytest.fixture(scope="session")
def sdxl() -> DiffusionPainter:
    return painter_of(make_sdxl())
