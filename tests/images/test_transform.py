import json

import numpy as np
import pytest
import torchvision.transforms as torchvision_transforms
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode

from gencv.core.errors import BadInput, UnknownName
from gencv.images.transform import INTERPOLATIONS, RESIZES, Transform, cut_strip, resize

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)

sides = st.integers(1, 300)
small = st.integers(1, 80)


@settings(max_examples=150, deadline=None)
@given(sides, sides, small, small, st.sampled_from(["bicubic", "bilinear"]), st.sampled_from(["shortest", "squash"]))
def test_agrees_with_torchvision(height: int, width: int, size: int, side: int, filter_name: str, mode: str) -> None:
    if max(height, width) / min(height, width) > 20:
        width = height
    image = np.ascontiguousarray(NOISE[:height, :width])
    reference = torchvision_transforms.Compose(
        [
            torchvision_transforms.Resize(side if mode == "shortest" else (side, side), InterpolationMode(filter_name)),
            torchvision_transforms.CenterCrop(size),
        ]
    )
    ours = Transform(size_px=size, resize_px=side, resize=mode, interpolation=filter_name)(image)
    assert np.array_equal(ours, np.asarray(reference(Image.fromarray(image))))


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 300), st.integers(10, 300), st.integers(8, 80), st.sampled_from([0, 127]))
def test_longest_agrees_with_open_clip(height: int, width: int, size: int, fill: int) -> None:
    if min(height, width) * size < max(height, width):  # there open_clip asks for a side of 0 px
        width = height
    open_clip = pytest.importorskip("open_clip.transform")
    image = np.ascontiguousarray(NOISE[:height, :width])
    resized = open_clip.ResizeKeepRatio(size, longest=1)(Image.fromarray(image))
    reference = open_clip.CenterCropOrPad(size, fill=fill)(resized)
    ours = Transform(size_px=size, resize_px=size, resize="longest", fill=fill)(image)
    assert np.array_equal(ours, np.asarray(reference))


@pytest.mark.parametrize("mode", RESIZES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (31, 33), (224, 224), (100, 300)])
def test_any_picture_becomes_the_size(mode: str, interpolation: str, shape: tuple[int, int]) -> None:
    transform = Transform(size_px=32, resize_px=36, resize=mode, interpolation=interpolation)
    pixels = transform(np.ascontiguousarray(NOISE[: shape[0], : shape[1]]))
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resize_keeps_plain_pictures_and_the_same_size(interpolation: str) -> None:
    plain = np.full((50, 70, 3), (10, 100, 200), np.uint8)
    assert (resize(plain, 20, 90, interpolation) == (10, 100, 200)).all()
    assert resize(plain, 50, 70, interpolation) is plain


def test_area_takes_the_mean() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)[:, :, None].repeat(3, 2)
    assert (resize(checks, 32, 32, "area") == 100).all()
    assert (resize(checks, 32, 100, "area") == 100).all()


def test_normalise_is_torchvisions() -> None:
    mean, std = (0.48, 0.45, 0.40), (0.26, 0.26, 0.27)
    batch = NOISE[None, :16, :16].copy()
    reference = torchvision_transforms.Compose(
        [
            torchvision_transforms.ToTensor(),
            torchvision_transforms.Normalize(mean, std),
        ]
    )
    ours = Transform(size_px=16, resize_px=16, mean=mean, std=std).normalise(batch)
    assert ours.shape == (1, 3, 16, 16) and ours.dtype == np.float32
    np.testing.assert_allclose(ours[0], reference(Image.fromarray(batch[0])).numpy(), atol=1e-6)


def test_round_trip_through_json_and_digest() -> None:
    transform = Transform(size_px=224, resize_px=256, interpolation="area", mean=(0.1, 0.2, 0.3))
    again = Transform.from_dict(json.loads(json.dumps(transform.to_dict())))
    assert again == transform and again.digest() == transform.digest() and hash(again) == hash(transform)
    assert transform.digest() != Transform(size_px=224, resize_px=256, interpolation="area").digest()
    assert transform.decode_side_px == 768


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"size_px": 0}, "size_px"),
        ({"resize_px": -1}, "resize_px"),
        ({"resize": "stretch"}, "stretch"),
        ({"interpolation": "nearest"}, "nearest"),
        ({"std": (1, 0, 1)}, "std"),
        ({"mean": (1, 0)}, "mean"),
        ({"fill": 256}, "fill"),
        ({"colour": "BGR"}, "colour"),
    ],
)
def test_bad_fields_are_named(values: dict[str, object], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        Transform.from_dict({"size_px": 8, "resize_px": 8, **values})


def test_missing_fields_and_unknown_filters_are_named() -> None:
    with pytest.raises(BadInput, match="resize_px"):
        Transform.from_dict({"size_px": 8})
    with pytest.raises(UnknownName, match="bicubic"):
        resize(NOISE, 8, 8, "lanczos")


def test_a_very_long_picture_costs_no_more_than_its_middle() -> None:
    transform = Transform(size_px=32, resize_px=36)
    thread = np.zeros((60_000, 1, 3), np.uint8)
    thread[30_000 - 10 : 30_000 + 10] = 200
    assert transform(thread).shape == (32, 32, 3) and transform(thread).min() == 200
    wide = np.random.default_rng(0).integers(0, 256, (10, 200, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cut_strip(wide), wide)  # 20 to 1 is left alone
