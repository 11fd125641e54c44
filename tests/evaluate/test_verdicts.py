import numpy as np
import pytest

from gencv.core.band import Band
from gencv.core.errors import BadInput
from gencv.evaluate.thresholds import Threshold
from gencv.evaluate.verdicts import REASONS, decide, judge, words

OVERLAP = Band(error_rate=0.05, lower=0.3, upper=0.6)
APART = Band(error_rate=0.05, upper=0.3, lower=0.6)


def test_a_verdict_carries_what_to_expect_of_it() -> None:
    threshold = Threshold("eer", 0.4, 0.1, 0.2, 500, 500)
    verdict = judge(0.4, threshold, None, ("real", "generated"), id="abc", uri="a.png")
    assert (verdict.label, verdict.score, verdict.threshold) == ("generated", 0.4, 0.4)
    assert (verdict.expected_fpr, verdict.expected_fnr, verdict.id, verdict.uri) == (0.1, 0.2, "abc", "a.png")
    assert (verdict.reason, verdict.error_rate) == ("", None)
    assert verdict.threshold_id == threshold.id and threshold.id.startswith("eer-")
    assert threshold.id != Threshold("eer", 0.4, 0.1, 0.3, 500, 500).id
    assert judge(0.39, threshold, None, ("live", "spoof")).label == "live"


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_what_is_no_score_gets_no_verdict(score: float) -> None:
    with pytest.raises(BadInput, match=r"\[0, 1\]"):
        judge(score, Threshold("eer", 0.4, 0.1, 0.2, 500, 500), None, ("real", "generated"))


def test_a_threshold_without_value_judges_nothing() -> None:
    with pytest.raises(BadInput, match="99 genuine"):
        judge(0.5, Threshold("fpr1", None, None, None, 99, 10, "99 genuine"), None, ("real", "generated"))


@pytest.mark.parametrize(
    ("band", "reasons"),
    [
        (OVERLAP, ["", "fits_both", "fits_both", "", ""]),
        (APART, ["", "fits_neither", "fits_neither", "", ""]),
        (None, [""] * 5),
        (Band(error_rate=0.05, reason="few"), [""] * 5),
    ],
)
def test_a_score_that_does_not_fit_exactly_one_class_is_uncertain(band: Band | None, reasons: list[str]) -> None:
    scores = np.array([0.1, 0.4, 0.5, 0.7, np.nan])
    called, found = decide(scores, 0.45, band)
    assert found.tolist() == reasons and set(reasons) <= {*REASONS, ""}
    assert called.tolist() == [False, False, True, True, False]


def test_a_threshold_that_says_the_other_class_leaves_it_open() -> None:
    strict, lax = (decide(np.array([0.1, 0.7, 0.95]), threshold, OVERLAP)[1].tolist() for threshold in (0.9, 0.05))
    assert strict == ["", "against_threshold", ""] and lax == ["against_threshold", "", ""]


def test_a_table_of_verdicts_has_nothing_where_there_is_no_answer() -> None:
    verdicts, reasons = words(np.array([0.1, 0.4, 0.7, np.nan]), 0.45, OVERLAP, ("live", "spoof"))
    assert verdicts.tolist() == ["live", "uncertain", "spoof", None]
    assert reasons.tolist() == [None, "fits_both", None, None]


def test_one_picture_is_judged_as_in_a_batch() -> None:
    threshold = Threshold("eer", 0.45, 0.1, 0.2, 500, 500)
    scores = np.linspace(0, 1, 21)
    verdicts, reasons = words(scores, 0.45, APART, ("live", "spoof"))
    alone = [judge(float(score), threshold, APART, ("live", "spoof")) for score in scores]
    assert [verdict.label for verdict in alone] == verdicts.tolist()
    assert [verdict.reason or None for verdict in alone] == reasons.tolist()
    assert {verdict.error_rate for verdict in alone} == {0.05}
