from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from gencv.core.band import Band
from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.conformal import level_by_group, set_band
from gencv.evaluate.uncertainty import CLASS_OF, TITLES, reasons_of, uncertainty
from gencv.evaluate.validation import Validation
from gencv.evaluate.verdicts import REASONS, decide

Draw = Callable[..., Predictions]


def simulate(
    predictions: Draw, seed: int, num_groups: int, *, distance: float = 2.0, split: str = "val"
) -> Predictions:
    """Draw groups of one to twenty pictures that fail together; large groups are the easier ones.

    So the share of errors by picture is far below the one by group, and a quantile over rows would promise too much.
    """
    rng = np.random.default_rng(seed)
    labels, logits, groups = [], [], []
    for label in (0, 1):
        for group in range(num_groups):
            size = int(rng.integers(1, 21))
            hard = 1.5 * (size <= 4)
            middle = (2 * label - 1) * (distance / 2 - hard) + rng.normal(0, 0.8)
            logits.append(middle + rng.normal(0, 0.6, size))
            labels += [label] * size
            groups += [f"{label}-{group}"] * size
    return predictions(np.array(labels), expit(np.concatenate(logits)), groups=groups, split=split)


def errors_by_group(rows: Predictions, band: Band) -> list[float]:
    """Return the share of either class that gets the other as its verdict, every group counted once."""
    called, reasons = decide(rows.scores, 0.5, band)
    wrong = np.array([not codes for codes in reasons]) & (called != (rows.labels == 1))
    names = rows.column("group")
    found = []
    for label in (0, 1):
        mine = rows.labels == label
        _, codes, counts = np.unique(names[mine], return_inverse=True, return_counts=True)
        found.append(float((np.bincount(codes, wrong[mine]) / counts).mean()))
    return found


@pytest.mark.parametrize("error_rate", [0.05, 0.1])
@pytest.mark.parametrize("distance", [2.0, 6.0])
def test_the_promised_error_rate_holds_by_group(error_rate: float, distance: float, predictions: Draw) -> None:
    new = simulate(predictions, 10_000, 1_000, distance=distance, split="test")
    bands = [set_band(simulate(predictions, seed, 80, distance=distance), error_rate) for seed in range(60)]
    found = np.mean([errors_by_group(new, band) for band in bands], axis=0)
    assert (found <= error_rate + 0.02).all(), found


def test_strange_pictures_are_as_many_as_promised_and_a_quantile_over_rows_would_be_wrong(predictions: Draw) -> None:
    new = simulate(predictions, 10_000, 1_000, split="test")
    mine, names = new.labels == 0, new.column("group")
    _, codes, counts = np.unique(names[mine], return_inverse=True, return_counts=True)

    def strange(upper: float) -> float:
        return float((np.bincount(codes, new.scores[mine] > upper) / counts).mean())

    by_group, by_row = [], []
    for seed in range(60):
        val = simulate(predictions, seed, 80)
        band = set_band(val, 0.1)
        assert band.upper is not None
        by_group.append(strange(band.upper))
        by_row.append(strange(float(np.quantile(val.scores[val.labels == 0], 0.9))))
    assert np.mean(by_group) == pytest.approx(0.1, abs=0.02)
    assert np.mean(by_row) > 0.13


def test_the_level_is_the_classic_one_where_every_group_is_one_picture() -> None:
    values = np.random.default_rng(0).permutation(99)
    assert level_by_group(values, np.arange(99), 0.95) == 94  # the 95th of 100, the new one included
    assert level_by_group(np.arange(19), np.arange(19), 0.95) == 18


def test_a_group_of_many_pictures_decides_no_more_than_one_of_one() -> None:
    values, groups = np.array([*range(30), *[100] * 970]), np.array([*range(30), *[30] * 970])
    assert level_by_group(values, groups, 0.9) == 28
    assert np.quantile(values, 0.9) == 100


def test_a_calibration_does_not_change_who_is_uncertain(drawn: Draw) -> None:
    rows = drawn(800)
    bent = Validation(rows.rescored(rows.scores**3 * 0.8 + 0.1).table)
    plain, curved = (decide(each.scores, 0.0, set_band(each, 0.1))[1] for each in (rows, bent))
    assert 0 < plain.count(("fits_both",)) < 800
    of_fit = [[{*codes} - {"against_threshold"} for codes in reasons] for reasons in (plain, curved)]
    assert of_fit[0] == of_fit[1]


