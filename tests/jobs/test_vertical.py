"""From folders of pictures to a judged report, as a user does it, on the session's Ray."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import picture, write_pictures
from PIL import Image

from gencv.core import tables
from gencv.core.embeddings import Embeddings
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.evaluate.protocols import Cell, recompress
from gencv.images.attacks import attack
from gencv.images.decode import decode
from gencv.models import bundle, fitted

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420)]
Job = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """120 live pictures and 120 replays of them; among them texts, a cut JPEG, an empty file, and a bomb's header."""
    folder = tmp_path / "pictures"
    live = write_pictures(folder / "live", 120, size=(160, 120))
    (folder / "spoof").mkdir()
    for index in range(len(live)):
        image = attack(picture(index, 160, 120), "replay", str(index), 0)
        Image.fromarray(image).save(folder / "spoof" / f"replay{index:04d}.jpg", quality=90)
    (folder / "live" / "note.jpg").write_text("a text file named .jpg")
    for number in range(3):  # so that some lie in every split
        (folder / "spoof" / f"note{number}.jpg").write_text(f"text {number} named .jpg")
    (folder / "live" / "empty.jpg").write_bytes(b"")
    (folder / "spoof" / "cut.jpg").write_bytes(live[0].read_bytes()[:700])
    (folder / "spoof" / "bomb.png").write_bytes(bomb())
    (folder / "live" / "again.jpg").write_bytes(live[5].read_bytes())
    return folder


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 px."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def detector_saw(folder: Path) -> int:
    """Return the number of pictures that a bundle says it was trained on."""
    return tables.read_table(str(folder / fitted.FILE))["split"].to_pylist().count("train")


