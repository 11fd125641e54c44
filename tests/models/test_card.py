"""A model card says how a detector did on pictures that it never saw, or that nobody knows."""

from typing import Any

from gencv.models.card import card

DESCRIPTION: dict[str, Any] = {
    "title": "Spoof or live: x",
    "task": "spoof",
    "labels": ["live", "spoof"],
    "thresholds": {
        "eer": {"value": 0.5, "expected_fpr": 0.1, "expected_fnr": 0.2, "reason": ""},
        "fpr1": {"value": None, "expected_fpr": None, "expected_fnr": None, "reason": "few"},
    },
    "calibrator": {"kind": "temperature", "slope": 0.5},
    "band": None,
    "scope": {"least_side_px": 100},
    "training": {"manifest": "m", "audit": {"digest": "d", "verdict": "Nothing was found.", "fit": True}},
    "metrics": {"auroc": "0.9"},
}
METRIC = {"value": 0.75, "low": 0.5, "high": None}
JUDGED: dict[str, Any] = {
    "labels": {"genuine": "live", "positive": "spoof"},
    "counts": {"answered": 90, "rows": 1000, "genuine": 500, "positive": 500},
    "split": "test",
    "threshold": {"name": "eer"},
    "metrics": {"auroc": METRIC, "hter": METRIC},
    "worst": {"generator": {"name": "print", "recall": METRIC}, "genuine_source": None, "cell": None},
    "warnings": ["Few groups."],
}


def test_a_bundle_says_that_it_was_not_judged() -> None:
    text = card(DESCRIPTION)
    assert "Not judged yet" in text and "temperature 2" in text and "not set: few" in text
    assert "Audit d of the training pictures: Nothing was found." in text and "smaller than 100 px" in text


def test_an_evaluation_fills_the_card_in() -> None:
    text = card(DESCRIPTION, JUDGED)
    assert "90 of 1,000 pictures of the test split" in text and "Not judged" not in text
    assert "| auroc | 0.750 | 0.500 | – |" in text and "hter" not in text
    assert "| recall on print, the worst generator | 0.750 | 0.500 | – |" in text and "worst source" not in text
    assert "- Few groups." in text
