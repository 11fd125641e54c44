from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from gencv.core.errors import BadInput
from gencv.images.decode import decode
from gencv.images.faces import LOOK_PX, MIN_FACE_PX, MIN_SCORE, Face, crop_face, find_faces

PHOTO = photographs.astronaut()
"""512 x 512 px; the face is about 90 px wide, its nose near (225, 120)."""


def holds(face: Face, x: float, y: float) -> bool:
    return face.left < x < face.right and face.top < y < face.bottom


def test_the_face_of_a_photograph_is_found_once_and_again_the_same() -> None:
    (face,) = found = find_faces(PHOTO)
    assert holds(face, 225, 120) and MIN_SCORE <= face.score <= 1
    assert 60 < face.right - face.left < 120 and 80 < face.bottom - face.top < 150
    assert find_faces(PHOTO.copy()) == found


@pytest.mark.parametrize("side", [150, 1024, 3000])
def test_size_of_the_picture_does_not_matter(side: int) -> None:
    (face,) = find_faces(cv2.resize(PHOTO, (side, side), interpolation=cv2.INTER_AREA))
    (at_512,) = find_faces(PHOTO)
    for name in ("left", "top", "right", "bottom"):
        assert abs(getattr(face, name) / side - getattr(at_512, name) / 512) < 0.04


def test_the_largest_comes_first_wherever_it_is() -> None:
    head = PHOTO[30:230, 120:320]
    small = cv2.resize(head, (90, 90), interpolation=cv2.INTER_AREA)
    page = np.full((400, 500, 3), 200, np.uint8)
    page[10:100, 10:100] = small
    page[180:380, 280:480] = head
    large, other = find_faces(page)
    assert holds(large, 385, 270) and holds(other, 56, 50)
    flipped = find_faces(np.ascontiguousarray(page[:, ::-1]))
    assert [holds(flipped[0], 499 - 385, 270), holds(flipped[1], 499 - 56, 50)] == [True, True]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((480, 480, 3), np.uint8),
        np.full((480, 480, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8),
        photographs.coffee(),
        np.repeat(photographs.gravel()[..., None], 3, 2),
    ],
    ids=["black", "white", "noise", "coffee", "gravel"],
)
def test_no_face_where_there_is_none(picture: np.ndarray) -> None:
    assert find_faces(picture) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (MIN_FACE_PX - 1, 400), (20_000, 30), (25, 24)])
def test_tiny_and_narrow_pictures_have_none(size: tuple[int, int]) -> None:
    assert find_faces(np.full((*size, 3), 90, np.uint8)) == []


def test_a_large_picture_is_looked_at_small() -> None:
    assert find_faces(cv2.resize(PHOTO, (40, 40), interpolation=cv2.INTER_AREA)) == []
    scene = np.full((LOOK_PX * 4, LOOK_PX * 4, 3), 120, np.uint8)
    scene[:50, :50] = cv2.resize(PHOTO[30:230, 120:320], (50, 50), interpolation=cv2.INTER_AREA)
    assert find_faces(scene) == []  # large enough by itself, under a twentieth of the picture


def test_generated_portraits_have_one_face(shared: Path) -> None:
    pictures = [decode(path.read_bytes()) for path in sorted((shared / "sd3_portraits").rglob("*.jpg"))[::4]]
    assert len(pictures) >= 25
    found = [find_faces(picture) for picture in pictures]
    assert np.mean([len(faces) == 1 for faces in found]) >= 0.95


def test_things_for_sale_have_hardly_any(shared: Path) -> None:
    pictures = [decode(path.read_bytes()) for path in sorted((shared / "products").rglob("*.jpg"))[::4]]
    assert len(pictures) >= 35
    assert np.mean([bool(find_faces(picture)) for picture in pictures]) <= 0.05


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.tuples(*[st.floats(-300, 500)] * 2),
    st.tuples(*[st.floats(0, 400)] * 2),
    st.floats(1, 4),
)
def test_a_crop_is_a_square_of_the_picture(
    height: int, width: int, corner: tuple[float, float], size: tuple[float, float], margin: float
) -> None:
    down, across = np.mgrid[0:height, 0:width].astype(np.uint8)
    image = np.stack([down, across, np.full_like(down, 7)], 2)
    face = Face(corner[0], corner[1], corner[0] + size[0], corner[1] + size[1], 1.0)
    crop = crop_face(image, face, margin)
    side = crop.shape[0]
    assert crop.shape == (side, side, 3) and crop.flags.c_contiguous
    size_px = min(margin * max(size), height, width)  # the corners' floats may tip a half to either side
    assert abs(side - max(1, size_px)) <= 0.5 + 1e-6
    top, left = (int(value) for value in crop[0, 0, :2])
    assert np.array_equal(crop, image[top : top + side, left : left + side])


@pytest.mark.parametrize(("margin", "side"), [(1, 40), (1.3, 52), (2, 80), (4, 100)])
def test_margin_and_border(margin: float, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 140, 3), np.uint8)
    middle = crop_face(image, Face(55, 30, 85, 70, 1.0), margin)
    assert middle.shape == (side, side, 3)
    assert np.array_equal(middle, image[50 - side // 2 : 50 + side // 2, 70 - side // 2 : 70 + side // 2])
    assert np.array_equal(crop_face(image, Face(-5, -9, 25, 31, 1.0), margin), image[:side, :side])
    assert np.array_equal(crop_face(image, Face(130, 80, 160, 120, 1.0), margin), image[-side:, -side:])


@pytest.mark.parametrize("margin", [0.9, -1.0, float("nan")])
def test_a_margin_that_cuts_into_the_face_is_refused(margin: float) -> None:
    with pytest.raises(BadInput, match="margin"):
        crop_face(PHOTO, Face(0, 0, 10, 10, 1.0), margin)
