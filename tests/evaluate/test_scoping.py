from collections.abc import Callable

import numpy as np
import pytest

from gencv.core.predictions import Predictions
from gencv.evaluate.scoping import BANK, HEAVY_BLUR, STRANGE, bank_of, set_scope

Draw = Callable[..., Predictions]
RNG = np.random.default_rng(0)


def val_of(predictions: Draw, count: int, *, side_px: int = 300, blur: float = 0.4) -> Predictions:
    sides, blurs = RNG.integers(side_px, 2 * side_px, count), RNG.uniform(blur - 0.1, blur, count)
    labels, scores = np.arange(count) % 2, RNG.uniform(size=count)
    return predictions(labels, scores, side_px=sides.tolist(), blur=blurs.tolist())


def features_of(count: int, *, shift: float = 3.0) -> np.ndarray:
    return (RNG.normal(size=(count, 16)) + shift * np.eye(16)[0]).astype(np.float32)


def test_few_pictures_like_those_of_validation_are_outside_and_others_are(predictions: Draw) -> None:
    scope = set_scope(val_of(predictions, 500), features_of(500), 224, features_of(400))
    assert scope.least_side_px == 224 and scope.most_blur == HEAVY_BLUR and scope.bank.shape == (400, 16)
    strange = scope.distances(features_of(4000)) > (scope.most_distance or 0)
    assert strange.mean() == pytest.approx(STRANGE, abs=0.008)
    assert (scope.distances(features_of(200, shift=-3.0)) > (scope.most_distance or 0)).mean() > 0.9


def test_what_validation_had_is_never_too_small_or_too_blurred(predictions: Draw) -> None:
    rows = val_of(predictions, 300, side_px=32, blur=0.9)
    scope = set_scope(rows, features_of(300), 224, features_of(400))
    found = scope.outside(rows.numbers("side_px"), rows.numbers("blur"), features_of(300))
    assert np.mean([bool({"too_small", "blurred"} & {*codes}) for codes in found]) <= 2 * STRANGE
    assert scope.least_side_px == pytest.approx(32, abs=3) and scope.most_blur == pytest.approx(0.9, abs=0.01)


def test_what_is_not_known_sets_no_limit(predictions: Draw) -> None:
    rows = predictions(np.array([0, 1, 1]), np.array([0.1, 0.9, np.nan]))
    scope = set_scope(rows, features_of(3), 224, features_of(4))
    assert set(scope.limits().values()) == {None} and len(scope.bank) == 0


def test_the_bank_is_drawn_by_id() -> None:
    ids = [f"{index:032x}" for index in range(2 * BANK)]
    rows = bank_of(ids)
    assert len(set(rows)) == BANK
    turned = ids[::-1]
    assert {ids[row] for row in rows} == {turned[row] for row in bank_of(turned)}
    assert sorted(bank_of(ids[:3])) == [0, 1, 2]
