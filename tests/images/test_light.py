import cv2
import numpy as np
import pytest
from fakes import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.images import light
from gencv.images.light import as_light, to_coded, to_linear


def test_every_value_comes_back() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_coded(to_linear(values)), values)


def test_light_is_that_of_the_standard() -> None:
    assert to_linear(np.array([0, 10, 188, 255], np.uint8)) == pytest.approx([0, 0.003035, 0.502886, 1], abs=1e-6)
    assert to_coded(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 188, 255]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 70), st.integers(1, 40))
def test_a_picture_is_shrunk_strip_by_strip_as_it_is_whole(height: int, width: int, down: int, across: int) -> None:
    layer = np.dstack([picture(1, width, height), picture(2, width, height)[..., 0]])
    size = min(across, width), min(down, height)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(light, "STRIP_ROWS", 7)
        found = as_light(layer, size)
    alpha = layer[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([to_linear(layer[..., :3]) * alpha, alpha], axis=2)
    assert found.dtype == np.float32
    assert np.abs(found - cv2.resize(whole, size, interpolation=cv2.INTER_AREA).reshape(found.shape)).max() < 1e-4


def test_light_of_a_picture_without_alpha_is_whole() -> None:
    image = picture(1, 30, 20)
    found = as_light(image, (30, 20))
    assert (found[..., 3] == 1).all() and np.array_equal(to_coded(found[..., :3]), image)
