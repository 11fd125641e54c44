import numpy as np
import pytest
from fakes import picture
from skimage import data as photographs

from gencv.core.errors import BadImage
from gencv.images.chain import Chain
from gencv.images.faces import find_faces
from gencv.images.preprocess import Preprocessing
from gencv.images.sharpness import blur_of
from gencv.images.transform import Transform

TRANSFORM = Transform(size_px=64, resize_px=72)


@pytest.mark.parametrize("preprocessing", [None, Preprocessing(size_px=96), Preprocessing(size_px=96, jpeg_quality=())])
def test_the_first_view_is_what_a_call_gives(preprocessing: Preprocessing | None) -> None:
    chain, image = Chain(preprocessing, TRANSFORM), picture(0, 300, 200)
    plain, more = chain.examine(image), chain.examine(image, reencode=True)
    assert plain.views.shape == (1, 64, 64, 3) and more.views.shape == (4, 64, 64, 3)
    for found in (plain, more):
        np.testing.assert_array_equal(found.views[0], chain(image))
        assert (found.side_px, found.blur) == (200, blur_of(chain(image)))
    assert all((view != more.views[0]).any() for view in more.views[1:])


def test_the_side_that_counts_is_the_least_on_the_way() -> None:
    assert [Chain(made, TRANSFORM).side_px for made in (None, Preprocessing(size_px=48), Preprocessing())] == [
        64,
        48,
        64,
    ]


def test_of_a_face_the_condition_is_that_of_its_part() -> None:
    photo, cut = photographs.astronaut(), Preprocessing(crop="face", size_px=96)
    (face,) = find_faces(photo)
    chain = Chain(cut, TRANSFORM)
    found = chain.examine(photo)
    assert found.side_px == min(cut.cut(photo).shape[:2]) < 300
    np.testing.assert_array_equal(found.views, chain.examine(photo, face=face).views)
    np.testing.assert_array_equal(found.views[0], chain(photo))
    with pytest.raises(BadImage, match="face"):
        chain.examine(photographs.coffee())
