import numpy as np
import pytest

from gencv.images.light import to_coded, to_linear


def test_every_value_comes_back() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_coded(to_linear(values)), values)


def test_light_is_that_of_the_standard() -> None:
    assert to_linear(np.array([0, 10, 188, 255], np.uint8)) == pytest.approx([0, 0.003035, 0.502886, 1], abs=1e-6)
    assert to_coded(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 188, 255]
