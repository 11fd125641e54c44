"""The audit: one sentence for what it cannot judge, and real pictures before and after they are aligned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import manifest, manifest_of, rows, write_embeddings, write_pictures

from gencv.core.manifest import Manifest

Job = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"label": 0}, "are genuine; an audit needs positive ones"),
        ({"label": 1}, "are positive; an audit needs genuine ones"),
        ({"label": None}, "have no labels"),
        ({"split": "train"}, "lie in the split train"),
        ({"error": "missing"}, "have no labels"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(job: Job, tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    splits = {"split": ["train", "train", "test", "test"]}
    manifest(4, **{**splits, **columns}).save(str(tmp_path / "m"))
    code, _, stderr = job("audit", "--manifest", tmp_path / "m", "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_embeddings_that_are_none_or_of_other_pictures(job: Job, tmp_path: Path) -> None:
    mine = manifest(4, split=["train", "train", "test", "test"])
    mine.save(str(tmp_path / "m"))
    others = manifest(3, id=["x", "y", mine["id"][0]])
    write_embeddings(others, np.eye(3, dtype=np.float32), tmp_path / "others")
    call = ("audit", "--manifest", tmp_path / "m", "--out", tmp_path / "out")
    for flags, says in (
        (("--embeddings", tmp_path / "absent"), "holds no finished embeddings"),
        (("--embeddings", tmp_path / "others"), "no vectors for 3 of 4 pictures"),
        (("--neighbour-cosine", ".9"), "nothing without --embeddings"),
        (("--embeddings", tmp_path / "others", "--neighbour-cosine", "2"), "from 0 to 1"),
    ):
        code, _, stderr = job(*call, *flags)
        assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def figures_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "audit.json").read_text())
    return found


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_real_pictures_before_and_after_they_are_aligned(
    job: Job, shared: Path, tmp_path: Path, ray_local: str
) -> None:
    sources = (
        "products?label=0&generator=camera&group=folder",
        "coco_captions/images?label=0&generator=camera",
        "sd_tiles?label=1&generator=sd&family=diffusion&group=stem&fraction=.2",
        "sd3_portraits?label=1&generator=sd3&family=diffusion&fraction=.7",
    )
    native, aligned = tmp_path / "native", tmp_path / "aligned"
    flags = [word for source in sources for word in ("--source", f"folder:{shared}/{source}")]
    assert job("manifest", *flags, "--splits", ".6", ".2", ".2", "--out", native)[0] == 0

    code, _, stderr = job("audit", "--manifest", native, "--out", tmp_path / "before")
    before = figures_of(tmp_path / "before")
    container, content = before["shortcuts"]
    assert code == 3 and "preprocess --align" in stderr and not before["fit_to_train_on"]
    assert container["auroc"]["low"] > 0.9 and container["facts"][0]["fact"] in ("width", "height", "quality")
    assert "Not fit to train on" in (tmp_path / "before" / "report.html").read_text()
    assert before["findings"][0]["level"] == "fail"

    assert job("preprocess", "--manifest", native, "--align", "--out", aligned)[0] == 0
    made = Manifest.load(str(aligned)).preprocessing
    assert made is not None and made["align"] and made["jpeg_quality"] == [70, 95] and made["blur_probability"] == 0
    code, stdout, _ = job("audit", "--manifest", aligned, "--out", tmp_path / "after")
    after = figures_of(tmp_path / "after")
    container, content = after["shortcuts"]
    assert code == 0 and after["fit_to_train_on"] and "forbids training" in stdout
    assert container["auroc"]["low"] <= 0.5 <= container["auroc"]["high"]
    assert content["auroc"]["value"] > container["auroc"]["value"], "the classes show different things still"
    assert all(leak["count"] == 0 for leak in before["leaks"] + after["leaks"])

    # The same command again does nothing and says the same.
    assert job("audit", "--manifest", aligned, "--out", tmp_path / "after")[0] == 0
    assert figures_of(tmp_path / "after") == after


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_leaks_doubts_and_unreadable_pictures(job: Job, tmp_path: Path, ray_local: str) -> None:
    paths = write_pictures(tmp_path / "pictures", 100)
    labels = [index % 2 for index in range(100)]
    drawn = np.random.default_rng(0).normal(0, 0.3, (100, 8)).astype(np.float32)
    drawn[:, 0] += np.array(labels) * 2 - 1
    drawn[40] = drawn[71]  # of the other class, and in another split
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    groups = [f"g{index}" for index in range(100)]
    splits = ["train"] * 70 + ["test"] * 30
    clean = manifest_of(paths, group=groups, split=splits, label=labels)
    write_embeddings(clean, vectors, tmp_path / "embeddings")
    groups[80] = "g3"  # one identity in two splits: refused by all other jobs, and reported by this one
    leaking = manifest_of(paths, group=groups, split=splits, label=labels)
    leaking.save(str(tmp_path / "m"))
    paths[99].write_bytes(b"no longer what the manifest names")
    assert job("preprocess", "--manifest", tmp_path / "m", "--out", tmp_path / "refused")[0] == 2

    call = ("audit", "--manifest", tmp_path / "m", "--embeddings", tmp_path / "embeddings", "--out", tmp_path / "out")
    code, _, stderr = job(*call)
    found = figures_of(tmp_path / "out")
    assert code == 3 and "1 groups (identities or source photographs) lie in two splits" in stderr
    counts = {leak["kind"]: leak["count"] for leak in found["leaks"]}
    assert counts["groups"] == 1 and counts["same_bytes"] == 0 and counts["neighbours"] >= 1
    assert found["leaks"][-1]["pairs"][0][:2] == [clean["id"][71], clean["id"][40]]
    assert found["doubts"]["pictures"][0]["uri"] == str(paths[40])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["bad"] == [{"uri": str(paths[99]), "error": "changed"}]
    assert report["figures"]["audit_digest"] == found["audit_digest"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Doubtful labels" in page and "doubtful labels" in page and str(paths[99]) in page


def test_an_audit_lets_pass_what_it_reports_and_nothing_else(tmp_path: Path) -> None:
    twice = pa.concat_tables([rows(2), rows(2)])
    Manifest(twice).save(str(tmp_path / "twice"))
    assert len(Manifest.load(str(tmp_path / "twice"), to_audit=True)) == 4
    with pytest.raises(Exception, match="twice"):
        Manifest.load(str(tmp_path / "twice"))
    manifest(2, label=[0, 5]).save(str(tmp_path / "odd"))
    with pytest.raises(Exception, match="labels"):
        Manifest.load(str(tmp_path / "odd"), to_audit=True)
