from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.special import expit, logit

from gencv.core.calibrator import HIGHEST, Calibrator, logits_of, probabilities_of
from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.calibration import CALIBRATIONS, END_SLOPE, fit_calibrator
from gencv.evaluate.conformal import set_band
from gencv.evaluate.decision import DecisionSettings, settle
from gencv.evaluate.scoping import set_scope
from gencv.evaluate.thresholds import THRESHOLDS, set_thresholds
from gencv.evaluate.validation import Validation

Draw = Callable[..., Predictions]
FITS: list[Callable[[Predictions], object]] = [
    *(partial(fit_calibrator, kind=kind) for kind in CALIBRATIONS),
    set_thresholds,
    *THRESHOLDS.values(),
    partial(set_band, error_rate=0.05),
    partial(settle, settings=DecisionSettings()),
    partial(set_scope, features=np.ones((400, 3), np.float32), size_px=224, bank=np.ones((9, 3), np.float32)),
]
each = pytest.mark.parametrize("kind", CALIBRATIONS)


@pytest.mark.parametrize("split", ["test", "train", None])
def test_other_rows_never_become_validation(split: str, drawn: Draw) -> None:
    rows = drawn(400).filled(split=["val"] * 399 + [split])
    with pytest.raises(BadInput, match="validation rows only"):
        Validation(rows.table)


@pytest.mark.parametrize("fit", FITS)
def test_only_validation_may_set_anything(fit: Callable[[Predictions], object], drawn: Draw) -> None:
    for split in ("val", "test"):  # a type checker says so before
        with pytest.raises(AttributeError, match="'Predictions' object"):
            fit(Predictions(drawn(400, split=split).table))


def test_without_validation_rows_a_sentence_says_what_to_do(predictions: Draw) -> None:
    with pytest.raises(BadInput, match="there are none; make the manifest with --splits for val"):
        Validation(predictions(np.zeros(0), np.zeros(0)).table)


