"""The page of an evaluation: what stands first, and that nothing odd in the rows breaks it."""

import warnings
from dataclasses import replace
from typing import Any

import matplotlib.text
import numpy as np
import pyarrow as pa
import pytest
from fakes import manifest_of, write_pictures

from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate import robustness
from gencv.evaluate.evaluation import Terms, figures_of
from gencv.evaluate.protocols import NATIVE, Cell, cells_of
from gencv.evaluate.thresholds import Threshold
from gencv.plots.evaluation import evaluation_report
from gencv.plots.robustness import draw_sweeps, draw_tiers, verdict_on_compression, words_of

COUNT = 24
TERMS = Terms(
    title="Generated or real: <test>",
    task="generated",
    labels=("real", "generated"),
    split=Split.TEST,
    threshold=Threshold("eer", 0.5, 0.1, None, 40, 40),
    calibrator=Calibrator(),
    band=Band(error_rate=0.05, upper=0.6, lower=0.3),
    preprocessing={"size_px": 64, "jpeg_quality": [80], "crop": "face", "margin": 1.3},
    seen="None of these pictures is among those.",
    num_replicates=20,
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    paths = write_pictures(tmp_path_factory.mktemp("pictures"), COUNT)
    return manifest_of(paths, source=["coco", "sd", "art", "sd"] * 6, split="test")


def predict(rows: Manifest, scores: Any) -> Predictions:
    column = pa.array(np.asarray(scores, np.float32), from_pandas=True)
    return Predictions.of(rows.table, pa.table({"score": column, "error": rows.table["error"]}))


def degraded(predictions: Predictions, which: str = "all", fall: float = 0.02) -> pa.Table:
    told = []
    for k, cell in enumerate(cells_of(which)):
        for image_id, score in zip(predictions.table["id"].to_pylist(), predictions.scores, strict=True):
            told.append(
                {
                    "id": image_id,
                    "protocol": cell.protocol,
                    "degradation": cell.degradation,
                    "strength": cell.strength,
                    "score": None if np.isnan(score) else float(abs(score - fall * k) % 1),
                    "error": None,
                }
            )
    return pa.Table.from_pylist(told, robustness.SCHEMA)


def usual(rows: Manifest) -> Predictions:
    rng = np.random.default_rng(0)
    return predict(rows, np.clip(0.35 + 0.3 * np.array(rows["label"]) + rng.normal(0, 0.15, len(rows)), 0, 1))


def page(rows: Manifest, said: Predictions, table: pa.Table | None, **terms: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32)
        made = figures_of(said, table, replace(TERMS, **terms))
        return evaluation_report(made, rows, features if table is not None else None).html()


def test_the_headline_stands_first_and_then_the_worst(rows: Manifest) -> None:
    said = usual(rows)
    html = page(rows, said, degraded(said))
    cards = ["AUROC", "Balanced accuracy", "Equal error rate", "Worst generator, recall", "Worst source, false"]
    places = [html.index(f'<div class="name">{name}') for name in [*cards, "Worst degradation", "No answer"]]
    assert places == sorted(places)
    sections = [
        "How well it tells",
        "Where it fails",
        "How it holds up",
        "How sure it is",
        "All figures",
        "The features",
    ]
    places = [html.rindex(f"<h2>{name}") for name in sections]
    assert places == sorted(places)
    for shown in ("camera of art", "camera of coco", "sweeps", "protocols and tiers", "all saved anew, chained"):
        assert shown in html
    assert "a JPEG detector" in html and "&lt;test&gt;" in html and "<test>" not in html
    assert "where it gave 10.0% false positives. None of these" in html
    assert "Only 12 real pictures have an answer" in html
    assert "before and after" not in html, "no face was found in any of them"


@pytest.mark.parametrize("what", ["genuine", "positive", "nan", "equal", "some nan", "empty"])
def test_odd_rows_have_a_page(rows: Manifest, what: str) -> None:
    if what in ("genuine", "positive"):
        rows = rows.where([label == (what == "positive") for label in rows["label"]])
    elif what == "empty":
        rows = rows.where([False] * COUNT)
    said = usual(rows)
    if what == "nan":
        said = predict(rows, [np.nan] * COUNT)
    elif what == "equal":
        said = predict(rows, [0.5] * COUNT)
    elif what == "some nan":
        said = predict(rows, [np.nan, *said.scores[1:]])
    html = page(rows, said, degraded(said) if what != "empty" else None, no_robustness="no" if what == "empty" else "")
    assert 'class="note"' in html and "All figures" in html


def test_nothing_degraded_is_said_in_one_sentence(rows: Manifest) -> None:
    html = page(rows, usual(rows), None, no_robustness="these pictures were preprocessed before")
    assert "Nothing was degraded: these pictures were preprocessed before." in html


def test_a_fall_from_native_to_recompressed_is_called_what_it_is(rows: Manifest) -> None:
    said = usual(rows)
    table = degraded(said, "tiers", fall=0.0)
    assert "no fall can be told" in verdict_on_compression(figures_of(said, table, TERMS).robustness)
    again = np.array([cell == "all_recompressed" for cell in table["protocol"].to_pylist()])
    turned = np.where(again, 1 - table["score"].to_numpy(), table["score"].to_numpy()).astype(np.float32)
    table = table.set_column(table.column_names.index("score"), "score", pa.array(turned))
    assert "it falls" in verdict_on_compression(figures_of(said, table, TERMS).robustness)


def test_the_figures_say_what_the_cells_are(rows: Manifest) -> None:
    said = usual(rows)
    held = figures_of(said, degraded(said), TERMS).robustness
    row = held.row(NATIVE)
    assert row is not None
    texts = [text.get_text() for text in draw_tiers(held).findobj(matplotlib.text.Text)]
    assert {"clean", "web", "hard", "chained", "as they came", "all saved anew", "AUROC"} <= set(texts)
    assert f"{row.figures['auroc'].value:.3f}" in texts
    texts = [text.get_text() for text in draw_sweeps(held).findobj(matplotlib.text.Text)]
    assert {"screenshot", "display scale", "jpeg", "quality", "95", "0.5"} <= set(texts)
    assert words_of(Cell("native", "blur", 0.5)) == "blur, sigma px 0.5"
