import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from gencv.core.errors import BadImage, BadInput
from gencv.images.container import container_facts
from gencv.images.decode import decode
from gencv.images.degrade import blur, encode_jpeg
from gencv.images.faces import crop_face, find_faces
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import INTERPOLATIONS, resize

PHOTO = photographs.coffee()
IDS = [f"id{k}" for k in range(200)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 64),
    st.sampled_from([(), (80,), (1,), (100,), (60, 95)]),
    st.sampled_from(sorted(INTERPOLATIONS)),
    st.sampled_from(["val", "test"]),
)
def test_what_is_stored_is_what_a_detector_sees(
    height: int, width: int, size: int, quality: tuple[int, ...], interpolation: str, split: str
) -> None:
    image = np.ascontiguousarray(PHOTO[:height, :width])
    preprocessing = Preprocessing(size_px=size, jpeg_quality=quality, interpolation=interpolation)
    stored = decode(preprocessing.store(image, "some id", split))
    assert stored.shape == (size, size, 3)
    assert np.array_equal(stored, preprocessing.apply(image)) and np.array_equal(stored, preprocessing(image))


def test_the_published_recipe() -> None:
    preprocessing = Preprocessing()
    small = resize(PHOTO, 224, 224, "area")
    sharp, soft = encode_jpeg(small, 80), encode_jpeg(blur(small, 0, 5), 80)
    stored = [preprocessing.store(PHOTO, image_id, "train") for image_id in IDS]
    assert set(stored) == {sharp, soft}
    assert 70 <= stored.count(soft) <= 130
    assert {preprocessing.store(PHOTO, image_id, "val") for image_id in IDS[:20]} == {sharp}


def test_draws_belong_to_the_id_and_the_seed() -> None:
    image = np.ascontiguousarray(PHOTO[:64, :64])
    preprocessing = Preprocessing(size_px=32, jpeg_quality=(60, 62), blur_probability=0)
    stored = [preprocessing.store(image, image_id, "train") for image_id in IDS]
    assert stored == [preprocessing.store(image, image_id, "train") for image_id in IDS]
    small = resize(image, 32, 32, "area")
    assert set(stored) == {encode_jpeg(small, quality) for quality in (60, 61, 62)}
    other = Preprocessing(size_px=32, jpeg_quality=(60, 62), blur_probability=0, seed=1)
    assert stored != [other.store(image, image_id, "train") for image_id in IDS]


def test_a_range_or_no_quality_is_stored_without_loss_where_it_does_not_apply() -> None:
    with_range, without = Preprocessing(jpeg_quality=(60, 90)), Preprocessing(jpeg_quality=())
    assert with_range.store(PHOTO, "a", "train").startswith(b"\xff\xd8")
    for data in (with_range.store(PHOTO, "a", "test"), without.store(PHOTO, "a", "train")):
        assert Image.open(io.BytesIO(data)).format == "PNG"


def test_round_trip_through_json_and_digest() -> None:
    preprocessing = Preprocessing(jpeg_quality=(60, 95), blur_splits=("train", "val"), seed=3)
    again = Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict())))
    assert again == preprocessing and again.digest() == preprocessing.digest() != Preprocessing().digest()


@pytest.mark.parametrize("quality", [(), (80,), (60, 95)])
@pytest.mark.parametrize("margin", [1.0, 1.3, 2.5])
def test_a_face_is_cut_before_all_else(quality: tuple[int, ...], margin: float) -> None:
    preprocessing = Preprocessing(size_px=64, jpeg_quality=quality, crop="face", margin=margin)
    photo = photographs.astronaut()
    (face,) = find_faces(photo)
    expected = Preprocessing(size_px=64, jpeg_quality=quality).apply(crop_face(photo, face, margin))
    assert np.array_equal(preprocessing.apply(photo), expected)
    assert np.array_equal(decode(preprocessing.store(photo, "some id", "test")), expected)
    assert np.array_equal(preprocessing.whole(photo), Preprocessing(size_px=64, jpeg_quality=quality)(photo))
    assert "face" in preprocessing.describe() and "face" not in preprocessing.whole.describe()


