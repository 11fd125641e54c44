from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gencv.core.band import Band
from gencv.core.contracts import Judged
from gencv.core.errors import BadInput
from gencv.core.predictions import Predictions
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.verdicts import REASONS, decide, judge, words

OVERLAP = Band(error_rate=0.05, lower=0.3, upper=0.6)
APART = Band(error_rate=0.05, upper=0.3, lower=0.6)
EER = Threshold("eer", 0.4, 0.1, 0.2, 500, 500)


def said(score: float) -> Judged:
    return Judged(np.array([score], np.float32), np.empty((1, 0), np.float32), np.zeros((1, 4), np.float32))


def test_a_verdict_carries_what_to_expect_of_it() -> None:
    verdict = judge(said(0.5), EER, None, ("real", "generated"), id="abc", uri="a.png")
    assert (verdict.label, verdict.score, verdict.threshold) == ("generated", 0.5, 0.4)
    assert (verdict.expected_fpr, verdict.expected_fnr, verdict.id, verdict.uri) == (0.1, 0.2, "abc", "a.png")
    assert (verdict.reasons, verdict.error_rate) == ((), None)
    assert verdict.threshold_id == EER.id and EER.id.startswith("eer-")
    assert EER.id != replace(EER, expected_fnr=0.3).id
    assert judge(said(0.39), EER, None, ("live", "spoof")).label == "live"


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_what_is_no_score_gets_no_verdict(score: float) -> None:
    with pytest.raises(BadInput, match=r"\[0, 1\]"):
        judge(said(score), EER, None, ("real", "generated"))


def test_a_threshold_without_value_judges_nothing() -> None:
    with pytest.raises(BadInput, match="99 genuine"):
        judge(said(0.5), Threshold("fpr1", None, None, None, 99, 10, "99 genuine"), None, ("real", "generated"))


@pytest.mark.parametrize(
    ("band", "reasons"),
    [
        (OVERLAP, [(), ("fits_both",), ("fits_both",), (), ()]),
        (APART, [(), ("fits_neither",), ("fits_neither",), (), ()]),
        (None, [()] * 5),
        (Band(error_rate=0.05, reason="few"), [()] * 5),
    ],
)
def test_a_score_that_does_not_fit_exactly_one_class_is_uncertain(
    band: Band | None, reasons: list[tuple[str, ...]]
) -> None:
    scores = np.array([0.1, 0.4, 0.5, 0.7, np.nan])
    called, found = decide(scores, 0.45, band)
    assert found == reasons and {code for codes in reasons for code in codes} <= set(REASONS)
    assert called.tolist() == [False, False, True, True, False]


def test_a_threshold_that_says_the_other_class_leaves_it_open() -> None:
    strict, lax = (decide(np.array([0.1, 0.7, 0.95]), threshold, OVERLAP)[1] for threshold in (0.9, 0.05))
    assert strict == [(), ("against_threshold",), ()] and lax == [("against_threshold",), (), ()]


def test_a_verdict_that_a_reencoding_would_turn_is_unstable() -> None:
    scores, lows, highs = np.array(
        [[0.2, 0.6, 0.6, 0.7, 0.4], [0.1, 0.3, 0.5, 0.6, np.nan], [0.6, 0.7, 0.9, 0.8, np.nan]]
    )
    assert decide(scores, 0.5, None, lows=lows, highs=highs)[1] == [("unstable",), ("unstable",), (), (), ()]
    assert decide(scores, 0.5, None)[1] == [()] * 5


def test_a_picture_outside_the_scope_is_uncertain_and_keeps_its_score() -> None:
    judged = replace(said(0.9), lows=np.array([0.3]), highs=np.array([0.9]), outside=[("too_small", "blurred")])
    verdict = judge(judged, EER, OVERLAP, ("live", "spoof"))
    assert (verdict.label, verdict.reasons) == ("uncertain", ("unstable", "too_small", "blurred"))
    assert verdict.score == pytest.approx(0.9)


def test_a_table_of_verdicts_has_nothing_where_there_is_no_answer(predictions: Callable[..., Predictions]) -> None:
    scores = np.array([0.1, 0.4, 0.7, np.nan, 0.8, 0.9])
    rows = predictions(
        np.array([0, 0, 1, 1, 1, 1]),
        scores,
        score_low=[0.1, 0.4, 0.7, None, 0.1, 0.9],
        score_high=[0.1, 0.4, 0.7, None, 0.8, 0.9],
        outside=[[], [], None, ["blurred"], [], ["unfamiliar"]],
    )
    table = words(rows, 0.45, OVERLAP, ("live", "spoof")).table
    assert table["verdict"].to_pylist() == ["live", "uncertain", "spoof", None, "uncertain", "uncertain"]
    assert table["reasons"].to_pylist() == [[], ["fits_both"], [], [], ["unstable"], ["unfamiliar"]]


def test_one_picture_is_judged_as_in_a_batch(predictions: Callable[..., Predictions]) -> None:
    threshold = replace(EER, value=0.45)
    scores = np.linspace(0, 1, 21)
    table = words(predictions(np.arange(21) % 2, scores), 0.45, APART, ("live", "spoof")).table
    alone = [judge(said(score), threshold, APART, ("live", "spoof")) for score in scores]
    assert [verdict.label for verdict in alone] == table["verdict"].to_pylist()
    assert [list(verdict.reasons) for verdict in alone] == table["reasons"].to_pylist()
    assert {verdict.error_rate for verdict in alone} == {0.05}
