import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.scope import NEIGHBOUR, OUTSIDE, Scope, unit


def test_every_limit_has_its_code() -> None:
    bank = np.repeat(np.eye(1, 4, dtype=np.float16), NEIGHBOUR, axis=0)
    scope = Scope(least_side_px=100, most_blur=0.7, most_distance=0.5, bank=bank)
    near, far = np.array([[3.0, 0, 0, 0]], np.float32), np.array([[0, 1.0, 0, 0]], np.float32)
    sides, blurs = np.array([100.0, 99, 100, 50, np.nan]), np.array([0.7, 0.1, 0.71, 0.9, np.nan])
    found = scope.outside(sides, blurs, np.concatenate([near, near, near, far, np.full((1, 4), np.nan, np.float32)]))
    assert found == [(), ("too_small",), ("blurred",), ("too_small", "blurred", "unfamiliar"), ()]
    assert set(OUTSIDE) == {code for codes in found for code in codes}
    assert "smaller than 100 px" in scope.describe() and "0.500" in scope.describe()


def test_without_limits_nothing_is_outside() -> None:
    scope = Scope()
    assert scope.outside(np.array([1.0]), np.array([1.0]), np.zeros((1, 3), np.float32)) == [()]
    assert scope.limits() == {"least_side_px": None, "most_blur": None, "most_distance": None}
    assert "none is outside" in scope.describe()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(NEIGHBOUR, 40), st.integers(0, 9000), st.integers(0, 5))
def test_distances_are_those_of_a_plain_loop(size: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = unit(rng.normal(size=(size, 6)).astype(np.float32)).astype(np.float16)
    features = rng.normal(size=(count, 6)).astype(np.float32)
    found = Scope(bank=bank).distances(features)
    assert found.shape == (count,)
    for row in range(0, count, 997):
        cosines = sorted(bank.astype(np.float32) @ unit(features[row : row + 1])[0], reverse=True)
        assert found[row] == pytest.approx(1 - cosines[NEIGHBOUR - 1], abs=1e-5)
