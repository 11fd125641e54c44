from collections.abc import Callable

import numpy as np
import pytest

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.generators import per_generator

Draw = Callable[..., Predictions]


def test_rows_come_worst_first_and_agree_with_the_metrics(drawn: Draw) -> None:
    predictions = drawn()
    labels, scores, names = metrics.labelled(predictions, "generator")
    rows = per_generator(predictions, 0.5, num_replicates=200)
    assert rows[0].generator == "glide" and rows[-1].generator == "camera"
    assert [row.error for row in rows[:3]] == sorted((row.error for row in rows[:3]), reverse=True)
    for row in rows[:3]:
        mine = (names == row.generator) | (labels == 0)
        assert row.auroc.value == metrics.auroc(labels[mine], scores[mine]).value
        assert (
            row.rate.value == metrics.recall(labels[names == row.generator], scores[names == row.generator], 0.5).value
        )
        for metric in (row.auroc, row.rate):
            assert metric.low is not None and metric.high is not None and metric.value is not None
            assert metric.low < metric.value < metric.high
    assert rows[-1].rate.value == metrics.bpcer(labels, scores, 0.5).value
    assert rows[-1].auroc.value is None and sum(row.num_rows for row in rows) == len(predictions)


def test_pictures_without_an_answer_count_as_wrong_in_the_rate_and_its_interval(predictions: Draw) -> None:
    labels = np.arange(80) % 2
    scores = np.where(labels, 0.9, 0.1)
    scores[:40] = np.nan
    for row in per_generator(predictions(labels, scores), 0.5, num_replicates=100):
        assert row.num_unanswered == 20 and row.error == 0.5
        assert row.rate.low is not None and row.rate.high is not None and row.rate.low < 0.5 < row.rate.high


def test_a_perfect_or_tiny_generator_is_not_claimed_to_be_certain(predictions: Draw) -> None:
    labels = np.array([1] * 5 + [0] * 50)
    rows = per_generator(predictions(labels, np.where(labels, 0.9, 0.1)), 0.5, num_replicates=50)
    assert rows[0].rate.low == pytest.approx(0.025 ** (1 / 5)) and rows[0].rate.high == 1.0
    assert "few groups (5)" in rows[0].auroc.reason
    assert rows[1].rate.high == pytest.approx(1 - 0.025 ** (1 / 50))


def test_a_name_on_both_sides_is_two_rows(predictions: Draw) -> None:
    rows = per_generator(predictions(np.array([0, 1]), np.array([0.1, 0.9]), generators=["coco", "coco"]), 0.5)
    assert [(row.generator, row.is_genuine) for row in rows] == [("coco", False), ("coco", True)]


def test_without_genuine_pictures_there_is_recall_but_no_auroc(predictions: Draw) -> None:
    (row,) = per_generator(predictions(np.array([1, 1]), np.array([0.1, 0.9])), 0.5)
    assert row.rate.value == 0.5 and row.auroc == metrics.Metric(None, reason=metrics.ONE_CLASS)
    assert per_generator(predictions(np.zeros(0), np.zeros(0)), 0.5) == []


def test_few_groups_of_genuine_pictures_make_an_auroc_unreliable(predictions: Draw) -> None:
    labels = np.arange(80) % 2
    groups: list[str | None] = [f"g{k % 6}" if label == 0 else f"p{k}" for k, label in enumerate(labels)]
    drawn = np.random.default_rng(0).random(80)
    row = per_generator(predictions(labels, drawn, groups=groups), 0.5, num_replicates=20)[0]
    assert row.num_groups == 40 and row.auroc.reason == "unreliable: few groups (3)" and row.rate.reason == ""