def test_the_whole_path(job: Job, pictures: Path, tmp_path: Path, ray_local: str) -> None:
    runs = {name: tmp_path / name for name in ("manifest", "preprocessed", "embeddings", "bundle", "evaluation")}
    source = f"folder:{pictures}?generator=replay&family=replay"
    gather = (
        "--source",
        source,
        "--splits",
        ".5",
        ".25",
        ".25",
        "--out",
        runs["manifest"],
        "--xlsx",
        tmp_path / "faceauth.xlsx",
    )

    # Bad pictures among good ones are rows; the job finishes first and fails then, if there are too many.
    code, _, stderr = job("manifest", *gather, "--max-bad-fraction", ".01")
    assert code == 2 and "7 of 247 pictures failed" in stderr.splitlines()[-1]
    assert job("manifest", *gather)[0] == 0
    report = report_of(runs["manifest"])
    assert report["counts"]["found"] == 248 == report["counts"]["rows"] + report["counts"]["excluded"]
    assert report["counts"]["bad"] == {"empty": 1, "not_an_image": 4, "too_many_pixels": 1, "truncated": 1}
    assert str(pictures / "spoof" / "cut.jpg") in (runs["manifest"] / "report.html").read_text()
    excluded = tables.read_table(str(runs["manifest"] / "excluded.parquet")).to_pylist()
    assert [Path(row["uri"]).name for row in excluded] == ["again.jpg"] or "0005.jpg" in str(excluded)
    manifest = Manifest.load(str(runs["manifest"]))
    assert (tmp_path / "faceauth.xlsx").stat().st_size > 5000

    assert job("preprocess", "--manifest", runs["manifest"], "--out", runs["preprocessed"])[0] == 0
    embed = ("embed", "--manifest", runs["preprocessed"], "--encoder", "starter-features", "--out", runs["embeddings"])
    assert job(*embed)[0] == 0
    embeddings = Embeddings.load(str(runs["embeddings"]))
    assert len(embeddings.vectors) == len(manifest) and embeddings.good.sum() == 240

    # The same command again does nothing and says the same; another one is refused with what differs.
    before = report_of(runs["embeddings"])["figures"]
    assert job(*embed)[0] == 0
    assert report_of(runs["embeddings"])["figures"] == before
    assert report_of(runs["embeddings"])["counts"]["work"]["parts"] == 0
    code, _, stderr = job(*embed[:4], "starter", *embed[5:])
    assert code == 2 and "encoder was 'starter-features', now 'starter'" in stderr

    assert job("probe", "--embeddings", runs["embeddings"], "--probe", "linear", "--out", runs["bundle"])[0] == 0
    judge = ("evaluate", "--bundle", runs["bundle"], "--manifest", runs["manifest"], "--robustness-pictures", "8")
    code, stdout, _ = job(*judge, "--out", runs["evaluation"])
    assert code == 0 and "AUROC" in stdout
    told = json.loads((runs["evaluation"] / "metrics.json").read_text())
    metrics = told["metrics"]
    assert metrics["auroc"]["value"] > 0.8 and metrics["auroc"]["low"] <= metrics["auroc"]["value"]
    assert told["worst"]["cell"] == told["robustness"]["cells"][0] and told["robustness"]["num_genuine"] == 8
    page = (runs["evaluation"] / "report.html").read_text()
    judged = Manifest.load(str(runs["evaluation"]))
    of_test = [row for row in manifest.table.to_pylist() if row["split"] == "test"]
    assert set(judged["split"]) == {"test"}
    assert judged.bad() == [(row["uri"], row["error"]) for row in of_test if row["error"]] != []
    for shown in ("t-SNE", "confusion matrix", "ROC", "before and after", "replay", judged.bad()[0][0]):
        assert shown in page

    # Batch, command line, and the detector itself give one score.
    predictions = tables.read_table(str(runs["evaluation"] / "predictions.parquet")).to_pylist()
    some = [row for row in predictions if row["score"] is not None][:5]
    code, stdout, _ = job("check", *(row["uri"] for row in some), "--bundle", runs["bundle"])
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0 and [line["id"] for line in lines] == [row["id"] for row in some]
    np.testing.assert_allclose([line["score"] for line in lines], [row["score"] for row in some], atol=1e-4)
    threshold = bundle.describe(str(runs["bundle"]))["thresholds"]["eer"]["value"]
    sure = [line for line in lines if line["label"] != "uncertain"]
    assert all((line["label"] == "spoof") == (line["score"] >= threshold) for line in sure)
    assert [line["label"] for line in lines] == [row["verdict"] for row in some]
    assert [line["reasons"] for line in lines] == [row["reasons"] for row in some]
    assert all(row["score_low"] <= row["score"] <= row["score_high"] for row in some)
    assert {row["side_px"] for row in predictions if row["score"] is not None} == {120}

    # What the evaluation left is enough to compare it, at the bundle's threshold; with itself, in another place.
    shutil.copytree(runs["evaluation"], tmp_path / "twin")
    code, stdout, _ = job("compare", "--evaluations", runs["evaluation"], tmp_path / "twin", "--out", tmp_path / "both")
    told = json.loads((tmp_path / "both" / "compare.json").read_text())
    assert code == 0 and stdout.startswith("No difference can be told between evaluation and twin: AUROC +0.000")
    assert told["detectors"]["twin"]["threshold"]["value"] == threshold and told["detectors"]["twin"]["task"] == "spoof"
    assert told["metrics"]["evaluation"]["auroc"]["value"] == metrics["auroc"]["value"]
    assert {row["generator"] for row in told["generators"]["twin"]} == {"camera", "replay"}

    look_inside(job, runs, tmp_path)

    # What was degraded is what the detector says of the version of a picture, whoever makes it.
    detector = bundle.load(str(runs["bundle"]), device="cpu")
    said = {row["id"]: row["score"] for row in predictions}
    held = tables.read_table(str(runs["evaluation"] / "robustness.parquet")).to_pylist()
    assert len(held) == 12 * 16 and not any(row["error"] for row in held)
    native = [row for row in held if (row["protocol"], row["degradation"]) == ("native", "clean")]
    np.testing.assert_allclose([row["score"] for row in native], [said[row["id"]] for row in native], atol=1e-6)
    facts = {row["id"]: row for row in of_test}
    for row in held[:: len(held) // 30]:
        cell = Cell(row["protocol"], row["degradation"], row["strength"])
        version = cell.version(facts[row["id"]]["label"])
        image = decode(Path(facts[row["id"]]["uri"]).read_bytes())
        made = version(recompress(image) if version.is_recompressed else image, row["id"], 0)
        assert float(detector.judge_image(made).scores[0]) == pytest.approx(row["score"], abs=1e-4), cell.name

    # Every figure follows from the tables alone; pictures of the training are refused, whatever their split is called.
    code, stdout, _ = job("evaluate", "--reproduce", runs["evaluation"])
    assert code == 0 and "figures are the same" in stdout
    seen = manifest.where(split=Split.TRAIN).table
    seen = seen.set_column(seen.column_names.index("split"), "split", pa.array(["test"] * len(seen)))
    Manifest(seen).save(str(tmp_path / "seen"))
    code, _, stderr = job(*judge[:3], "--manifest", tmp_path / "seen", "--out", tmp_path / "flattered")
    assert code == 2 and f"trained on {detector_saw(runs['bundle'])} of the {len(seen)} pictures" in stderr

    # And the training path: what the probe was fitted on is what the batch path scores, where nothing was blurred.
    of_id = dict(zip(embeddings.manifest["id"], detector.scores(np.nan_to_num(embeddings.vectors)), strict=True))
    np.testing.assert_allclose([row["score"] for row in some], [of_id[row["id"]] for row in some], atol=1e-4)


def look_inside(job: Job, runs: dict[str, Path], tmp_path: Path) -> None:
    """Visualise the bundle, with the embeddings that it was fitted on: maps, heat, neighbours, and spectra."""
    inside = ("visualise", "--bundle", runs["bundle"], "--manifest", runs["manifest"], "--max-bad-fraction", ".2")
    inside = (*inside, "--training", runs["embeddings"], "--spectrum-px", "96", "--per-class", "20")
    assert job(*inside, "--out", tmp_path / "inside")[0] == 0
    found = json.loads((tmp_path / "inside" / "visualise.json").read_text())
    judged = Manifest.load(str(tmp_path / "inside"))
    (network,), good = found["networks"], len(judged) - len(judged.bad())
    assert network["method"] == "Grad-CAM" and len(network["map"]) == 40
    trained = Manifest.load(str(runs["embeddings"])).table.to_pylist()
    labels = {row["id"]: row["label"] for row in trained if row["split"] == "train"}
    assert len(network["neighbours"]) == 12
    for one in network["neighbours"]:
        for label, name in enumerate(("genuine", "positive")):
            assert [labels[near["id"]] for near in one[name]] == [label] * 3
            cosines = [near["cosine"] for near in one[name]]
            assert cosines == sorted(cosines, reverse=True) and one["id"] not in labels
    profiles = found["spectra"]["profiles"]["luma"]
    assert sum(one["pictures"] for one in profiles.values()) == good and found["spectra"]["num_small"] == {}
    assert {len(one["mean_db"]) for one in profiles.values()} == {49}
    page = (tmp_path / "inside" / "report.html").read_text()
    for shown in ("Where it looks", "What its verdicts lie near", "Mean spectra", "live, surest right"):
        assert shown in page

    # The same command again does nothing and says the same; another one is refused.
    assert job(*inside, "--out", tmp_path / "inside")[0] == 0
    assert json.loads((tmp_path / "inside" / "visualise.json").read_text()) == found
    code, _, stderr = job(*inside, "--colour", "class", "--out", tmp_path / "inside")
    assert code == 2 and "colour was" in stderr
