import cv2
import numpy as np
import pytest
from fakes import picture
from skimage import data as photographs
from skimage.measure import blur_effect

from gencv.images.sharpness import blur_of


@pytest.mark.parametrize("sigma_px", [0, 1, 3])
def test_it_is_the_published_measure(sigma_px: float) -> None:
    for image in (photographs.astronaut()[:300, :200], photographs.coffee()[:224, :224], picture(0, 90, 64)):
        seen = cv2.GaussianBlur(image, (0, 0), sigma_px) if sigma_px else image
        grey = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)
        assert blur_of(seen) == pytest.approx(blur_effect(grey.astype(float), channel_axis=None), abs=1e-3)


def test_more_blur_is_more() -> None:
    image = photographs.astronaut()
    found = [blur_of(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4, 8)]
    assert found == sorted(found) and 0 < found[0] < 0.5 < 0.85 < found[-1] < 1


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (3, 3), (2, 50)])
def test_a_picture_without_edges_is_blurred(size: tuple[int, int]) -> None:
    assert blur_of(np.full((*size, 3), 90, np.uint8)) == 1.0