@pytest.mark.parametrize(
    ("labels", "counts"), [(np.zeros(40), "40 groups of genuine and 0 of"), (np.arange(36) % 2, "18 groups")]
)
def test_too_few_groups_promise_nothing_and_say_so(labels: np.ndarray, counts: str, predictions: Draw) -> None:
    band = set_band(predictions(labels, np.linspace(0, 1, len(labels))), 0.05)
    assert not band.promises and counts in band.reason and "19 of each needed" in band.reason
    assert "No error rate is promised" in band.describe(("live", "spoof"))
    assert set_band(predictions(np.arange(38) % 2, np.linspace(0, 1, 38)), 0.05).promises


def test_equal_scores_are_all_uncertain(predictions: Draw) -> None:
    rows = predictions(np.arange(80) % 2, np.full(80, 0.5))
    assert set(decide(rows.scores, 0.5, set_band(rows, 0.05))[1]) == {("fits_both",)}


def test_pictures_without_an_answer_have_no_part(drawn: Draw, predictions: Draw) -> None:
    rows = drawn(400)
    labels, scores = np.append(rows.labels, [0, 1]), np.append(rows.scores, [np.nan] * 2)
    groups = [*rows.column("group"), "more", "more"]
    assert set_band(predictions(labels, scores, groups=groups), 0.05) == set_band(rows, 0.05)


@pytest.mark.parametrize("fields", [{"error_rate": 0.0}, {"error_rate": 0.7}, {"error_rate": 0.1, "upper": 0.5}])
def test_a_band_that_means_nothing_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Band(**fields)  # type: ignore[arg-type]


def test_what_is_written_is_what_is_read(drawn: Draw) -> None:
    band = set_band(drawn(400), 0.1)
    assert Band.from_dict(band.to_dict()) == band
    assert "at most 10.0% of either class" in band.describe(("real", "generated"))


def test_uncertainty_by_hand(predictions: Draw) -> None:
    # Genuine: sure and right, sure and wrong, uncertain, unanswered; positives: two right, two uncertain.
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([0.1, 0.9, 0.5, np.nan, 0.9, 0.8, 0.5, 0.4])
    band = Band(error_rate=0.05, lower=0.3, upper=0.7)
    found = uncertainty(predictions(labels, scores), 0.5, band, num_replicates=50)
    assert set(found) == set(TITLES)
    values = {name: metric.value for name, metric in found.items()}
    assert values == pytest.approx(
        {
            "uncertain": 3 / 7,
            "uncertain_genuine": 1 / 3,
            "uncertain_positive": 0.5,
            "certain_error": 0.25,
            "certain_fpr": 1 / 3,
            "certain_fnr": 0.0,
        }
    )
    assert "exact interval over 4 groups" in found["certain_fnr"].reason


def test_reasons_are_counted_row_by_row(predictions: Draw) -> None:
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.5, 0.6, 0.9, np.nan])
    lows, outside = [0.1, 0.3, 0.4, 0.8, None], [[], ["blurred"], ["blurred", "too_small"], [], None]
    rows = predictions(labels, scores, score_low=lows, score_high=[0.1, 0.7, 0.7, 0.9, None], outside=outside)
    found = reasons_of(rows, 0.45, Band(error_rate=0.05, lower=0.3, upper=0.7))
    assert list(found) == list(REASONS)
    assert {code: count for code, count in found.items() if count} == {
        "fits_both": 2,
        "unstable": 2,
        "too_small": 1,
        "blurred": 2,
    }


def test_uncertainty_has_intervals_and_counts_groups_once(predictions: Draw) -> None:
    rows = simulate(predictions, 1, 100, split="test")
    band = set_band(simulate(predictions, 0, 100), 0.1)
    found = uncertainty(rows, 0.5, band, num_replicates=200)
    for metric in found.values():
        assert metric.value is not None and metric.low is not None and metric.high is not None
        assert metric.low < metric.value < metric.high
    assert [found["certain_fpr"].value, found["certain_fnr"].value] == pytest.approx(errors_by_group(rows, band))
    assert set(CLASS_OF) <= set(found)


def test_uncertainty_of_nothing_or_of_one_class_is_reasons(predictions: Draw) -> None:
    assert all(
        metric.reason == metrics.NO_ANSWER
        for metric in uncertainty(predictions(np.zeros(0), np.zeros(0)), 0.5, None).values()
    )
    found = uncertainty(predictions(np.zeros(5), np.full(5, 0.2)), 0.5, None, num_replicates=20)
    assert found["certain_fnr"].value is None and found["certain_fnr"].reason
    assert found["certain_error"].value == 0 and found["uncertain"].value == 0
