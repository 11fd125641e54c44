from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.evaluate import metrics, thresholds
from gencv.evaluate.thresholds import THRESHOLDS, set_thresholds

Draw = Callable[..., Predictions]


def test_thresholds_are_what_their_names_say(drawn: Draw) -> None:
    rows = drawn()
    found = set_thresholds(rows)
    assert set(found) == set(THRESHOLDS) == {"eer", "fpr1", "fpr0.1", "balanced"}
    eer, fpr1, fpr01, balanced = (found[name] for name in ("eer", "fpr1", "fpr0.1", "balanced"))
    assert eer.expected_fpr == pytest.approx(metrics.eer(rows.labels, rows.scores).value, abs=2e-3)
    assert eer.expected_fpr == pytest.approx(eer.expected_fnr, abs=2e-3)
    assert fpr1.expected_fpr is not None and fpr1.expected_fpr <= 0.01
    best = metrics.tpr_at_fpr(rows.labels, rows.scores, 0.01).value
    assert fpr1.expected_fnr is not None and 1 - fpr1.expected_fnr == pytest.approx(best)
    assert fpr01.expected_fpr is not None and fpr01.expected_fpr <= 0.001
    best = metrics.tpr_at_fpr(rows.labels, rows.scores, 0.001).value
    assert fpr01.expected_fnr is not None and 1 - fpr01.expected_fnr == pytest.approx(best)
    reached = [metrics.balanced_accuracy(rows.labels, rows.scores, t).value for t in np.unique(rows.scores)]
    assert balanced.value is not None and max(reached) == pytest.approx(  # type: ignore[type-var]
        metrics.balanced_accuracy(rows.labels, rows.scores, balanced.value).value
    )
    for threshold in found.values():
        assert threshold.value is not None
        assert metrics.bpcer(rows.labels, rows.scores, threshold.value).value == pytest.approx(threshold.expected_fpr)
        assert (threshold.num_genuine, threshold.num_positive) == (1_000, 1_000)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scores=arrays(np.float64, 240, elements=st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.5, 0.5000005, 1.0])))
def test_noise_never_turns_a_verdict(predictions: Draw, scores: np.ndarray) -> None:
    labels = np.arange(240) % 2
    for threshold in set_thresholds(predictions(labels, scores)).values():
        if threshold.value is not None and threshold.value > 0:
            assert np.abs(scores - threshold.value).min() > 1e-6


def test_fpr1_needs_a_hundred_genuine_rows_and_a_place_to_stand(predictions: Draw) -> None:
    labels = np.array([0] * 99 + [1] * 10)
    too_few = set_thresholds(predictions(labels, labels * 0.5 + 0.1))["fpr1"]
    assert too_few.value is None and too_few.expected_fpr is None and "too_few: 99 genuine" in too_few.reason
    saturated = set_thresholds(predictions(np.zeros(150), np.ones(150)))
    assert saturated["fpr1"].value is None and "highest score" in saturated["fpr1"].reason
    assert saturated["eer"].value is None and "both classes" in saturated["eer"].reason
    genuine_only = set_thresholds(predictions(np.zeros(150), np.linspace(0, 0.4, 150)))["fpr1"]
    assert genuine_only.value is not None and genuine_only.expected_fnr is None


def test_one_false_positive_in_a_hundred_is_allowed(predictions: Draw) -> None:
    scores = np.concatenate([np.linspace(0.01, 0.5, 100), [0.9] * 5])
    threshold = set_thresholds(predictions(np.array([0] * 100 + [1] * 5), scores))["fpr1"]
    assert threshold.expected_fpr == pytest.approx(0.01)
    assert threshold.value == pytest.approx((scores[98] + scores[99]) / 2, abs=1e-6)


def test_a_threshold_between_perfect_classes_lies_in_the_middle(predictions: Draw) -> None:
    threshold = thresholds.threshold_eer(predictions(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.75, 0.875])))
    assert (threshold.value, threshold.expected_fpr, threshold.expected_fnr) == (0.5, 0.0, 0.0)


def test_fpr01_needs_a_thousand_genuine_rows(predictions: Draw) -> None:
    labels = np.array([0] * 999 + [1] * 50)
    found = set_thresholds(predictions(labels, np.linspace(0, 1, 1_049)))["fpr0.1"]
    assert found.value is None and "999 genuine" in found.reason and "at 0.1 % false positives 1000" in found.reason


def test_equal_scores_get_a_threshold_that_says_it_tells_nothing(predictions: Draw) -> None:
    found = set_thresholds(predictions(np.arange(80) % 2, np.full(80, 0.5)))
    for name in ("eer", "balanced"):
        assert found[name].value is not None and "all scores are equal" in found[name].reason


def test_few_pictures_get_a_threshold_with_a_warning(predictions: Draw) -> None:
    labels = np.array([0] * 40 + [1] * 29)
    found = set_thresholds(predictions(labels, np.linspace(0, 1, 69)))
    assert found["eer"].value is not None and "too_few: 40 genuine and 29 positive" in found["eer"].reason
    enough = set_thresholds(predictions(np.arange(60) % 2, np.linspace(0, 1, 60)))
    assert enough["balanced"].reason == ""


def test_pictures_without_an_answer_set_no_threshold(drawn: Draw, predictions: Draw) -> None:
    rows = drawn(400)
    labels, scores = np.append(rows.labels, [0, 1]), np.append(rows.scores, [np.nan] * 2)
    assert set_thresholds(predictions(labels, scores)) == set_thresholds(rows)


def test_a_bundles_threshold_is_found_by_name() -> None:
    facts = {"name": "eer", "expected_fpr": 0.1, "expected_fnr": 0.1, "num_genuine": 9, "num_positive": 9}
    kept = {"eer": {**facts, "value": 0.4, "reason": ""}, "fpr1": {**facts, "value": None, "reason": "few"}}
    assert thresholds.threshold_of(kept, "eer").value == 0.4
    with pytest.raises(UnknownName, match="eer, fpr1"):
        thresholds.threshold_of(kept, "fpr5")
    with pytest.raises(BadInput, match="not set: few"):
        thresholds.threshold_of(kept, "fpr1")
