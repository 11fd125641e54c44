"""Search on real photographs with the starter encoder: recipe R7's question, and the protocol's figures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Job = Callable[..., tuple[int, str, str]]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def index(job: Job, source: str, folder: Path) -> Path:
    for command in (
        ("manifest", "--source", source, "--out", folder / "manifest"),
        ("index", "--manifest", folder / "manifest", "--encoder", "starter", "--out", folder / "index"),
    ):
        code, _, stderr = job(*command)
        assert code == 0, stderr
    return folder / "index"


def test_a_cat_is_found_among_products(job: Job, shared: Path, tmp_path: Path) -> None:
    folder = index(job, f"folder:{shared / 'products'}?label=0&generator=camera", tmp_path)
    flags = ("--query", "a cat", "-k", "3", "--out", tmp_path / "cats")
    code, stdout, stderr = job("index", "--index", folder, *flags)
    assert code == 0, stderr
    assert all("/cat" in line for line in stdout.splitlines()[:3]) and "No good match" not in stdout
    assert (tmp_path / "cats" / "report.html").exists()


def test_captions_find_their_photographs(job: Job, shared: Path, tmp_path: Path) -> None:
    captions = shared / "coco_captions"
    folder = index(job, f"coco:{captions / 'captions.json'}?images={captions / 'images'}", tmp_path)
    code, stdout, stderr = job("index", "--index", folder, "--evaluate", "--out", tmp_path / "judged")
    assert code == 0, stderr
    told = json.loads((tmp_path / "judged" / "retrieval.json").read_text())["retrieval"]
    for way in ("exact", "through the index"):
        figures = told[f"text to image, {way}"]["figures"]
        assert told[f"text to image, {way}"]["num_queries"] == 255
        assert figures["recall@1"]["value"] >= 0.40 and figures["recall@10"]["value"] >= 0.90
        assert f"text to image, {way}" in stdout
    assert told["image to text, exact"]["figures"]["recall@1"]["value"] >= 0.40
