"""Tiny painters for every test of this folder."""

import json
from pathlib import Path

import pytest
from painters import make_sd, make_sdxl, painter_of

from gencv.diffusion.painter import DiffusionPainter


@pytest.fixture(scope="session")
def sd() -> DiffusionPainter:
    return painter_of(make_sd())


@pytest.fixture(scope="session")
def sdxl() -> DiffusionPainter:
    return painter_of(make_sdxl())


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painter")
    make_sd().save_pretrained(folder)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "StableDiffusionPipeline"
    return folder
