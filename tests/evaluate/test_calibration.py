from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate import calibration, metrics
from gencv.evaluate.calibration import THRESHOLDS, Temperature, Threshold, fit_temperature, judge, set_thresholds

Draw = Callable[..., Predictions]
FITS: list[Callable[[Predictions], object]] = [fit_temperature, set_thresholds, *THRESHOLDS.values()]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("split", ["test", "train", None])
def test_only_validation_rows_may_set_anything(fit: Callable[[Predictions], object], split: str, drawn: Draw) -> None:
    table = drawn(400).table
    splits = ["val"] * 399 + [split]
    mixed = Predictions(table.set_column(table.column_names.index("split"), table.schema.field("split"), [splits]))
    with pytest.raises(BadInput, match="validation rows only"):
        fit(mixed)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(true: float, predictions: Draw) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    rows = predictions(labels, 1 / (1 + np.exp(-logits * true)))
    temperature = fit_temperature(rows)
    assert temperature.value == pytest.approx(true, rel=0.06) and temperature.reason == ""
    before, after = (metrics.nll(labels, scores).value for scores in (rows.scores, temperature(rows.scores)))
    assert before is not None and after is not None and after <= before + 1e-9


def test_a_temperature_keeps_the_order_and_the_gaps() -> None:
    scores = np.array([0.1, np.nan, 0.5, 0.9])
    calibrated = Temperature(2.0)(scores)
    assert np.isnan(calibrated[1]) and calibrated[2] == pytest.approx(0.5)
    assert calibrated[0] > 0.1 and calibrated[3] < 0.9
    assert Temperature()(scores) is scores
    with pytest.raises(BadInput, match="positive"):
        Temperature(0.0)


def test_a_temperature_that_cannot_be_fitted_says_so(predictions: Draw) -> None:
    assert fit_temperature(predictions(np.ones(5), np.full(5, 0.7))) == Temperature(
        1.0, "not fitted: needs answered pictures of both classes"
    )
    separable = predictions(np.array([0, 1] * 20), np.array([0.2, 0.8] * 20))
    assert "edge" in fit_temperature(separable).reason


def test_thresholds_are_what_their_names_say(drawn: Draw) -> None:
    rows = drawn()
    thresholds = set_thresholds(rows)
    assert set(thresholds) == set(THRESHOLDS) == {"eer", "fpr1"}
    eer, fpr1 = thresholds["eer"], thresholds["fpr1"]
    assert eer.expected_fpr == pytest.approx(metrics.eer(rows.labels, rows.scores).value, abs=2e-3)
    assert eer.expected_fpr == pytest.approx(eer.expected_fnr, abs=2e-3)
    assert fpr1.expected_fpr is not None and fpr1.expected_fpr <= 0.01
    best = metrics.tpr_at_fpr(rows.labels, rows.scores, 0.01).value
    assert fpr1.expected_fnr is not None and 1 - fpr1.expected_fnr == pytest.approx(best)
    for threshold in (eer, fpr1):
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
    assert too_few.value is None and too_few.expected_fpr is None and "99 genuine" in too_few.reason
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
    threshold = calibration.threshold_eer(predictions(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.75, 0.875])))
    assert (threshold.value, threshold.expected_fpr, threshold.expected_fnr) == (0.5, 0.0, 0.0)


def test_a_verdict_carries_what_to_expect_of_it() -> None:
    threshold = Threshold("eer", 0.4, 0.1, 0.2, 500, 500)
    verdict = judge(0.4, threshold, ("real", "generated"), id="abc", uri="a.png")
    assert (verdict.label, verdict.score, verdict.threshold) == ("generated", 0.4, 0.4)
    assert (verdict.expected_fpr, verdict.expected_fnr, verdict.id, verdict.uri) == (0.1, 0.2, "abc", "a.png")
    assert verdict.threshold_id == threshold.id and threshold.id.startswith("eer-")
    assert threshold.id != Threshold("eer", 0.4, 0.1, 0.3, 500, 500).id
    assert judge(0.39, threshold, ("live", "spoof")).label == "live"


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_what_is_no_score_gets_no_verdict(score: float) -> None:
    with pytest.raises(BadInput, match=r"\[0, 1\]"):
        judge(score, Threshold("eer", 0.4, 0.1, 0.2, 500, 500), ("real", "generated"))


def test_a_threshold_without_value_judges_nothing() -> None:
    with pytest.raises(BadInput, match="99 genuine"):
        judge(0.5, Threshold("fpr1", None, None, None, 99, 10, "99 genuine"), ("real", "generated"))
