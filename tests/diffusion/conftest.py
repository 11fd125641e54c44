"""Tiny painters for every test of this folder."""

import cv2
import pytest
from painters import disc, make_sd, make_sdxl, painter_of

from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.starter_pictures import Art, names


@pytest.fixture(scope="session")
def sd() -> DiffusionPainter:
    return painter_of(make_sd())


@pytest.fixture(scope="session")
def sdxl() -> DiffusionPainter:
    return painter_of(make_sdxl())


@pytest.fixture(scope="session")
def art(tmp_path_factory: pytest.TempPathFactory) -> Art:
    """Discs in the place of emoji: red ones, but for a grey airplane."""
    folder = tmp_path_factory.mktemp("art")
    for name, file in names().items():
        drawn = disc((120, 120, 120) if name == "airplane" else (220, 30, 30))
        cv2.imwrite(str(folder / file), cv2.cvtColor(drawn, cv2.COLOR_RGBA2BGRA))
    return Art(folder)
