"""The job from the command line, and the page that it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import disc_layer
from painters import save_sd
from PIL import Image

from gencv.core import tables
from gencv.mockup.surface import quad
from gencv.mockup.template import plain, save
from gencv.pipelines import cluster, mockup

Job = Callable[..., tuple[int, str, str]]


def write_card(folder: Path, name: str = "card") -> Path:
    photo = np.full((64, 64, 3), 90, np.uint8)
    save(plain(name, photo, quad([(8, 8), (56, 8), (56, 56), (8, 56)], 64, 64), print_mm=(48, 48)), str(folder))
    return folder


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_products_times_templates_and_again_only_what_is_missing(
    job: Job, tmp_path: Path, ray_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").mkdir()
    for number in range(2):
        Image.fromarray(disc_layer(80 - number)).save(tmp_path / "p" / f"000{number}.png")
    (tmp_path / "p" / "0002.jpg").write_bytes(b"no picture")
    save_sd(tmp_path / "painter")
    beach = {"name": "beach", "prompt": "sand", "width": 96, "height": 96, "num_inference_steps": 2}
    (tmp_path / "beach.json").write_text(json.dumps(beach))
    flags = (
        "--products",
        tmp_path / "p",
        "--templates",
        write_card(tmp_path / "sheet", "sheet"),
        write_card(tmp_path / "card"),
        "--scenes",
        tmp_path / "beach.json",
        "--painter",
        tmp_path / "painter",
        "--out",
        tmp_path / "out",
    )
    flags = (*flags, "--max-bad-fraction", "0.5", "--workers", "1")  # each worker loads the painter
    assert job("mockup", *flags)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").iterdir()}
    assert len(before) == 6
    (tmp_path / "out" / "made" / "part-000001.parquet").unlink()  # as if it had been killed before it was done
    monkeypatch.setattr(cluster, "num_cpus_here", lambda: 60)  # as if it went on on another machine
    backwards = sorted((tmp_path / "p").iterdir(), reverse=True)  # the same products, so the same run
    assert job("mockup", "--products", *backwards, *flags[2:])[0] == 0
    again = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert again == {"p-0001--sheet.png", "p-0001--card.png", "p-0001--beach.png"}
    rows = tables.read_table(str(tmp_path / "out" / "pictures.parquet")).to_pylist()
    assert [row["error"] for row in rows] == [None] * 6 + ["not_an_image"] * 3
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["counts"]["mockups"] == 6 and facts["num_bad"] == 3
    painted = [row for row in rows if row["kind"] == "scene" and not row["error"]]
    assert [(row["interior_difference"], row["finish_reason"]) for row in painted] == [(0, "done")] * 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        "3 products on 2 templates: sheet, card; in 1 scene: beach" in page
        and "p-0002 on sheet" in page
        and "its licence is not known here" in page
        and page.count("<img") == 3
    )
    assert facts["inputs"]["device"] == "cpu" and 1 <= int(facts["inputs"]["threads"]) < 20
    assert facts["figures"]["most_interior_difference"] == 0
    code, _, stderr = job("mockup", *flags[:-6], "--fit", "contain", "--out", tmp_path / "out")
    assert code == 2 and "fit was 'cover', now 'contain'" in stderr
    save_sd(tmp_path / "painter", brighter=0.5)
    mockup._loaded.cache_clear()  # as a process of its own would begin
    code, _, stderr = job("mockup", *flags)
    assert code == 2 and "weights was" in stderr and "device" not in stderr and "threads" not in stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--device", "cuda"], "painted on a GPU, as --device"),
        (["--painter", "nobody"], "Unknown painter 'nobody'"),
        (["--painter", "here/painter"], "holds no model_index.json"),
    ],
)
def test_a_scene_that_nobody_can_paint_is_refused_before_any_work(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("RAY_ADDRESS", "local")  # whatever else runs on this machine
    (tmp_path / "here" / "painter").mkdir(parents=True)
    code, _, stderr = job("mockup", "--products", "starter:coffee", "--scenes", "studio", *flags, "--out", "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_identity_of_no_use_is_said_before_any_work(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "identity"))
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "key.pem").write_text("no key")
    code, _, stderr = job("mockup", "--products", "starter:coffee", "--templates", "mug", "--out", tmp_path / "out")
    assert code == 2 and "chain.pem" in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--templates", "cup"], "Unknown template 'cup'; known: box, mug"),
        (["--templates", "box", "--fit", "stretch"], "contain, cover"),
        (["--templates", "box", "--art", "sketch"], "cutout, photo"),
        (["--templates", "card", "./card"], "no pictures of products"),
        (["--scenes", "moon"], "Unknown scene 'moon'; known: evening, meadow"),
        (["--scenes", "studio", "--speed", "warp"], "Unknown speed 'warp'"),
        (["--scenes", "studio", "--device", "tpu"], "auto, cpu, cuda"),
        (["--scenes", "high.json"], "contradicts itself"),
        (["--templates", "card", "--scenes", "card.json"], "have one name: card, card"),
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
    (tmp_path / "high.json").write_text('{"name": "high", "prompt": "x", "place": [0.5, 0.3]}')
    (tmp_path / "card.json").write_text('{"name": "card", "prompt": "x"}')
    knot = write_card(tmp_path / "knot") / "template.json"
    values = json.loads(knot.read_text())
    values["surface"][0].reverse()
    knot.write_text(json.dumps(values))
    code, _, stderr = job("mockup", "--products", "empty", *flags, "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
