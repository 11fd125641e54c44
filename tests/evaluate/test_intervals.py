import re
import time
from collections.abc import Callable

import numpy as np
import pytest

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics, replicates
from gencv.evaluate.intervals import bootstrap, exact_rate

Draw = Callable[..., Predictions]


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_weights_of_one_give_the_metrics_themselves(drawn: Draw) -> None:
    labels, scores, species = metrics.labelled(drawn(600), "generator")
    scores = np.round(scores, 1)  # ties within and across the classes
    scores[::50] = np.nan
    summary = metrics._points(labels, scores, species, 0.4, 0.5)
    statistics = replicates.statistics_of(labels, scores, 0.4, species)(np.ones((1, len(labels))))
    assert {name: values[0] for name, values in statistics.items()} == pytest.approx(
        {name: summary[name].value if summary[name].value is not None else statistics[name][0] for name in statistics},
        abs=1e-9,
    )


def test_weights_act_as_if_rows_were_repeated(drawn: Draw) -> None:
    labels, scores, species = metrics.labelled(drawn(400), "generator")
    times = np.random.default_rng(3).integers(0, 4, len(labels))
    weighted = replicates.statistics_of(labels, scores, 0.4, species)(times[None, :].astype(float))
    longer = [np.repeat(column, times) for column in (labels, scores, species)]
    repeated = replicates.statistics_of(longer[0], longer[1], 0.4, longer[2])(np.ones((1, times.sum())))
    for name in weighted:
        if name != "ece_equal_mass":  # its bins are those of the rows as they came
            assert weighted[name][0] == pytest.approx(repeated[name][0], abs=1e-9), name


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=1_000)
    interval = bootstrap(mean_of(values), np.arange(1_000), np.zeros(1_000))["mean"]
    assert interval.low is not None and interval.high is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(1_000), rel=0.1)
    assert interval.note == ""


def test_related_rows_make_the_interval_wider() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 20)  # twenty pictures of each of fifty people
    rows = bootstrap(mean_of(values), np.arange(1_000), np.zeros(1_000))["mean"]
    people = bootstrap(mean_of(values), np.repeat(np.arange(50), 20), np.zeros(1_000))["mean"]
    assert rows.low is not None and rows.high is not None and people.low is not None and people.high is not None
    assert people.high - people.low > 3 * (rows.high - rows.low)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_rows(drawn: Draw) -> None:
    rows = drawn(300)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = Predictions(rows.table.take(order))
    first, second = (metrics.summarise(each, 0.5, num_replicates=100) for each in (rows, shuffled))
    assert first["auroc"].low == pytest.approx(second["auroc"].low, abs=1e-12)
    assert first["auroc"].low != metrics.summarise(rows, 0.5, num_replicates=100, seed=1)["auroc"].low


def test_no_stratum_can_vanish() -> None:
    strata = np.array([0] * 50 + [1])

    def weight_of_the_rare(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"rare": weights[:, strata == 1].sum(axis=1)}

    interval = bootstrap(weight_of_the_rare, np.arange(51), strata)["rare"]
    assert (interval.low, interval.high) == (1.0, 1.0)
    assert "few groups (1)" in interval.note and "same value" in interval.note


def test_undefined_replicates_are_counted_and_left_out() -> None:
    marked = np.array([1.0] + [0.0] * 9)

    def share_where_marked(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"share": np.where(weights @ marked > 0, 0.5, np.nan), "never": np.full(len(weights), np.nan)}

    found = bootstrap(share_where_marked, np.arange(10), np.zeros(10), num_replicates=500)
    undefined = re.search(r"(\d+) of 500 replicates undefined", found["share"].note)
    assert undefined is not None and 100 < int(undefined[1]) < 250  # (1 - 1/10)^10 = .35 of 500
    assert found["share"].low == 0.5
    assert found["never"].low is None and "500 of 500 replicates undefined" in found["never"].note


def test_exact_rate_is_the_rule_of_clopper_and_pearson() -> None:
    assert exact_rate(0.0, 10) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert exact_rate(1.0, 10) == pytest.approx((0.025 ** (1 / 10), 1.0))


def test_a_thousand_replicates_of_five_thousand_rows_take_seconds(drawn: Draw) -> None:
    rows = drawn(5_000)
    started_s = time.process_time()
    metrics.summarise(rows, 0.5)
    assert time.process_time() - started_s < 6
