from hypothesis import given
from hypothesis import strategies as st

from gencv.core.seeds import rng_for, uniform_for


@given(st.integers(0, 2**31), st.text(), st.text())
def test_the_same_names_draw_the_same_and_others_do_not(seed: int, one: str, other: str) -> None:
    assert rng_for(seed, one).random() == rng_for(seed, one).random()
    assert 0 <= uniform_for(seed, one) < 1
    if one != other:
        assert rng_for(seed, one).random() != rng_for(seed, other).random()
    assert uniform_for(seed, one) != uniform_for(seed + 1, one)


def test_names_do_not_run_together() -> None:
    assert uniform_for(0, "ab", "c") != uniform_for(0, "a", "bc")


def test_draws_are_even() -> None:
    draws = [uniform_for(0, str(index)) for index in range(4000)]
    assert 0.48 < sum(draws) / len(draws) < 0.52
    assert 0.22 < sum(draw < 0.25 for draw in draws) / len(draws) < 0.28
