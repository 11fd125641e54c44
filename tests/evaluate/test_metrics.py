from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference
from sklearn.isotonic import IsotonicRegression

from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.metrics import DECISION, RANKING, Metric

Draw = Callable[..., Predictions]
NEEDS_BOTH = ("auroc", "average_precision", "eer", "cllr_min")
quick = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and scores from a coarse grid so that ties are the rule."""
    num = draw(st.integers(2, 60))
    labels = draw(arrays(np.int64, num, elements=st.integers(0, 1)))
    labels[:2] = 0, 1
    return labels, draw(arrays(np.int64, num, elements=st.integers(0, 12))) / 12


def value_of(metric: Metric) -> float:
    assert metric.value is not None
    return metric.value


@quick
@given(labelled_scores())
def test_ranking_and_probability_metrics_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = case
    assert value_of(metrics.auroc(labels, scores)) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-9)
    assert value_of(metrics.average_precision(labels, scores)) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-9
    )
    assert value_of(metrics.brier(labels, scores)) == pytest.approx(
        reference.brier_score_loss(labels, scores), abs=1e-9
    )
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    assert value_of(metrics.nll(labels, scores)) == pytest.approx(reference.log_loss(labels, clipped), abs=1e-9)


@quick
@given(labelled_scores(), st.integers(0, 24))
def test_decision_metrics_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray], place: int) -> None:
    labels, scores = case
    threshold = place / 24
    called = (scores >= threshold).astype(int)
    expected = {
        "accuracy": reference.accuracy_score(labels, called),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called, zero_division=0),
        "recall": reference.recall_score(labels, called),
        "f1": reference.f1_score(labels, called, zero_division=0),
        "apcer_pooled": 1 - reference.recall_score(labels, called),
        "bpcer": 1 - reference.recall_score(labels, called, pos_label=0),
        "acer_pooled": 1 - reference.balanced_accuracy_score(labels, called),
        "hter": 1 - reference.balanced_accuracy_score(labels, called),
    }
    found = {name: metric(labels, scores, threshold).value for name, metric in DECISION.items()}
    assert found == pytest.approx(expected, abs=1e-9)
    counts = metrics.confusion(labels, scores, threshold)
    assert [[counts.tn, counts.fp], [counts.fn, counts.tp]] == reference.confusion_matrix(labels, called).tolist()


@quick
@given(labelled_scores())
def test_the_eer_lies_where_the_interpolated_roc_crosses_the_diagonal(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = case
    fpr, tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    # FPR + TPR grows with every point, upright steps too, so it can be the axis to interpolate along.
    assert value_of(metrics.eer(labels, scores)) == pytest.approx(np.interp(1.0, fpr + tpr, fpr), abs=1e-9)


@quick
@given(labelled_scores(), st.sampled_from([0.5, 0.25, 0.1]))
def test_rates_at_a_target_are_the_best_of_all_thresholds(case: tuple[np.ndarray, np.ndarray], target: float) -> None:
    labels, scores = case
    thresholds = [*np.unique(scores), np.inf]
    counts = [metrics.confusion(labels, scores, t) for t in thresholds]
    found = metrics.tpr_at_fpr(labels, scores, target)
    if (labels == 0).sum() < 1 / target:
        assert found.value is None and found.reason.startswith("too_few")
    else:
        best = max(c.tp / c.num_positive for c in counts if c.fp / c.num_genuine <= target)
        assert found.value == pytest.approx(best, abs=1e-12)
    found = metrics.bpcer_at_apcer(labels, scores, target)
    if (labels == 1).sum() < 1 / target:
        assert found.value is None and found.reason.startswith("too_few")
    else:
        best = min(c.fp / c.num_genuine for c in counts if c.fn / c.num_positive <= target)
        assert found.value == pytest.approx(best, abs=1e-12)


@quick
@given(labelled_scores(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(case: tuple[np.ndarray, np.ndarray], random: object) -> None:
    labels, scores = case
    order = np.random.default_rng(random.randint(0, 2**31)).permutation(len(labels))  # type: ignore[attr-defined]
    for name, metric in RANKING.items():
        shuffled = metric(labels[order], scores[order]).value
        assert shuffled == pytest.approx(metric(labels, scores).value, abs=1e-12), name


@quick
@given(labelled_scores(), st.floats(0.2, 5))
def test_a_monotone_change_of_scores_keeps_every_ranking(case: tuple[np.ndarray, np.ndarray], power: float) -> None:
    labels, scores = case
    for name in NEEDS_BOTH:
        bent = RANKING[name](labels, (scores * 0.9 + 0.05) ** power).value
        assert bent == pytest.approx(RANKING[name](labels, scores).value, abs=1e-12), name


@quick
@given(labelled_scores())
def test_turning_the_scores_around_turns_the_auroc_around(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = case
    assert value_of(metrics.auroc(labels, 1 - scores)) == pytest.approx(1 - value_of(metrics.auroc(labels, scores)))


@quick
@given(labelled_scores(), st.sampled_from([0.5, 0.1]))
def test_cllr_is_the_log_loss_of_balanced_classes(case: tuple[np.ndarray, np.ndarray], prior: float) -> None:
    labels, scores = case[0], case[1] * 0.998 + 0.001  # nearer to 1 the reference itself is not exact to 1e-9
    odds = scores / (1 - scores) * (1 - prior) / prior
    weights = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())
    expected = reference.log_loss(labels, odds / (1 + odds), sample_weight=weights) / np.log(2)
    assert value_of(metrics.cllr(labels, scores, prior)) == pytest.approx(expected, abs=1e-9)


@quick
@given(labelled_scores())
def test_cllr_min_is_that_of_scikit_learns_isotonic_regression(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = case
    weights = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())
    told = IsotonicRegression().fit_transform(scores, labels, sample_weight=weights)
    given_truth = np.where(labels == 1, told, 1 - told)
    expected = -(weights * np.log2(np.maximum(given_truth, 1e-300))).sum()
    least = value_of(metrics.cllr_min(labels, scores))
    assert least == pytest.approx(expected, abs=1e-9)
    lost = value_of(metrics.cllr_cal(labels, scores))
    assert lost >= -1e-9 and lost + least == pytest.approx(value_of(metrics.cllr(labels, scores)), abs=1e-9)


def test_cllr_removes_the_prior_and_says_where_it_knows_none() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert metrics.cllr(labels, np.full(100, 0.1), 0.1) == Metric(pytest.approx(1.0))
    unknown = metrics.cllr(labels, np.full(100, 0.1))
    assert unknown.value is not None and unknown.value > 1 and ".5 is assumed" in unknown.reason
    sure = metrics.cllr(labels, labels.astype(float), 0.1)
    assert sure.value == pytest.approx(0, abs=1e-6) and "100 scores clipped" in sure.reason
    assert metrics.cllr_min(labels, np.full(100, 0.1)).value == pytest.approx(1.0)
    assert metrics.cllr_min(labels, labels * 0.5).value == pytest.approx(0.0)
    assert metrics.cllr_min(labels, 1 - labels * 0.5).value == pytest.approx(1.0)  # a ranking upside down tells nothing


def test_a_constant_score_is_chance_and_its_precision_is_the_prevalence() -> None:
    labels, scores = np.array([1, 0, 0, 0]), np.full(4, 0.5)
    assert metrics.auroc(labels, scores).value == 0.5
    assert metrics.eer(labels, scores).value == pytest.approx(0.5)
    assert metrics.average_precision(labels, scores).value == 0.25
    assert metrics.brier(labels, np.full(4, 0.25)).value == pytest.approx(0.25 * 0.75)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_no_figure_but_a_reason(label: int) -> None:
    labels, scores = np.full(200, label), np.linspace(0, 1, 200)
    for name in NEEDS_BOTH:
        assert RANKING[name](labels, scores) == Metric(None, reason=metrics.ONE_CLASS)
    for name in ("balanced_accuracy", "acer_pooled"):
        found = DECISION[name](labels, scores, 0.5)
        assert found.value is None and found.reason
    assert metrics.tpr_at_fpr(labels, scores, 0.01).value is None
    assert metrics.cllr(labels, scores) == metrics.cllr_cal(labels, scores) == Metric(None, reason=metrics.ONE_CLASS)
    assert metrics.bpcer_at_apcer(labels, scores, 0.01).value is None
    with pytest.raises(BadInput, match="both classes"):
        metrics.roc(labels, scores)


def test_no_rows_give_no_figures() -> None:
    empty = np.zeros(0)
    found = [metric(empty, empty) for metric in RANKING.values()]
    found += [DECISION[name](empty, empty, 0.5) for name in ("accuracy", "apcer_pooled", "bpcer")]
    assert all(metric.value is None and metric.reason for metric in found)


def test_nought_over_nought_is_nought_and_says_so() -> None:
    labels, scores = np.array([1, 0]), np.array([0.1, 0.2])
    precision = metrics.precision(labels, scores, 0.9)
    assert (precision.value, precision.undefined) == (0.0, True)
    assert "undefined" in precision.reason
    recall = metrics.recall(np.array([0]), np.array([0.2]), 0.1)
    assert (recall.value, recall.undefined) == (0.0, True)
    assert metrics.f1(np.array([0]), np.array([0.2]), 0.9).undefined


def test_no_answer_is_wrong_for_both_classes_and_has_no_rank() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, np.nan, 0.1, np.nan])
    assert metrics.accuracy(labels, scores, 0.5).value == 0.5
    assert metrics.apcer(labels, scores, 0.5).value == 0.5
    assert metrics.bpcer(labels, scores, 0.5).value == 0.5
    assert metrics.auroc(labels, scores).value == 1.0
    counts = metrics.confusion(labels, scores, 0.5)
    assert (counts.num_unanswered_positive, counts.num_unanswered_genuine) == (1, 1)


def test_apcer_is_that_of_the_worst_species() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0])
    species = np.array(["print", "print", "replay", "replay", "camera", "camera"], dtype=object)
    scores = np.array([0.9, 0.2, 0.9, 0.9, 0.1, 0.8])
    each = metrics.apcer_by_species(labels, scores, species, 0.5)
    assert {name: metric.value for name, metric in each.items()} == {"print": 0.5, "replay": 0.0}
    worst = metrics.apcer_max(labels, scores, species, 0.5)
    assert worst.value == 0.5 and "print" in worst.reason
    assert metrics.acer_max(labels, scores, species, 0.5).value == 0.5
    assert metrics.acer_pooled(labels, scores, 0.5).value == pytest.approx((0.25 + 0.5) / 2)


def test_calibration_error_by_hand() -> None:
    # Two filled bins: .9 holds three rows of which two are positive, 1.0 goes to the last bin with .95.
    labels = np.array([1, 1, 0, 1, 0])
    scores = np.array([0.9, 0.9, 0.9, 1.0, 0.95])
    expected = (abs(2 - 2.7) + abs(1 - 1.95)) / 5
    assert metrics.ece(labels, scores).value == pytest.approx(expected)
    assert metrics.ece_equal_mass(np.array([1, 0]), np.array([0.5, 0.5])).value == pytest.approx(0)


def test_nll_says_how_many_scores_were_clipped() -> None:
    found = metrics.nll(np.array([1, 0]), np.array([0.0, 0.5]))
    assert found.value == pytest.approx((-np.log(1e-7) - np.log(0.5)) / 2)
    assert found.reason.startswith("1 scores clipped")


def test_summary_has_every_metric_and_intervals_around_them(drawn: Draw) -> None:
    summary = metrics.summarise(drawn(), 0.5, num_replicates=200)
    assert set(metrics.TITLES) <= set(summary)
    labels, scores, _ = metrics.labelled(drawn(), "generator")
    for name, metric in RANKING.items():
        assert summary[name].value == metric(labels, scores).value
    for name in [
        "auroc",
        "eer",
        "tpr_at_fpr_1",
        "bpcer20",
        "accuracy",
        "f1",
        "apcer_max",
        "ece",
        "nll",
        "brier",
        "cllr",
        "cllr_min",
        "cllr_cal",
    ]:
        found = summary[name]
        assert found.value is not None and found.low is not None and found.high is not None
        assert found.low < found.high
        if name not in ("ece", "cllr_cal"):  # the bootstrap of what calibration costs is biased upwards
            assert found.low <= found.value <= found.high, name
    assert summary["tpr_at_fpr_0.5"].value is not None
    assert "glide" in summary["apcer_max"].reason


def test_summary_without_threshold_keeps_what_needs_none(drawn: Draw) -> None:
    summary = metrics.summarise(drawn(400), None, num_replicates=20)
    assert summary["auroc"].value is not None
    assert {summary[name].reason for name in (*DECISION, "apcer_max", "acer_max")} == {metrics.NO_THRESHOLD}


def test_summary_leaves_unlabelled_rows_out_and_counts_those_without_answer(predictions: Draw) -> None:
    rows = predictions(np.array([1, 1, 0, 0, -1]), np.array([0.9, np.nan, 0.1, 0.2, 0.9]))
    summary = metrics.summarise(rows, 0.5, num_replicates=20)
    counted = {
        name: summary[name].value for name in ("num_positive", "num_genuine", "num_unanswered", "apnrr", "bpnrr")
    }
    assert counted == {"num_positive": 2, "num_genuine": 2, "num_unanswered": 1, "apnrr": 0.5, "bpnrr": 0}
    assert summary["apnrr"].low == 0 and summary["apnrr"].high == 1
    assert "exact interval over 2 groups" in summary["bpnrr"].reason
    assert "few groups" in summary["auroc"].reason


def test_summary_of_nothing_is_reasons(predictions: Draw) -> None:
    summary = metrics.summarise(predictions(np.zeros(0), np.zeros(0)), 0.5)
    assert summary["auroc"] == Metric(None, reason=metrics.ONE_CLASS)


def test_a_perfect_rate_gets_an_exact_interval(predictions: Draw) -> None:
    labels = np.arange(60) % 2
    summary = metrics.summarise(predictions(labels, labels * 0.8 + 0.1), 0.5, num_replicates=50)
    recall = summary["recall"]
    assert (recall.value, recall.high) == (1.0, 1.0)
    assert recall.low == pytest.approx(0.025 ** (1 / 30))
    assert summary["auroc"].value == 1.0 and "same value" in summary["auroc"].reason


def test_text_shows_the_interval_only_where_there_is_one() -> None:
    assert Metric(0.5, 0.25, 0.75).text(2) == "0.50 [0.25, 0.75]"
    assert Metric(0.5).text() == "0.500"
    assert Metric(None, reason="too_few").text() == "–"
