from hypothesis import given
from hypothesis import strategies as st

from gencv.core.seeds import draw_each, rng_for, uniform_for


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


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 5))
def test_at_most_so_many_of_each_are_drawn_whatever_their_order(names: list[str], count: int) -> None:
    ids = [str(index) for index in range(len(names))]
    drawn = draw_each(names, ids, count, 0, "map")
    assert drawn == sorted(set(drawn))
    assert all([names[row] for row in drawn].count(name) == min(count, names.count(name)) for name in names)
    turned = draw_each(names[::-1], ids[::-1], count, 0, "map")
    assert {ids[row] for row in drawn} == {ids[::-1][row] for row in turned}
