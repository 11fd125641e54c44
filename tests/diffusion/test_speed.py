import pytest

from gencv.core.errors import BadInput, UnknownName
from gencv.diffusion.speed import SPEEDS, Speed, find_speed


@pytest.mark.parametrize("name", SPEEDS)
def test_every_speed_has_a_name(name: str) -> None:
    assert find_speed(name) == SPEEDS[name]


def test_a_speed_that_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownName, match="known: compiled, exact"):
        find_speed("fast")
    with pytest.raises(UnknownName, match="dtype 'int4'"):
        Speed(dtype="int4")
    with pytest.raises(BadInput, match="reuse interval of 0"):
        Speed(reuse_interval=0)
