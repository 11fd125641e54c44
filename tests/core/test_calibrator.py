import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from gencv.core.calibrator import Calibrator, logits_of, probabilities_of
from gencv.core.errors import BadInput

BENT = Calibrator(kind="isotonic", knots=(-1.0, 0.0, 2.0), heights=(-3.0, 0.5, 1.0), slope=0.1, prior=0.3)


def test_the_default_changes_nothing() -> None:
    logits = np.array([-800.0, -20.0, 0.0, 3.0, np.nan])
    np.testing.assert_array_equal(Calibrator()(logits), probabilities_of(logits))
    np.testing.assert_allclose(Calibrator()(logits), expit(logits), rtol=1e-12)


def test_a_calibrator_follows_its_knots_and_its_slope_beyond_them() -> None:
    told = logit(BENT(np.array([-11.0, -1.0, -0.5, 1.0, 2.0, 12.0])))
    np.testing.assert_allclose(told, [-4.0, -3.0, -1.25, 0.75, 1.0, 2.0], atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(-3_000, 3_000), min_size=2, max_size=20, unique=True))
def test_the_ranking_is_kept(hundredths: list[int]) -> None:
    logits = np.sort(np.array(hundredths) / 300)
    assert (np.diff(BENT(logits)) > 0).all()


def test_what_is_written_is_what_is_read() -> None:
    assert Calibrator.from_dict(json.loads(json.dumps(BENT.to_dict()))) == BENT
    with pytest.raises(BadInput, match="known: kind"):
        Calibrator.from_dict({"temperature": 2.0})


@pytest.mark.parametrize(
    "fields",
    [
        {"slope": 0.0},
        {"slope": float("nan")},
        {"heights": (0.0, 1.0, 1.0)},
        {"knots": (0.0, 0.0, 1.0)},
        {"knots": (0.0,)},
        {"knots": (), "heights": ()},
    ],
)
def test_what_does_not_rise_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="keeps every ranking"):
        replace(BENT, **fields)  # type: ignore[arg-type]


def test_a_prior_is_a_share() -> None:
    with pytest.raises(BadInput, match="share"):
        Calibrator(prior=1.2)


def test_a_stored_score_is_calibrated_as_its_logit() -> None:
    logits = np.array([-80.0, -12.0, -1.0, 0.0, 5.0, 12.0])
    stored = np.asarray(expit(logits), np.float32).astype(float)
    np.testing.assert_allclose(BENT.rescore(stored), BENT(logits), atol=1e-4)
    told = BENT.rescore(np.array([0.0, np.nan, 1.0]))
    assert 0 < told[0] < told[2] < 1 and np.isnan(told[1])


def test_logits_and_probabilities_are_each_others_inverse() -> None:
    scores = np.array([1e-30, 1e-6, 0.25, 0.5, 0.999])
    np.testing.assert_allclose(probabilities_of(logits_of(scores)), scores, rtol=1e-12)


@pytest.mark.parametrize(
    ("calibrator", "words"),
    [
        (Calibrator(), "none"),
        (Calibrator(kind="temperature", slope=0.5), "temperature 2"),
        (Calibrator(kind="platt", knots=(1.0,), heights=(3.0,), slope=2.0), "platt, slope 2, offset 1"),
        (BENT, "isotonic, 3 levels"),
    ],
)
def test_a_calibrator_names_itself(calibrator: Calibrator, words: str) -> None:
    assert calibrator.describe() == words
