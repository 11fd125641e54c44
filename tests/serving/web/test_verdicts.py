"""Verdicts and what files say, as HTML."""

from datetime import UTC
from typing import Any

import pytest

from gencv.evaluate.verdicts import REASONS
from serving.web.origin import NOTHING, origin
from serving.web.rows import listed, local, row_in_full, zone_of
from serving.web.verdicts import card
from serving.web.words import apart, of_hundred, out_of

EVIL = "<script>x</script>\"'><img src=x onerror=x>"
ABSENT = {"state": "absent", "signer": "", "generator": "", "source_type": "", "ingredients": [], "reason": ""}
NOTHING_SAID: dict[str, Any] = {
    "agree": None,
    "parameters": {"found": False, "values": None},
    "credentials": ABSENT,
    "watermark": {"found": False},
}


def answer(**facts: Any) -> dict[str, Any]:
    return {
        "bundle": "starter",
        "digest": "d" * 32,
        "id": "a" * 32,
        "task": "spoof",
        "label": "spoof",
        "score": 0.8,
        "threshold": 0.6,
        "threshold_id": "eer",
        "expected_fpr": 0.25,
        "expected_fnr": 0.002,
        "error_rate": None,
        "reasons": [],
        **facts,
    }


def result(*answers: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"name": "a.jpg", "id": "a" * 32, "answers": list(answers), "provenance": None, "error": None, **facts}


def test_a_verdict_says_how_sure_it_is() -> None:
    told = card(result(answer()), "/a")
    assert "Looks like a spoof" in told and 'data-label="spoof"' in told
    assert "of 100 live pictures about 25 are called spoof, and of 1,000 spoofs about 2 are called live." in told
    assert "Score <strong>80</strong> of 100. From 60 on" in told and "width:80.0%" in told and "left:60.0%" in told
    assert "no proof" in told and "promised" not in told


@pytest.mark.parametrize("code", REASONS)
def test_what_is_uncertain_says_why(code: str) -> None:
    told = card(result(answer(label="uncertain", reasons=[code], error_rate=0.05)), "/a")
    assert "Not certain" in told and REASONS[code][1:] in told and "at most 5 of 100" in told


def test_rates_that_nobody_measured_are_not_made_up() -> None:
    told = card(result(answer(expected_fpr=None, expected_fnr=None)), "/a")
    assert "How often it errs was not measured." in told and "None" not in told


def test_several_faces_and_detectors_are_told_apart() -> None:
    told = card(result(answer(), answer(), answer(bundle="two"), answer(bundle="two")), "/a")
    assert [f"<h4>{name} · Face {n}</h4>" in told for name in ("starter", "two") for n in (1, 2)] == [True] * 4
    assert "<h4>" not in card(result(answer()), "/a")


def test_a_kind_is_named_where_the_detector_names_one() -> None:
    assert "Most like: <strong>print</strong>, 73 of 100." in card(result(answer(kind="print", kind_score=0.73)), "/a")
    assert "Most like" not in card(result(answer(kind="none", kind_score=None)), "/a")


def test_nothing_that_strangers_wrote_is_markup() -> None:
    provenance = {
        "agree": False,
        "parameters": {"found": True, "values": {"prompt": EVIL, "model": EVIL}},
        "credentials": {**ABSENT, "state": "untrusted", "signer": EVIL, "ingredients": [{"title": EVIL}]},
        "watermark": {"found": True},
    }
    why = {"attention": {"image": EVIL, "meaning": EVIL}, "neighbours": {EVIL: [{"image": EVIL, "cosine": 0.5}]}}
    evil = answer(bundle=EVIL, label=EVIL, reasons=[EVIL], kind=EVIL, kind_score=0.5, explanations=why)
    failed = result(error={"message": EVIL}, name=EVIL)
    row = {**answer(label=EVIL), "time": "2030-01-31T12:00:00Z", "attribution": EVIL, "caller": EVIL}
    row |= {"corrected": EVIL, "picture_id": "a" * 32, "request_id": EVIL, "bundle": EVIL}
    said = {"label": EVIL, "time": "2030-01-31T12:00:00Z", "note": EVIL, "caller": EVIL}
    zone = zone_of("UTC")
    for told in (
        card(result(evil, evil, name=EVIL, provenance=provenance), EVIL),
        card(failed, EVIL),
        listed([row], zone),
        row_in_full(row, [said], zone),
    ):
        assert "&lt;script&gt;" in told
        assert "<script" not in told and "<img src=x" not in told and "\"'>" not in told


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("trusted", "Signed by Ada, and not a byte was changed since. It was signed as generated."),
        ("untrusted", "Signed by Ada, whom nobody here knows"),
        ("invalid", "a signature that does not hold"),
    ],
)
def test_credentials_are_sentences(state: str, said: str) -> None:
    found = {**ABSENT, "state": state, "signer": "Ada", "source_type": "trainedAlgorithmicMedia"}
    told = origin({**NOTHING_SAID, "credentials": found})
    assert said in told and NOTHING not in told


def test_a_file_that_says_nothing_is_not_called_genuine() -> None:
    assert NOTHING in origin(NOTHING_SAID)
    changed = {**NOTHING_SAID, "agree": False, "watermark": {"found": True}}
    assert "one of them was put there later" in origin(changed)


def test_shares_are_said_as_people_count() -> None:
    assert out_of(0.25, "spoofs") == "of 100 spoofs about 25" and out_of(0.0004, "spoofs") == "of 10,000 spoofs about 4"
    assert out_of(0, "spoofs") == "of the spoofs that it was measured on none"
    assert (of_hundred(1), of_hundred(0.9999), of_hundred(0.0001), of_hundred(0)) == ("100", "over 99", "under 1", "0")
    assert apart(0.6036, 0.6) == ("60.4", "60.0") and apart(0.5, 0.5) == ("50", "50")


def test_times_are_local() -> None:
    assert local("2030-07-01T12:00:00Z", zone_of("Europe/Berlin")) == "2030-07-01 14:00:00 CEST"
    assert {zone_of(name) for name in ("", "../../etc/passwd", "No/Where")} == {UTC}
