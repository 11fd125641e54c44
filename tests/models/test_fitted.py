"""What a bundle remembers of the pictures that it was fitted on, and what it refuses to be judged on."""

from pathlib import Path

import pytest
from fakes import manifest

from gencv.core import tables
from gencv.core.errors import BadInput
from gencv.core.record import Split
from gencv.models import fitted

SPLITS = ["train"] * 10 + ["val"] * 4 + ["test"] * 6


@pytest.fixture
def folder(tmp_path: Path) -> str:
    labels = [None if k == 9 else k % 2 for k in range(20)]
    errors = ["corrupt" if k == 8 else None for k in range(20)]
    fitted.record(manifest(20, split=SPLITS, label=labels, error=errors), str(tmp_path))
    return str(tmp_path)


def test_the_record_holds_what_was_trained_on_and_what_set_thresholds(folder: str) -> None:
    rows = tables.read_table(f"{folder}/{fitted.FILE}").to_pylist()
    assert [row["split"] for row in rows] == ["train"] * 8 + ["val"] * 4
    assert [row["digest"] for row in rows] == sorted(row["digest"] for row in rows)


def test_unseen_pictures_pass_with_a_sentence(folder: str) -> None:
    rows = manifest(20, split=SPLITS)
    said = fitted.require_unseen(folder, rows.where(split=Split.TEST), Split.TEST)
    assert said == "None of these pictures is among the 12 that the bundle was fitted on."
    said = fitted.require_unseen(folder, rows.where(split=Split.VAL), Split.VAL)
    assert "set on 4 of these pictures" in said


def test_pictures_of_the_training_are_refused_with_their_digests(folder: str) -> None:
    rows = manifest(5, split="test")  # the first five, under another name and split
    for split in (Split.TEST, Split.VAL):
        with pytest.raises(BadInput, match="trained on 5 of the 5 pictures") as refused:
            fitted.require_unseen(folder, rows, split)
        assert str(refused.value).count(rows["id"][0]) == 1 and rows["id"][2] in str(refused.value)
        assert rows["id"][3] not in str(refused.value)
    assert "trained on 5 of these 5" in fitted.require_unseen(folder, rows, Split.TRAIN)


def test_a_bundle_without_a_record_says_so(tmp_path: Path) -> None:
    assert "does not say" in fitted.require_unseen(str(tmp_path), manifest(3), Split.TEST)


def test_a_bundle_of_another_task_is_refused() -> None:
    def described(task: str, **families: int) -> dict[str, object]:
        return {"task": task, "training": {"counts": {"family": families}}}

    generated = manifest(4)
    spoofs = manifest(4, family=["real", "replay"] * 2)
    unknown = manifest(4, family=["real", "unknown"] * 2)
    mixed = manifest(4, family=["real", "replay", "real", "diffusion"])
    with pytest.raises(BadInput, match=r"tells spoof pictures .* are generated \(diffusion\)"):
        fitted.require_task(described("spoof", real=4, print=4), generated)
    with pytest.raises(BadInput, match=r"tells generated pictures .* are spoof \(replay\)"):
        fitted.require_task(described("generated", real=4, gan=4), spoofs)
    fitted.require_task(described("spoof", real=4, print=4), spoofs)
    fitted.require_task(described("generated", real=4, gan=4), generated)
    fitted.require_task(described("generated", real=4, replay=4, gan=4), spoofs)  # it learnt both
    fitted.require_task(described("generated", gan=1), mixed)
    for task in ("spoof", "generated"):
        fitted.require_task(described(task), unknown)
        fitted.require_task({"task": task, "training": {}}, unknown)
        fitted.require_task(described(task), manifest(4, label=0, family="real"))
