"""Which of two detectors is better: right where it is known, silent where there is nothing to say."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from math import comb
from typing import Any

import numpy as np
import pytest
from fakes import terms
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.comparison import (
    COMPARED,
    Difference,
    Pair,
    compare,
    compare_pairs,
    difference,
    holm,
    mcnemar,
    verdict_on,
)
from gencv.evaluate.entrants import Entrant
from gencv.evaluate.intervals import replicate
from gencv.evaluate.replicates import auroc, ranking_tables

Make = Callable[..., Predictions]


def named(name: str, predictions: Predictions, **facts: Any) -> Entrant:
    return Entrant(name=name, terms=terms(**facts), predictions=predictions)


def drawn(make: Make, gaps: tuple[float, ...], *, num: int = 400, size: int = 4, seed: int = 0) -> list[Entrant]:
    """Detectors whose classes lie `gap` apart, on the same pictures: some groups are hard for all, some for one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    places = np.arange(num) // 2 // size * 2 + labels  # a group is of one class
    shared = rng.normal(size=places.max() + 1)[places]
    groups: list[str | None] = [f"g{place}" for place in places]
    found = []
    for k, gap in enumerate(gaps):
        own = rng.normal(size=places.max() + 1)[places]
        logits = gap * (labels - 0.5) + 0.7 * shared + 0.5 * own + 0.5 * rng.normal(size=num)
        found.append(named(f"d{k}", make(labels, 1 / (1 + np.exp(-logits)), groups=groups, split="test")))
    return found


