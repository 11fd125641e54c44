"""The figures of cells against those of the metrics, row by row."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from gencv.core.predictions import Predictions
from gencv.evaluate.metrics import summarise
from gencv.evaluate.protocols import NATIVE, Cell, cells_of
from gencv.evaluate.robustness import SCHEMA, TITLES, robustness_of

Draw = Callable[..., Predictions]
WEB = Cell("native", "web")


def table_of(rows: Predictions, scores: dict[Cell, np.ndarray]) -> pa.Table:
    """One cell after the other; NaN is a picture without an answer."""
    told = []
    for cell, values in scores.items():
        for image_id, score in zip(rows.table["id"].to_pylist(), values, strict=True):
            bad = bool(np.isnan(score))
            told.append(
                {
                    "id": image_id,
                    "protocol": cell.protocol,
                    "degradation": cell.degradation,
                    "strength": cell.strength,
                    "score": None if bad else float(score),
                    "error": "too_small" if bad else None,
                }
            )
    return pa.Table.from_pylist(told, SCHEMA)


def worse(rows: Predictions, seed: int = 1) -> np.ndarray:
    """Scores moved to the middle with noise, a tenth of them lost."""
    rng = np.random.default_rng(seed)
    scores = np.clip(0.5 + (rows.scores - 0.5) * 0.4 + rng.normal(0, 0.2, len(rows)), 0, 1)
    scores[rng.random(len(rows)) < 0.1] = np.nan
    return scores.astype(np.float32).astype(np.float64)


def test_each_cell_has_the_figures_that_summarise_gives(drawn: Draw) -> None:
    rows = drawn(600)
    scores = {NATIVE: rows.scores, WEB: worse(rows)}
    held = robustness_of(table_of(rows, scores), rows, 0.5, seed=3, num_replicates=200)
    assert (held.num_genuine, held.num_positive) == (300, 300)
    for cell, values in scores.items():
        row = held.row(cell)
        assert row is not None and row.num_unanswered == np.isnan(values).sum()
        told = summarise(rows.rescored(values), 0.5, seed=3, num_replicates=200)
        for name in ("auroc", "balanced_accuracy", "recall", "bpcer", "tpr_at_fpr_1"):
            mine, theirs = row.figures[name], told[name]
            assert mine.value == pytest.approx(theirs.value, abs=1e-12), name
            assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12), name
    web, native = held.row(WEB), held.row(NATIVE)
    assert web is not None and native is not None
    turned = np.isnan(scores[WEB]) | ((scores[WEB] >= 0.5) != (rows.scores >= 0.5))
    assert web.figures["flips"].value == pytest.approx(turned.mean())
    assert native.figures["flips"].value is None and native.figures["auroc_change"].value is None
    for name in ("auroc", "balanced_accuracy"):
        change, before, after = web.figures[f"{name}_change"], native.figures[name].value, web.figures[name].value
        assert before is not None and after is not None and change.value == pytest.approx(after - before)
        assert change.high is not None and change.high < 0, "so great a fall is told"


def test_the_change_of_equal_scores_is_none_at_all(drawn: Draw) -> None:
    rows = drawn(400)
    held = robustness_of(table_of(rows, {NATIVE: rows.scores, WEB: rows.scores}), rows, 0.5, num_replicates=50)
    row = held.row(WEB)
    assert row is not None
    change = row.figures["auroc_change"]
    assert (change.value, change.low, change.high) == (0, 0, 0)
    flips = row.figures["flips"]
    assert flips.value == 0 and flips.high is not None and flips.high > 0, "no turned verdict is not a sure promise"


def test_cells_stand_worst_first(drawn: Draw) -> None:
    rows = drawn(400)
    scores = {cell: rows.scores * (1 - 0.08 * k) for k, cell in enumerate(cells_of("tiers"))}
    held = robustness_of(table_of(rows, scores), rows, 0.5, num_replicates=20)
    values = [row.figures["balanced_accuracy"].value or 0.0 for row in held.rows]
    assert values == sorted(values) and len(values) == 12 and held.rows[0].cell == cells_of("tiers")[-1]


def test_a_sample_is_judged_by_its_own_labels_whatever_stands_around_it(drawn: Draw) -> None:
    rows = drawn(400)
    some = rows.where(np.arange(400) % 3 == 0)
    table = table_of(some, {NATIVE: some.scores, WEB: worse(some)})
    alone, among = (robustness_of(table, given, 0.5, num_replicates=20) for given in (some, rows))
    assert alone == among


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_what_needs_both_without_a_value(drawn: Draw, label: int) -> None:
    rows = drawn(200)
    rows = rows.where(rows.labels == label)
    held = robustness_of(table_of(rows, {NATIVE: rows.scores, WEB: worse(rows)}), rows, 0.5, num_replicates=20)
    row = held.row(WEB)
    assert row is not None and set(row.figures) == set(TITLES)
    assert row.figures["auroc"].value is None and "both classes" in row.figures["auroc"].reason
    assert row.figures["balanced_accuracy"].value is None
    assert (row.figures["recall"].value is None, row.figures["bpcer"].value is None) == (label == 0, label == 1)
    assert held.rows[0].cell == WEB, "the worst is told by the rate that there is"


def test_no_answer_at_all_and_no_picture_at_all(drawn: Draw) -> None:
    rows = drawn(100)
    silent = np.full(100, np.nan)
    held = robustness_of(table_of(rows, {NATIVE: rows.scores, WEB: silent}), rows, 0.5, num_replicates=20)
    row = held.row(WEB)
    assert row is not None and row.num_unanswered == 100
    assert row.figures["recall"].value == 0 and row.figures["bpcer"].value == 1 and row.figures["flips"].value == 1
    assert row.figures["auroc"].value is None
    assert robustness_of(SCHEMA.empty_table(), rows, 0.5).reason


def test_a_rate_without_errors_is_as_sure_as_its_own_classs_groups_make_it(predictions: Draw) -> None:
    labels = np.array([0] * 12 + [1] * 30)
    rows = predictions(labels, np.where(labels == 1, 0.9, 0.1))
    row = robustness_of(table_of(rows, {NATIVE: rows.scores}), rows, 0.5, num_replicates=20).rows[0]
    assert row.figures["recall"].reason == "exact interval over 30 groups"
    assert row.figures["bpcer"].reason == "exact interval over 12 groups"
