"""The comparison from the command line, on what needs no Ray; `test_vertical` judges with bundles."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import blobs, manifest, write_embeddings, write_evaluation

from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.evaluate.thresholds import Threshold

Job = Callable[..., tuple[int, str, str]]
NAMES = ("camera", "sd", "gan", "print")


def pictures(first: int = 0, names: tuple[str, ...] = NAMES, **columns: Any) -> Manifest:
    """Forty pictures of every name in every split."""
    num = 120 * len(names)
    split = [("train", "val", "test")[k // (40 * len(names))] for k in range(num)]
    generator = [names[k % len(names)] for k in range(num)]
    known = {
        "id": [f"{first + k:032x}" for k in range(num)],
        "group": [f"g{first + k}" for k in range(num)],
        "generator": generator,
        "family": ["real" if name == "camera" else name for name in generator],
        "label": [int(name != "camera") for name in generator],
        "split": split,
    }
    return manifest(num, **{**known, **columns})


def vectors_of(of: Manifest) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, 0.4, (len(of), 8)).astype(np.float32)
    for k, name in enumerate(NAMES):
        drawn[[generator == name for generator in of["generator"]], k] += 1
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    of = pictures()
    write_embeddings(of, vectors_of(of), tmp_path / "embeddings")
    return tmp_path / "embeddings"


def sentence(result: tuple[int, str, str]) -> str:
    code, _, stderr = result
    assert code == 2 and len(stderr.strip().splitlines()) == 1, stderr
    return stderr


def test_train_on_one_test_on_another(job: Job, embeddings: Path, tmp_path: Path) -> None:
    call = ("compare", "--embeddings", embeddings, "--probe", "nearest", "--out", tmp_path / "out")
    code, stdout, _ = job(*call)
    assert code == 0 and "Held out, mean AUROC 0." in stdout and "the worst is AUROC" in stdout
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {cell["is_held_out"] for cell in told["cells"] if cell["training"] == cell["generator"]} == {False}
    assert len(told["cells"]) == 15 and told["held_out"]["value"] < told["seen"]["value"]
    figures = json.loads((tmp_path / "out" / "report.json").read_text())["figures"]
    assert (
        figures["worst_auroc"]
        == told["cells"][0]["auroc"]["value"]
        == min(cell["auroc"]["value"] for cell in told["cells"] if cell["is_held_out"])
    )
    assert "Every pair, worst first" in (tmp_path / "out" / "report.html").read_text()
    before = (tmp_path / "out" / "compare.json").read_text()
    assert job(*call)[0] == 0 and (tmp_path / "out" / "compare.json").read_text() == before


def test_the_order_of_the_pictures_changes_nothing(job: Job, embeddings: Path, tmp_path: Path) -> None:
    of = Manifest.load(str(embeddings))
    order = np.random.default_rng(1).permutation(len(of))
    write_embeddings(Manifest(of.table.take(order)), vectors_of(of)[order], tmp_path / "shuffled")
    told = []
    for name in ("embeddings", "shuffled"):
        assert job("compare", "--embeddings", tmp_path / name, "--out", tmp_path / f"of-{name}")[0] == 0
        told.append(json.loads((tmp_path / f"of-{name}" / "compare.json").read_text()))
    one, other = ([cell["auroc"]["value"] for cell in each["cells"]] for each in told)
    assert one == pytest.approx(other)


def test_generators_may_come_in_several_folders(job: Job, embeddings: Path, tmp_path: Path) -> None:
    more = pictures(10_000, ("camera", "replay"))
    write_embeddings(more, np.roll(vectors_of(more), 5, axis=1), tmp_path / "more")
    assert job("compare", "--embeddings", embeddings, tmp_path / "more", "--out", tmp_path / "out")[0] == 0
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {cell["generator"] for cell in told["cells"]} == {"sd", "gan", "print", "replay"}


def test_embeddings_that_cannot_be_compared(job: Job, embeddings: Path, tmp_path: Path) -> None:
    write_embeddings(pictures(10_000), vectors_of(pictures()), tmp_path / "other", weights="others")
    of = pictures(20_000, ("camera", "sd"))
    write_embeddings(of, vectors_of(of), tmp_path / "one")
    write_embeddings(pictures(label=0), vectors_of(pictures()), tmp_path / "genuine")
    kept = of.where([split != "val" for split in of["split"]])
    write_embeddings(kept, vectors_of(kept), tmp_path / "no-val")
    for folders, says in (
        (("embeddings", "embeddings"), "is given twice"),
        (("embeddings", "other"), "different spaces"),
        (("one",), "All positives are of one generator, sd"),
        (("genuine",), "There are no positive training pictures"),
        (("no-val",), "no genuine validation pictures"),
        (("absent",), "holds no finished embeddings"),
    ):
        paths = [tmp_path / name for name in folders]
        assert says in sentence(job("compare", "--embeddings", *paths, "--out", tmp_path / "out"))
        assert not (tmp_path / "out").exists()


def test_evaluations_side_by_side(job: Job, tmp_path: Path) -> None:
    of = pictures(source=["web", "phone"] * 240).where([split == "test" for split in pictures()["split"]])
    rng = np.random.default_rng(0)
    truth = np.array(of["label"])
    scores = [np.clip(gap * truth + rng.uniform(0, 1, len(of)) * (1 - gap / 2), 0, 1) for gap in (0.8, 0.3)]
    scores[0][:3] = np.nan
    for name, each in zip(("weak", "strong"), reversed(scores), strict=True):
        write_evaluation(tmp_path / name, of, each)
    call = ("compare", "--evaluations", tmp_path / "weak", tmp_path / "strong", "--out", tmp_path / "out")
    code, stdout, stderr = job(*call)
    assert code == 0, stderr
    assert stdout.startswith("strong is better than weak: AUROC +0.")
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert told["names"] == ["strong", "weak"] and told["num_pictures"] == 160
    assert told["metrics"]["strong"]["num_unanswered"]["value"] == 3
    assert told["detectors"]["weak"]["threshold"]["value"] == 0.5
    sources = {row["source"] for row in told["generators"]["weak"] if row["is_genuine"]}
    assert sources == {"web"}, "every camera's picture is even in number"
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("strong is better than weak") < page.index("Where they fail")
    assert job(*call)[0] == 0
    named = (*call[:-1], tmp_path / "named", "--names", "first", "second")
    assert job(*named)[0] == 0
    assert json.loads((tmp_path / "named" / "compare.json").read_text())["names"] == ["second", "first"]


def write_bundles(folder: Path, **changes: dict[str, Any]) -> None:
    """Bundles `a` and `b`, fitted on nothing real, and others whose description is changed, for what never loads it."""
    from gencv.models import bundle
    from gencv.models.detectors import ProbeDetector
    from gencv.models.encoders import load_encoder
    from gencv.models.probes import Labelled, fit_probe

    data = blobs(20, 0)
    wide = Labelled(np.pad(data.vectors, ((0, 0), (0, 1280 - 32))), data.labels)
    made = ProbeDetector(
        encoder=load_encoder("starter-features", device="cpu"),
        probe=fit_probe("nearest", wide, wide, seed=0),
        task="generated",
        thresholds={"eer": asdict(Threshold("eer", 0.25, 0.1, 0.1, 30, 30))},
    )
    bundle.save(made, str(folder / "a"), training={"manifest": "none"}, metrics={})
    for name, facts in {"b": {}, **changes}.items():
        shutil.copytree(folder / "a", folder / name)
        place = folder / name / "detector.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), **facts}))


def test_bundles_judge_first(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = pictures(source="web")
    of.save(str(tmp_path / "m"))
    unset = Threshold("eer", None, None, None, 0, 0, "too_few")
    write_bundles(
        tmp_path, spoof={"task": "spoof"}, other={"task": "spoof"}, unset={"thresholds": {"eer": asdict(unset)}}
    )
    judged = []

    def judge(folder: str, detector: Any, place: str, rows: Manifest, out: str, **how: Any) -> Any:
        judged.append((folder, out, set(rows["split"])))
        scores = (
            np.random.default_rng(len(judged)).uniform(0, 1, len(rows)) + np.array(rows["label"]) * len(judged) * 0.3
        )
        answers = pa.table({"score": np.clip(scores / 3, 0, 1), "error": rows.table["error"]})
        return Predictions.of(rows.table, answers), None, {}

    monkeypatch.setattr("gencv.pipelines.predict.predict", judge)
    call = ("compare", "--manifest", tmp_path / "m", "--out", tmp_path / "out", "--bundles", tmp_path / "a")
    for flags, says in (
        ((tmp_path / "spoof",), "different tasks (a: generated, spoof: spoof)"),
        ((tmp_path / "unset",), "threshold eer is not set: too_few"),
        ((tmp_path / "b", "--threshold", "fpr1"), "Unknown threshold 'fpr1'; known: eer"),
        ((tmp_path / "m",), "holds no detector.json"),
    ):
        assert says in sentence(job(*call, *flags))
    spoofs = (*call[:-1], tmp_path / "spoof", tmp_path / "other")
    assert "the positives here are generated" in sentence(job(*spoofs))
    assert not judged and not (tmp_path / "out").exists()
    code, stdout, _ = job(*call, tmp_path / "b", "--names", "first", "second")
    assert code == 0 and stdout.startswith("second is better than first: AUROC +0.")
    assert judged == [
        (str(tmp_path / k), str(tmp_path / "out" / n), {"test"}) for k, n in (("a", "first"), ("b", "second"))
    ]
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (
        told["detectors"]["first"]["threshold"]["value"] == 0.25 and told["detectors"]["first"]["fitted_on"] == "none"
    )


def test_detectors_that_cannot_be_compared(job: Job, tmp_path: Path) -> None:
    of = pictures().where([split == "test" for split in pictures()["split"]])
    half = np.full(len(of), 0.5)
    for name, facts in (("a", {}), ("b", {}), ("x/a", {}), ("spoof", {"task": "spoof", "labels": ["live", "spoof"]})):
        write_evaluation(tmp_path / name, of, half, **facts)
    write_evaluation(tmp_path / "genuine", of.where([label == 0 for label in of["label"]]), half[:40])
    for folders, flags, says in (
        (("a", "a"), (), "is given twice"),
        (("a",), (), "is the only detector"),
        (("a", "x/a"), (), "Two detectors are called a"),
        (("a", "b"), ("--names", "one"), "1 names for 2 detectors"),
        (("a", "b"), ("--names", "a/b", "c"), "cannot be called 'a/b'"),
        (("a", "spoof"), (), "only detectors of one task"),
        (("a", "genuine"), (), "40 genuine and 0 positive; a comparison needs both"),
        (("a", "absent"), (), "holds no finished evaluation"),
    ):
        paths = [tmp_path / name for name in folders]
        assert says in sentence(job("compare", "--evaluations", *paths, *flags, "--out", tmp_path / "out"))
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "this command has none of them"),
        (("--embeddings", "e", "--evaluations", "a", "b"), "--embeddings and --evaluations"),
        (("--bundles", "a", "b"), "belong together"),
        (("--evaluations", "a", "b", "--manifest", "m"), "belong together"),
        (("--evaluations", "a", "b", "--threshold", "fpr1"), "--threshold does nothing with --evaluations"),
        (("--bundles", "a", "b", "--manifest", "m", "--by", "family"), "--by does nothing with --bundles"),
        (("--embeddings", "e", "--names", "x"), "--names does nothing with --embeddings"),
        (("--embeddings", "e", "--probe", "tree"), "linear, mlp, nearest"),
        (("--embeddings", "e", "--by", "source"), "family, generator"),
        (("--embeddings", "e", "--threshold", "f1"), "balanced, eer"),
        (("--bundles", "a", "b", "--manifest", "m", "--split", "dev"), "test, train, val"),
    ],
)
def test_flags_that_do_not_go_together(job: Job, tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    assert says in sentence(job("compare", *flags, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
