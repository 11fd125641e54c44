"""The jobs take the commands of docs/recipes.md, and those that the README names without running them."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from conftest import load_job
from fakes import manifest

from gencv.core.errors import BadSource
from gencv.datasets import hub
from gencv.datasets.sources import read_source
from gencv.models.recipes import RECIPES
from gencv.pipelines.finetune import variants_of
from gencv.runs.launch import parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/recipes.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"`(python jobs/[^`\n]+)`", PAGE + (ROOT / "README.md").read_text())
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [shlex.split(line) for line in (*LINES, *INLINE) if line.startswith("python jobs/")]


def config_of(command: list[str]) -> Any:
    """Return the configuration that a command line gives."""
    python, job, *argv = command
    assert python == "python" and (ROOT / job).is_file(), command
    module = load_job(Path(job).stem)
    return parse(get_type_hints(module.main)["config"], argv, "", Path(job).stem)


def test_every_recipe_has_its_command() -> None:
    named = {config_of(command).recipe for command in COMMANDS if "jobs/finetune.py" in command}
    assert named == RECIPES.keys()
    assert [name for name in RECIPES if f"`{name}`" not in PAGE] == []


def test_the_readme_names_a_training() -> None:
    assert any("jobs/finetune.py" in line for line in INLINE)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_command_is_one_that_the_job_takes(command: list[str]) -> None:
    config_of(command)


@pytest.mark.parametrize("text", sorted({s for c in COMMANDS for w, s in pairwise(c) if w == "--source"}))
def test_the_source_has_a_known_kind_and_known_keys(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_load_hub", lambda name: {})
    try:
        read_source(text)
    except BadSource as error:  # its pictures are not here, and that is all
        assert re.search(r" is not there|gives no pictures|cannot be read|cannot be listed", str(error)), error


@pytest.mark.parametrize("command", [c for c in COMMANDS if "jobs/finetune.py" in c], ids=" ".join)
def test_no_two_trainings_of_a_run_are_the_same(command: list[str]) -> None:
    config = config_of(command)
    pictures = manifest(12, generator=["camera", "sd15", "camera", "progan"] * 3, split=["train"] * 12)
    variants = variants_of(pictures, config.settings, scales=config.scale, treatments=config.treatments, per=config.per)
    assert len({(variant.recipe, variant.trained_on) for variant in variants}) == len(variants)
    assert not [variant for variant in variants if "{" in variant.recipe.network]
