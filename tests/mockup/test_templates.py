"""The templates that code draws: complete, the same every time, and fit to print on."""

from pathlib import Path

import numpy as np
import pytest
from fakes import picture

from gencv.core.errors import BadInput, UnknownName
from gencv.mockup import render as printing
from gencv.mockup.surface import as_surface
from gencv.mockup.template import load, save
from gencv.mockup.templates import TEMPLATES, template_of


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_drawn_template_is_whole_and_prints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "SAMPLES", 1)  # sixteen times as fast; how it samples is of test_render.py
    template = template_of(name)
    height, width = template.mask.shape
    assert template.name == name and template.photo.shape == (height, width, 3) and template.photo.dtype == np.uint8
    as_surface(template.surface, width, height)
    for part in (template.mask, template.shading, template.highlight):
        assert part.shape == (height, width) and np.isfinite(part).all() and part.min() >= 0
    assert template.displacement.shape == (height, width, 2) and np.abs(template.displacement).max() < 12
    assert template.mask.max() <= 1 and template.highlight.max() < 0.8 and template.shading.max() < 1.6
    made, fidelity = printing.render(template, picture(1, 400, 500))
    assert fidelity.coverage is not None and fidelity.coverage > 0.97
    assert fidelity.colour_shift is not None and fidelity.colour_shift < 12
    changed = (made != template.photo).any(axis=2)
    assert 0.08 < changed.mean() < 0.6 and not changed[:20].any()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_drawn_the_same_every_time(name: str) -> None:
    assert TEMPLATES[name]().digest() == template_of(name).digest()


def test_a_template_may_lie_in_a_folder(tmp_path: Path) -> None:
    save(template_of("box"), str(tmp_path / "mine"))
    assert template_of(str(tmp_path / "mine")).digest() == load(str(tmp_path / "mine")).digest()
    with pytest.raises(BadInput, match=r"template\.json is not there"):
        template_of(str(tmp_path / "yours"))
    with pytest.raises(UnknownName, match="box, mug"):
        template_of("cup")
