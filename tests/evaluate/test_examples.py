import numpy as np
import pytest

from gencv.evaluate.examples import distance, examples, hardest

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1, 1])
SCORES = np.array([0.1, 0.01, 0.95, 0.55, 0.9, 0.99, 0.2, 0.65, 0.5, np.nan])


def test_the_surest_the_wrong_and_the_uncertain_of_each_class() -> None:
    found = examples(LABELS, SCORES, 0.6, 1)
    assert found == {
        (0, "surest right"): [1],
        (0, "surest wrong"): [2],
        (0, "most uncertain"): [3],
        (1, "surest right"): [5],
        (1, "surest wrong"): [6],
        (1, "most uncertain"): [7],
    }
    many = examples(LABELS, SCORES, 0.6, 9)
    assert sorted(row for rows in many.values() for row in rows) == list(range(8)), "each once, labelled and answered"
    assert many[0, "surest right"] == [1, 0, 3]
    nothing = examples(LABELS[:4], SCORES[:4], 0.6, 2)
    assert nothing[1, "surest right"] == nothing[1, "surest wrong"] == []


def test_mistakes_come_before_uncertain_verdicts() -> None:
    assert hardest(LABELS, SCORES, 0.6, 20) == [2, 6, 3, 7, 4, 0, 5, 1]
    assert hardest(LABELS, SCORES, 0.6, 2) == [2, 6]


def test_distance_is_even_at_the_ends_and_keeps_what_has_no_answer() -> None:
    away = distance(np.array([0.0, 0.5, 1.0, np.nan]), 0.5)
    assert away[0] == pytest.approx(-away[2]) and away[1] == 0 and np.isnan(away[3])
    assert distance(np.array([0.7]), 0.3)[0] == pytest.approx(2 * np.log(7 / 3))
