import numpy as np
import pytest
from fakes import picture

from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, fit
from gencv.images.reencode import MAX_SIDE_PX, REENCODINGS, reencodings


@pytest.mark.parametrize("size", [(300, 200), (1, 1), (3, 2000), (2400, 1800)])
def test_every_reencoding_is_a_picture_of_no_greater_size(size: tuple[int, int]) -> None:
    image = picture(0, *size)
    made = reencodings(image)
    assert len(made) == len(REENCODINGS) == 3
    for one in made:
        assert one.dtype == np.uint8 and one.shape[2] == 3 and max(one.shape[:2]) <= min(max(size), MAX_SIDE_PX)
    assert all(np.array_equal(one, again) for one, again in zip(made, reencodings(image), strict=True))


def test_they_change_a_little_and_not_alike() -> None:
    image = picture(0, 300, 200)
    saved, sent, shrunk = reencodings(image)
    assert saved.shape == sent.shape == image.shape and shrunk.shape == (150, 225, 3)
    differences = [np.abs(one.astype(int) - image).mean() for one in (saved, sent)]
    assert 0 < differences[0] < differences[1] < 20


def test_sent_is_the_web_tier_of_the_protocols() -> None:
    image = picture(0, 1200, 900)
    np.testing.assert_array_equal(reencodings(image)[1], decode(encode_jpeg(fit(image, 768), 60)))