def metrics_of(entrants: list[Entrant]) -> dict[str, dict[str, metrics.Metric]]:
    return {
        each.name: metrics.summarise(each.predictions, each.terms.at, prior=0.5, num_replicates=2) for each in entrants
    }


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 5))
def test_mcnemar_is_a_fair_coin_on_what_only_one_judged_rightly(b: int, c: int, both: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * both, bool)
    second = np.array([False] * b + [True] * c + [True] * both, bool)
    found = mcnemar(first, second)
    # By hand, as statsmodels has it for exact=True: twice the lower tail of a binomial of one half, at most 1.
    tail = sum(comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert (found.only_first, found.only_second) == (b, c)
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(second, first).p == found.p


def test_holm_is_that_of_the_book() -> None:
    # By hand: sorted .005, .01, .03, .04 times 4, 3, 2, 1, and never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers_a_p(values: list[float]) -> None:
    found = np.array(holm(values))
    assert (found >= np.array(values) - 1e-12).all() and (found <= 1).all()
    assert (np.diff(found[np.argsort(values, kind="stable")]) >= -1e-12).all()


def test_differences_are_those_of_the_metrics_and_turn_their_sign(predictions: Make) -> None:
    one, other = drawn(predictions, (2.0, 1.2))
    found = metrics_of([one, other])
    (forth,) = compare_pairs([one, other], found, num_replicates=200)
    (back,) = compare_pairs([other, one], found, num_replicates=200)
    assert forth.differences.keys() == COMPARED.keys()
    for name, there in forth.differences.items():
        here = back.differences[name]
        values = [found[who][name].value for who in ("d0", "d1")]
        assert there.value == pytest.approx((values[0] or 0.0) - (values[1] or 0.0))
        assert there.low is not None and there.high is not None and there.value is not None
        assert there.low <= there.value <= there.high, name
        assert (here.value, here.low, here.high) == pytest.approx((-there.value, -there.high, -there.low), abs=1e-12)
        assert here.p == pytest.approx(there.p)
        assert here.text(-1) == there.text()
    assert (back.mcnemar.only_first, back.mcnemar.only_second) == (forth.mcnemar.only_second, forth.mcnemar.only_first)
    assert forth.verdict == back.verdict and forth.verdict.startswith("d0 is better than d1: AUROC +0.")


def test_nothing_is_subtracted_from_what_stands_for_a_division_by_zero(predictions: Make) -> None:
    one, other = drawn(predictions, (2.0, 2.0))
    other = replace(other, predictions=other.predictions.rescored(other.predictions.scores * 0.4))
    for both in ((one, other), (other, one)):
        (pair,) = compare_pairs(both, metrics_of([one, other]), num_replicates=50)
        told = pair.differences["precision"]
        assert (told.value, told.p, told.p_holm) == (None, None, None) and "undefined" in told.reason
        assert pair.differences["recall"].value is not None


def test_the_paired_interval_of_an_auroc_agrees_with_delong(predictions: Make) -> None:
    one, other = drawn(predictions, (2.0, 1.5), size=1, num=600)
    (pair,) = compare_pairs([one, other], metrics_of([one, other]), num_replicates=2_000)
    labels = one.predictions.labels
    # DeLong et al. 1988, by hand: the variance of the mean of each row's placement among the other class.
    parts = []
    for each in (one, other):
        positive, genuine = (each.predictions.scores[labels == label] for label in (1, 0))
        wins = (positive[:, None] > genuine[None, :]) + 0.5 * (positive[:, None] == genuine[None, :])
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    spread = sum(np.var(parts[0][k] - parts[1][k], ddof=1) / len(parts[0][k]) for k in (0, 1)) ** 0.5
    told = pair.differences["auroc"]
    assert told.low is not None and told.high is not None
    assert (told.high - told.low) / (2 * 1.96) == pytest.approx(spread, rel=0.1)


def test_identical_detectors_give_no_difference(predictions: Make) -> None:
    one, _ = drawn(predictions, (1.5, 1.5))
    twin = named("twin", one.predictions)
    (pair,) = compare_pairs([one, twin], metrics_of([one, twin]), num_replicates=200)
    for told in pair.differences.values():
        assert (told.value, told.low, told.high, told.p) == (0.0, 0.0, 0.0, 1.0)
    assert pair.mcnemar.p == 1.0 and pair.mcnemar.only_first == 0
    assert pair.verdict == "No difference can be told between d0 and twin: AUROC +0.000 [+0.000, +0.000]."


def test_groups_make_a_difference_less_sure(predictions: Make) -> None:
    (_, *rest) = drawn(predictions, (1.0, 1.3, 1.0), num=400, size=20)
    alone = [
        named(each.name, predictions(each.predictions.labels, each.predictions.scores, split="test")) for each in rest
    ]
    grouped, single = (
        compare_pairs(each, metrics_of(each), num_replicates=500)[0].differences["auroc"] for each in (rest, alone)
    )
    assert grouped.low is not None and grouped.high is not None and single.low is not None and single.high is not None
    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_verdicts_are_corrected_for_the_number_of_pairs(predictions: Make) -> None:
    evaluations = drawn(predictions, (2.2, 1.3, 1.2, 1.25), num=200)
    comparison = compare(evaluations)
    assert comparison.names[0] == "d0" and len(comparison.pairs) == 6
    for name in COMPARED:
        plain = [pair.differences[name].p for pair in comparison.pairs]
        known = [p for p in plain if p is not None]
        corrected = [pair.differences[name].p_holm for pair in comparison.pairs]
        assert [p for p in corrected if p is not None] == pytest.approx(holm(known))
    assert comparison.pairs[0].verdict.startswith("d0 is better than")
    assert any("No difference can be told" in pair.verdict for pair in comparison.pairs)
    assert json.loads(json.dumps(asdict(comparison)))["num_pictures"] == 200


def test_what_is_told_alone_and_not_among_many_pairs_is_said_so() -> None:
    told = Difference(value=0.031, low=0.012, high=0.05, p=0.02, p_holm=0.12)
    pair = Pair(first="a", second="b", differences={"auroc": told}, mcnemar=mcnemar(np.ones(1, bool), np.ones(1, bool)))
    assert verdict_on(pair, 6, 50) == (
        "No difference can be told between a and b, as it is one of 6 pairs: AUROC +0.031 [+0.012, +0.050]."
    )
    told = replace(told, value=-0.031, low=-0.05, high=-0.012, p_holm=0.04)
    said = verdict_on(replace(pair, differences={"auroc": told}), 6, 50)
    assert said == "b is better than a: AUROC +0.031 [+0.012, +0.050]."


def test_few_groups_and_one_class(predictions: Make) -> None:
    few = drawn(predictions, (3.0, 0.5), num=64, size=8)
    (pair,) = compare_pairs(few, metrics_of(few), num_replicates=200)
    assert "Unreliable: 4 groups in a class." in pair.verdict
    silent = [named(name, predictions(np.array([0, 1]), np.array([0.2, np.nan]))) for name in ("a", "b")]
    (pair,) = compare_pairs(silent, metrics_of(silent), num_replicates=20)
    assert pair.verdict == "Nothing can be said of a and b: needs answered pictures of both classes."


def test_sources_of_genuine_pictures_are_told_apart(predictions: Make) -> None:
    one, other = drawn(predictions, (2.0, 1.0), num=200)
    sources = ["phone", "web"] * 50 + ["web", "phone"] * 50
    comparison = compare([replace(each, predictions=each.predictions.filled(source=sources)) for each in (one, other)])
    rows = comparison.generators["d0"]
    assert {row.source for row in rows if row.is_genuine} == {"phone", "web"}
    assert {row.generator for row in rows if not row.is_genuine} == {"sd15"}


def p_of(both: list[Entrant], groups: np.ndarray) -> float:
    """The p-value of a difference of AUROC, without the other metrics, as many draws would take minutes with them."""
    labels = both[0].predictions.labels.astype(int)
    tables = [ranking_tables(labels, each.predictions.scores) for each in both]
    drawn = replicate(
        lambda weights: {str(k): auroc(**table(weights)) for k, table in enumerate(tables)},
        groups,
        labels,
        num_replicates=400,
        seed=0,
    )
    points = [metrics.auroc(labels, each.predictions.scores) for each in both]
    return difference(*points, drawn["0"], drawn["1"]).p or 0.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_there_is_found_and_what_is_not_in_about_one_of_twenty_draws(predictions: Make) -> None:
    found: dict[str, list[float]] = {"power": [], "null": [], "null, groups ignored": [], "mcnemar": []}
    for seed in range(200):
        both = drawn(predictions, (1.5, 1.5), num=320, size=4, seed=seed)
        right = [(each.predictions.scores >= 0.5) == (each.predictions.labels == 1) for each in both]
        found["null"].append(p_of(both, metrics.clusters(both[0].predictions)))
        found["null, groups ignored"].append(p_of(both, np.arange(320)))
        found["mcnemar"].append(mcnemar(*right).p)
        if seed < 40:
            both = drawn(predictions, (2.0, 1.0), num=320, size=4, seed=seed)
            found["power"].append(p_of(both, metrics.clusters(both[0].predictions)))
    shares = {name: float(np.mean(np.array(ps) < 0.05)) for name, ps in found.items()}
    assert shares["power"] > 0.8, shares
    # Of 200 draws at .05, between .02 and .085 are told in 97 of 100 cases.
    assert 0.02 <= shares["null"] <= 0.085, shares
    assert shares["null, groups ignored"] > shares["null"] + 0.03, shares
