"""An evaluation from tables: what it holds, what it warns of, and that it comes out of a folder again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gencv.core import tables
from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.errors import BadInput
from gencv.core.predictions import FILE, Predictions
from gencv.core.record import Split
from gencv.evaluate import robustness
from gencv.evaluate.differences import differences
from gencv.evaluate.evaluation import Evaluation, Terms, figures_of, recompute
from gencv.evaluate.kinds import kinds_result
from gencv.evaluate.protocols import cells_of
from gencv.evaluate.thresholds import Threshold

Draw = Callable[..., Predictions]
TERMS = Terms(
    title="Generated or real: test",
    task="generated",
    labels=("real", "generated"),
    split=Split.TEST,
    threshold=Threshold("eer", 0.5, 0.1, 0.2, 40, 40),
    calibrator=Calibrator(kind="isotonic", knots=(-1.0, 2.0), heights=(-3.0, 1.0), slope=0.1, prior=0.3),
    band=Band(error_rate=0.05, upper=0.6, lower=0.3, num_genuine_groups=40, num_positive_groups=40),
    kinds=("sd15", "progan"),
    preprocessing={"size_px": 96},
    seen="None of them.",
    digests={"manifest": "m", "bundle": "b"},
    seed=4,
    num_replicates=30,
)


def degraded_of(rows: Predictions) -> pa.Table:
    """Every cell a little worse than the one before."""
    parts = []
    for k, cell in enumerate(cells_of("tiers")):
        count = len(rows)
        columns = {
            "id": rows.table["id"].to_pylist(),
            "protocol": [cell.protocol] * count,
            "degradation": [cell.degradation] * count,
            "strength": [None] * count,
            "score": (rows.scores * (1 - 0.04 * k)).tolist(),
            "error": [None] * count,
        }
        parts.append(pa.table(columns, schema=robustness.SCHEMA))
    return pa.concat_tables(parts)


@pytest.fixture
def evaluation(drawn: Draw) -> Evaluation:
    rows = drawn(400, split="test")
    return figures_of(rows, degraded_of(rows.where(np.arange(400) < 200)), TERMS)


def save(evaluation: Evaluation, folder: Path) -> None:
    """Write what a run keeps."""
    evaluation.terms.save(str(folder))
    tables.write_table(evaluation.predictions.table, str(folder / FILE))
    if not evaluation.terms.no_robustness:
        made = degraded_of(evaluation.predictions.where(np.arange(len(evaluation.predictions)) < 200))
        tables.write_table(made, str(folder / robustness.FILE))
    (folder / "metrics.json").write_text(json.dumps(evaluation.to_dict()))


def test_metrics_json_has_the_headline_the_worst_and_where_it_comes_from(evaluation: Evaluation) -> None:
    told = json.loads(json.dumps(evaluation.to_dict()))
    assert told["schema"] == 2 and told["labels"] == {"genuine": "real", "positive": "generated"}
    assert list(told)[5:7] == ["headline", "worst"]
    assert told["headline"]["auroc"] == told["metrics"]["auroc"] and told["headline"]["auroc"]["low"] is not None
    generators = told["generators"]
    assert told["worst"]["generator"] == generators[0] and generators[0]["name"] == "glide"
    recalls = [row["recall"]["value"] for row in generators]
    assert recalls == sorted(recalls) and {row["source"] for row in generators} == {""}
    assert [row["name"] for row in told["genuine_sources"]] == ["camera"]
    assert told["genuine_sources"][0]["false_positive_rate"]["value"] == told["metrics"]["bpcer"]["value"]
    cells = told["robustness"]["cells"]
    assert told["worst"]["cell"] == cells[0] and len(cells) == 12
    assert (told["robustness"]["num_genuine"], told["robustness"]["num_positive"]) == (100, 100)
    assert told["counts"] == {
        "rows": 400,
        "genuine": 200,
        "positive": 200,
        "unlabelled": 0,
        "answered": 400,
        "unreadable": 0,
    }
    assert told["threshold"]["value"] == 0.5 and told["threshold"]["id"].startswith("eer-")
    assert told["calibration"]["prior"] == 0.3 and told["band"]["upper"] == 0.6
    assert told["settings"] == {"seed": 4, "num_replicates": 30}
    assert set(told["digests"]) == {"manifest", "bundle", "predictions", "robustness"}


def test_a_figure_of_zero_stays_in_metrics_json(drawn: Draw) -> None:
    rows = drawn(200, split="test")
    told = figures_of(rows.rescored((rows.labels == 1) * 0.8 + 0.1), None, replace(TERMS, no_robustness="no")).to_dict()
    assert told["metrics"]["bpcer"]["value"] == 0.0 and told["metrics"]["auroc"]["value"] == 1.0
    assert told["robustness"] == {"num_genuine": 0, "num_positive": 0, "reason": "no", "cells": []}


def test_genuine_pictures_are_told_by_where_they_come_from(predictions: Callable[..., Predictions]) -> None:
    labels = np.array([0] * 60 + [1] * 30)
    sources = ["coco"] * 30 + ["art"] * 30 + ["paint"] * 15 + ["draw"] * 15
    scores = np.where(np.array(sources) == "art", 0.7, np.where(labels == 1, 0.9, 0.1))
    rows = predictions(labels, scores, sources=sources, split="test")
    told = figures_of(rows, None, replace(TERMS, no_robustness="no")).to_dict()
    assert [row["name"] for row in told["genuine_sources"]] == ["camera of art", "camera of coco"]
    assert [row["false_positive_rate"]["value"] for row in told["genuine_sources"]] == [1.0, 0.0]
    assert [row["name"] for row in told["generators"]] == ["sd15"], "a generator's sources count together"
    assert told["worst"]["genuine_source"]["source"] == "art"


def test_a_finished_folder_gives_the_same_figures_again(evaluation: Evaluation, tmp_path: Path) -> None:
    save(evaluation, tmp_path)
    assert Terms.load(str(tmp_path)) == TERMS
    said = json.loads((tmp_path / "metrics.json").read_text())
    count, differing = differences(said, json.loads(json.dumps(recompute(str(tmp_path)).to_dict())))
    assert count > 500 and differing == []

    # Another seed, another threshold, another score: each is found.
    for terms in (replace(TERMS, seed=5), replace(TERMS, threshold=replace(TERMS.threshold, value=0.6))):
        terms.save(str(tmp_path))
        assert differences(said, recompute(str(tmp_path)).to_dict())[1]
    TERMS.save(str(tmp_path))
    scores = evaluation.predictions.scores.copy()
    scores[17] = 1 - scores[17]
    tables.write_table(evaluation.predictions.rescored(scores).table, str(tmp_path / FILE))
    found = differences(said, recompute(str(tmp_path)).to_dict())[1]
    assert any(line.startswith("metrics.auroc.value: the run says 0.") for line in found)
    assert any(line.startswith("digests.predictions") for line in found)


def test_what_is_missing_from_a_folder_is_named(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no terms\.json"):
        recompute(str(tmp_path))
    save(evaluation, tmp_path)
    (tmp_path / robustness.FILE).unlink()
    with pytest.raises(BadInput, match=r"robustness\.parquet is not there"):
        recompute(str(tmp_path))
    for text in ("{", "[]", '{"title": "x"}'):
        (tmp_path / "terms.json").write_text(text)
        with pytest.raises(BadInput, match=r"terms\.json cannot be read"):
            recompute(str(tmp_path))


def warned(rows: Predictions) -> str:
    return " ".join(figures_of(rows, None, replace(TERMS, no_robustness="no", num_replicates=5)).warnings)


def test_rows_that_say_little_are_warned_of(drawn: Draw) -> None:
    rows = drawn(200, split="test")
    assert warned(rows) == ""
    assert "no generated pictures" in warned(rows.where(rows.labels == 0))
    assert "no real pictures" in warned(rows.where(rows.labels == 1))
    assert "no real and no generated pictures" in warned(rows.where(rows.labels > 1))
    assert "all scores are equal" in warned(rows.rescored(np.full(200, 0.5)))
    few = (rows.labels == 0) | (np.arange(200) < 40)
    assert "Only 20 generated pictures have an answer; with fewer than 30" in warned(rows.where(few))
    one_group = rows.table.set_column(rows.table.column_names.index("group"), "group", pa.array(["g"] * 200))
    assert "The real pictures are of 1 groups only" in warned(Predictions(one_group))
    assert warned(rows.filled(group=[None] * 200)) == "", "a picture without a group stands for itself"


def test_a_score_of_nan_is_no_answer_and_is_said(drawn: Draw) -> None:
    rows = drawn(200, split="test")
    scores = rows.scores.copy()
    scores[:3] = np.nan
    told = figures_of(rows.rescored(scores), None, replace(TERMS, no_robustness="no", num_replicates=5))
    assert "3 readable pictures got no number" in " ".join(told.warnings)
    assert told.counts()["answered"] == 197 and told.metrics["auroc"].value is not None


def test_rows_are_counted_by_what_is_known_of_them(predictions: Draw) -> None:
    labels, scores = np.array([0] * 5 + [1] * 4 + [-1] * 2), np.full(11, 0.3)
    scores[[0, 5, 6]] = np.nan
    rows = predictions(labels, scores, split="test")
    assert figures_of(rows, None, replace(TERMS, no_robustness="no", num_replicates=5)).counts() == {
        "rows": 11,
        "genuine": 5,
        "positive": 4,
        "unlabelled": 2,
        "answered": 8,
        "unreadable": 3,
    }


def test_the_kinds_have_the_runs_seed_and_replicates(drawn: Draw) -> None:
    rows = drawn(400, split="test")
    rows = rows.filled(kind=["sd15"] * 400)
    told = figures_of(rows, None, replace(TERMS, no_robustness="no")).kinds
    expected, another = (kinds_result(rows, 0.5, TERMS.kinds, num_replicates=30, seed=seed) for seed in (4, 5))
    assert told is not None and told.accuracy == expected.accuracy != another.accuracy


def test_the_digest_of_what_was_degraded_is_that_of_its_rows_in_any_order(evaluation: Evaluation) -> None:
    rows = evaluation.predictions
    made = degraded_of(rows.where(np.arange(400) < 4))
    turned = made.take(np.arange(len(made)).reshape(12, 4)[::-1].ravel())
    again, others = (figures_of(rows, table, TERMS).digests["robustness"] for table in (turned, made.slice(0, 44)))
    assert figures_of(rows, made, TERMS).digests["robustness"] == again != others
