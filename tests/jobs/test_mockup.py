"""The job from the command line, and the page that it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import write_pictures

from gencv.core import tables
from gencv.diffusion.surface import quad
from gencv.diffusion.template import plain, save

Job = Callable[..., tuple[int, str, str]]


def write_card(folder: Path) -> Path:
    photo = np.full((64, 64, 3), 90, np.uint8)
    save(plain("card", photo, quad([(8, 8), (56, 8), (56, 56), (8, 56)], 64, 64), print_mm=(48, 48)), str(folder))
    return folder


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_products_times_templates_and_again_only_what_is_missing(job: Job, tmp_path: Path, ray_local: str) -> None:
    paths = write_pictures(tmp_path / "p", 3)
    paths[2].write_bytes(b"no picture")
    flags = (
        "--products",
        tmp_path / "p",
        "--templates",
        "box",
        write_card(tmp_path / "card"),
        "--out",
        tmp_path / "out",
    )
    flags = (*flags, "--max-bad-fraction", "0.5")
    assert job("mockup", *flags)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").iterdir()}
    assert len(before) == 4
    (tmp_path / "out" / "made" / "part-000001.parquet").unlink()  # as if it had been killed before it was done
    assert job("mockup", *flags)[0] == 0
    again = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert again == {"0001-box.png", "0001-card.png"}
    rows = tables.read_table(str(tmp_path / "out" / "pictures.parquet")).to_pylist()
    assert [row["error"] for row in rows] == [None] * 4 + ["not_an_image"] * 2
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["counts"]["mockups"] == 4 and facts["num_bad"] == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 products on 2 templates" in page and "0002 on box" in page and page.count("<img") == 1
    code, _, stderr = job("mockup", *flags[:-4], "--fit", "contain", "--out", tmp_path / "out")
    assert code == 2 and "fit was 'cover', now 'contain'" in stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--templates", "cup"], "Unknown template 'cup'; known: box, mug"),
        (["--templates", "box", "--fit", "stretch"], "contain, cover"),
        (["--templates", "box", "--art", "sketch"], "cutout, photo"),
        (["--templates", "card", "./card"], "no pictures of products"),
        (["--templates", "card", "copy"], "have one name: card, card"),
        (["--templates", "knot"], "crosses itself"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_card(tmp_path / "card")
    write_card(tmp_path / "copy")
    knot = write_card(tmp_path / "knot") / "template.json"
    values = json.loads(knot.read_text())
    values["surface"][0].reverse()
    knot.write_text(json.dumps(values))
    code, _, stderr = job("mockup", "--products", "empty", *flags, "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