def test_one_face_of_several_can_be_chosen() -> None:
    page = np.hstack([photographs.astronaut(), photographs.astronaut()[::-1, ::-1][::-1]])
    preprocessing = Preprocessing(size_px=64, crop="face")
    faces = find_faces(page)
    assert len(faces) == 2
    assert np.array_equal(preprocessing.apply(page), preprocessing.apply(page, faces[0]))
    assert not np.array_equal(preprocessing.apply(page), preprocessing.apply(page, faces[1]))


def test_a_picture_without_a_face_is_bad() -> None:
    preprocessing = Preprocessing(crop="face")
    for act in (lambda: preprocessing.apply(PHOTO), lambda: preprocessing.store(PHOTO, "a", "train")):
        with pytest.raises(BadImage) as raised:
            act()
        assert raised.value.code == "no_face"


def test_settings_from_before_there_was_a_crop_are_the_same() -> None:
    old = {**Preprocessing().to_dict()}
    assert not {"crop", "margin"} & set(old) and Preprocessing.from_dict(old) == Preprocessing()
    cut = Preprocessing(crop="face", margin=2.0)
    assert Preprocessing.from_dict(cut.to_dict()) == cut and cut.digest() != Preprocessing().digest()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"size_px": 0}, "size_px"),
        ({"interpolation": "nearest"}, "nearest"),
        ({"jpeg_quality": (0,)}, "jpeg_quality"),
        ({"jpeg_quality": (90, 60)}, "range"),
        ({"jpeg_quality": (60, 70, 80)}, "jpeg_quality"),
        ({"blur_probability": 1.5}, "blur_probability"),
        ({"blur_kernel_px": 4}, "blur_kernel_px"),
        ({"blur_sigma_px": -1.0}, "blur_sigma_px"),
        ({"blur_splits": ("dev",)}, "dev"),
        ({"quality": 80}, "quality"),
        ({"crop": "hand"}, "hand"),
        ({"margin": 0.9}, "margin"),
        ({"margin": 4.1}, "margin"),
        ({"margin": float("nan")}, "margin"),
    ],
)
def test_bad_fields_are_named(values: dict[str, object], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        Preprocessing.from_dict(values)


def as_file(image: np.ndarray, kind: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=quality)
    return buffer.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(20, 300),
    st.integers(20, 300),
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]),
    st.integers(10, 100),
    st.sampled_from(["train", "val", "test"]),
    st.text("0123456789abcdef", min_size=32, max_size=32),
)
def test_aligned_files_depend_on_the_id_alone(
    height: int, width: int, kind: str, quality: int, split: str, image_id: str
) -> None:
    """Whatever came, and so whatever its class: every fact but the bytes of the pixels is that of any other picture."""
    preprocessing = Preprocessing.aligned()
    came = decode(as_file(np.ascontiguousarray(PHOTO[:height, :width]), kind, quality))
    other = photographs.astronaut()
    one, reference = (
        vars(container_facts(preprocessing.store(image, image_id, name))) | {"bytes_per_pixel": 0}
        for image, name in ((came, split), (other, "train"))
    )
    assert one == reference
    assert one["format"] == "JPEG" and 70 <= one["quality"] <= 95 and not one["has_exif"]


def test_aligned_qualities_are_spread_evenly_in_every_split() -> None:
    image = np.ascontiguousarray(PHOTO[:64, :64])
    preprocessing = replace(Preprocessing.aligned(), size_px=16)
    for split in ("train", "test"):
        qualities = [container_facts(preprocessing.store(image, name, split)).quality for name in IDS]
        assert min(qualities) <= 73 and max(qualities) >= 92 and 78 <= np.mean(qualities) <= 87
    assert np.array_equal(preprocessing.apply(image), decode(encode_jpeg(resize(image, 16, 16, "area"), 82)))
    assert "JPEG at quality 82" in preprocessing.describe()


def test_settings_from_before_there_was_an_alignment_are_the_same() -> None:
    assert "align" not in Preprocessing().to_dict()
    aligned = Preprocessing.aligned()
    assert Preprocessing.from_dict(aligned.to_dict()) == aligned and aligned.digest() != Preprocessing().digest()
    with pytest.raises(BadInput, match="align stores JPEGs"):
        Preprocessing(align=True, jpeg_quality=())