def spoiled(predictions: Draw, spoil: Callable[[np.ndarray], np.ndarray], num: int = 20_000) -> Predictions:
    """Return rows whose scores were true probabilities before their logits were spoiled."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, num)
    labels = (rng.random(num) < expit(logits)).astype(int)
    return predictions(labels, expit(spoil(logits)))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(true: float, predictions: Draw) -> None:
    calibrator = fit_calibrator(spoiled(predictions, lambda logits: logits * true), "temperature")
    assert 1 / calibrator.slope == pytest.approx(true, rel=0.06) and calibrator.reason == ""


def test_platt_finds_the_slope_and_the_offset_that_spoiled_the_logits(predictions: Draw) -> None:
    calibrator = fit_calibrator(spoiled(predictions, lambda logits: 2 * logits + 3), "platt")
    told = logit(calibrator(np.array([3.0, 5.0])))  # were 0 and 1
    np.testing.assert_allclose(told, [0, 1], atol=0.1)


@each
def test_a_calibration_makes_the_scores_true(kind: str, predictions: Draw) -> None:
    rows = spoiled(predictions, lambda logits: 2.5 * logits)
    calibrator = fit_calibrator(rows, kind)
    calibrated = calibrator.rescore(rows.scores)
    before, after = (metrics.nll(rows.labels, scores).value for scores in (rows.scores, calibrated))
    assert before is not None and after is not None and after < before - 0.1
    off = metrics.ece(rows.labels, calibrated).value
    assert off is not None and off < 0.015
    assert calibrator.prior == rows.labels.mean()
    assert (calibrator.num_genuine, calibrator.num_positive) == ((rows.labels == 0).sum(), (rows.labels == 1).sum())


@each
def test_the_ranking_is_kept_picture_by_picture(kind: str, drawn: Draw) -> None:
    rows = drawn(600)
    calibrated = fit_calibrator(rows, kind).rescore(rows.scores)
    order = np.argsort(rows.scores, kind="stable")
    assert (np.diff(calibrated[order])[np.diff(rows.scores[order]) > 0] > 0).all()
    assert metrics.auroc(rows.labels, calibrated) == metrics.auroc(rows.labels, rows.scores)


def test_platt_is_the_logistic_regression_of_drawn_in_labels(drawn: Draw) -> None:
    from sklearn.linear_model import LogisticRegression

    rows = drawn(300)
    logits, num = logits_of(rows.scores)[:, None], 150
    targets = np.where(rows.labels == 1, (num + 1) / (num + 2), 1 / (num + 2))
    reference = LogisticRegression(C=1e12, tol=1e-10, max_iter=1_000).fit(
        np.concatenate([logits, logits]), [1] * 300 + [0] * 300, sample_weight=np.concatenate([targets, 1 - targets])
    )
    calibrator = fit_calibrator(rows, "platt")
    np.testing.assert_allclose(
        logit(calibrator(np.array([0.0, 1.0]))), reference.decision_function([[0.0], [1.0]]), atol=1e-4
    )


def test_isotonic_has_the_levels_of_scikit_learn(drawn: Draw) -> None:
    from sklearn.isotonic import IsotonicRegression

    rows = drawn(300)
    calibrator = fit_calibrator(rows, "isotonic")
    logits = logits_of(rows.scores)
    # The same two pictures more: a positive at the lowest logit, a genuine one at the highest.
    reference = IsotonicRegression().fit([logits.min(), logits.max(), *logits], [1, 0, *rows.labels])
    levels = np.unique(np.round(reference.predict(logits), 12))
    np.testing.assert_allclose(expit(calibrator.heights), levels, atol=1e-9)
    assert calibrator.slope == END_SLOPE and levels.min() > 0 and levels.max() < 1


@each
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_the_scores_and_says_so(kind: str, label: int, predictions: Draw) -> None:
    found = fit_calibrator(predictions(np.full(5, label), np.linspace(0.1, 0.7, 5)), kind)
    assert found.reason == "not fitted: needs answered pictures of both classes" and found.prior is None
    np.testing.assert_array_equal(found(np.array([0.3])), Calibrator()(np.array([0.3])))


@each
def test_equal_scores_leave_the_scores_and_say_so(kind: str, predictions: Draw) -> None:
    found = fit_calibrator(predictions(np.arange(80) % 2, np.full(80, 0.7)), kind)
    assert "all scores are equal" in found.reason and found.kind == "none" and found.prior == 0.5


@each
def test_pictures_without_an_answer_have_no_part(kind: str, drawn: Draw, predictions: Draw) -> None:
    rows = drawn(400)
    labels, scores = np.append(rows.labels, [0, 1, 1]), np.append(rows.scores, [np.nan] * 3)
    assert fit_calibrator(predictions(labels, scores), kind) == fit_calibrator(rows, kind)


@each
def test_few_pictures_are_fitted_with_a_warning(kind: str, predictions: Draw) -> None:
    found = fit_calibrator(predictions(np.arange(40) % 2, np.random.default_rng(0).random(40)), kind)
    assert found.kind == kind and "20 genuine and 20 positive validation pictures, 30 of each needed" in found.reason


@each
def test_separate_classes_give_numbers(kind: str, predictions: Draw) -> None:
    found = fit_calibrator(predictions(np.array([0, 1] * 40), np.array([0.2, 0.8] * 40)), kind)
    assert ("edge" in found.reason) == (kind == "temperature")
    low, high = found.rescore(np.array([0.2, 0.8]))
    assert low < 0.05 and high > 0.95


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_detector_that_is_the_wrong_way_round_is_not_turned(kind: str, drawn: Draw, predictions: Draw) -> None:
    rows = drawn(400)
    found = fit_calibrator(predictions(1 - rows.labels, rows.scores), kind)
    assert "do not rise" in found.reason
    told = found.rescore(np.array([0.1, 0.9]))
    assert 0.3 < told[0] < told[1] < 0.7


def test_an_unknown_calibration_or_error_rate_is_named() -> None:
    with pytest.raises(UnknownName, match="isotonic, platt, temperature"):
        DecisionSettings(calibration="beta")
    for rate in (0.0, 0.6, float("nan")):
        with pytest.raises(BadInput, match="error-rate"):
            DecisionSettings(error_rate=rate)


@each
def test_a_decision_is_set_on_the_calibrated_scores(kind: str, drawn: Draw) -> None:
    rows = drawn(800)
    decision = settle(rows, DecisionSettings(calibration=kind, error_rate=0.1))
    calibrated = Validation(decision.rescored(rows).table)
    assert decision.thresholds == set_thresholds(calibrated)
    assert decision.band == set_band(calibrated, 0.1) and decision.band.promises
    fields = decision.fields()
    assert set(fields) == {"calibrator", "thresholds", "band"}
    assert fields["thresholds"]["balanced"]["value"] == decision.thresholds["balanced"].value


@each
@pytest.mark.parametrize("gap", [0.1, 0.0])
def test_other_rows_keep_their_ranking_where_validation_is_separate(kind: str, gap: float, predictions: Draw) -> None:
    rng = np.random.default_rng(0)
    near = np.abs(rng.normal(0.5, 1, 120)) + gap
    val = predictions(np.arange(120) % 2, probabilities_of(np.where(np.arange(120) % 2 == 1, near, -near)))
    calibrator = fit_calibrator(val, kind)
    assert ("edge" in calibrator.reason) == (kind == "temperature")
    labels = np.arange(2_000) % 2
    logits = rng.normal(np.where(labels == 1, 2.5, -2), 1.2)
    raw, told = probabilities_of(logits), calibrator(logits).astype(np.float32).astype(float)
    assert metrics.auroc(labels, told).value == pytest.approx(metrics.auroc(labels, raw).value, abs=1e-3)
    assert metrics.tpr_at_fpr(labels, told, 0.01) == metrics.tpr_at_fpr(labels, raw, 0.01)


def test_platt_leaves_room_where_the_classes_nearly_touch(predictions: Draw) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(4_000) % 2
    far = np.where(labels == 1, 1, -1) * np.append(rng.uniform(0.01, 0.3, 3_990), np.full(10, 5.0))
    calibrator = fit_calibrator(predictions(labels, probabilities_of(far)), "platt")
    told = calibrator(np.linspace(-6, 6, 121)).astype(np.float32)
    assert (np.diff(told) > 0).all()


@each
def test_no_threshold_lies_above_scores_that_are_one_to_rounding(kind: str, predictions: Draw) -> None:
    labels = np.arange(1_000) % 2
    rng = np.random.default_rng(0)
    val_logits, logits = (np.where(labels == 1, rng.normal(30, 12, 1_000), rng.normal(-12, 20, 1_000)) for _ in "ab")
    rows = predictions(labels, np.float32(probabilities_of(val_logits)))
    assert (rows.scores[labels == 0] >= HIGHEST).mean() > 0.01
    decision = settle(rows, DecisionSettings(calibration=kind))
    fpr1, eer = decision.thresholds["fpr1"], decision.thresholds["eer"]
    assert (fpr1.value, fpr1.expected_fpr, fpr1.expected_fnr) == (None, None, None)
    assert fpr1.reason.startswith("the highest validation scores are all equal to rounding")
    # What is promised holds for a detector, which calibrates logits as they are.
    told = decision.calibrator(logits)
    assert eer.value is not None and eer.expected_fpr is not None and 0 < eer.expected_fpr < 0.4
    assert (told[labels == 0] >= eer.value).mean() == pytest.approx(eer.expected_fpr, abs=0.06)
    assert decision.band.upper == 1.0 and decision.band.lower is not None and 0 < decision.band.lower < 1


@each
def test_no_bound_lies_below_scores_that_are_zero_to_rounding(kind: str, predictions: Draw) -> None:
    labels = np.arange(1_000) % 2
    scores = np.random.default_rng(0).uniform(0.2, 0.8, 1_000) + (labels - 0.5) * 0.3
    scores[1:200:2] = 0.0  # a fifth of the positives
    decision = settle(predictions(labels, scores), DecisionSettings(calibration=kind))
    assert decision.band.lower == 0.0 and decision.band.upper is not None and decision.band.upper < 1
    assert all(one.value is not None for one in decision.thresholds.values() if one.name != "fpr0.1")
