import json

import numpy as np
import pytest
from fakes import picture

from gencv.core.errors import BadInput, UnknownName
from gencv.images.augment import Augmentation
from gencv.images.degrade import DEGRADATIONS

IMAGE = picture(3, 64, 64)
ALL = Augmentation(flip=True, degradations=tuple(DEGRADATIONS), probability=0.5)


def test_no_change_by_default() -> None:
    assert Augmentation()(IMAGE, "id", 0, 0) is IMAGE
    assert np.array_equal(Augmentation(degradations=tuple(DEGRADATIONS), probability=0)(IMAGE, "id", 0, 0), IMAGE)


def test_the_id_the_epoch_and_the_seed_decide_every_byte() -> None:
    before = IMAGE.copy()
    drawn = {
        (image_id, epoch, seed): ALL(IMAGE, image_id, epoch, seed).tobytes()
        for image_id in ("a", "b")
        for epoch in (0, 1, 2)
        for seed in (0, 1)
    }
    for (image_id, epoch, seed), data in drawn.items():
        assert ALL(IMAGE, image_id, epoch, seed).tobytes() == data
    assert len(set(drawn.values())) == len(drawn)  # another epoch, id, or seed is another picture
    assert np.array_equal(IMAGE, before)


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("size", [(64, 64), (33, 33), (40, 56), (8, 8)])
def test_every_degradation_leaves_the_size_and_changes_the_picture(name: str, size: tuple[int, int]) -> None:
    image = picture(1, *size)
    changed = [Augmentation(degradations=(name,), probability=1)(image, "id", epoch, 0) for epoch in range(8)]
    for made in changed:
        assert made.shape == image.shape and made.dtype == np.uint8 and made.flags.c_contiguous
    assert any(not np.array_equal(made, image) for made in changed)
    assert len({made.tobytes() for made in changed}) > 1  # at several strengths


def test_half_of_the_pictures_are_mirrored() -> None:
    made = [Augmentation(flip=True)(IMAGE, f"id{k}", 0, 0) for k in range(200)]
    mirrored = [np.array_equal(image, IMAGE[:, ::-1]) for image in made]
    assert all(flipped or np.array_equal(image, IMAGE) for flipped, image in zip(mirrored, made, strict=True))
    assert 70 <= sum(mirrored) <= 130


def test_each_degradation_comes_as_often_as_its_probability_says() -> None:
    rare = Augmentation(degradations=("noise",), probability=0.2)
    changed = sum(not np.array_equal(rare(IMAGE, f"id{k}", 0, 0), IMAGE) for k in range(300))
    assert 35 <= changed <= 85


def test_it_comes_back_through_json() -> None:
    assert Augmentation.from_dict(json.loads(json.dumps(ALL.to_dict()))) == ALL
    assert hash(Augmentation(degradations=["jpeg"])) == hash(Augmentation(degradations=("jpeg",)))  # type: ignore[arg-type]


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"Unknown degradation 'rain'; known: blur, crop, jpeg"):
        Augmentation(degradations=("jpeg", "rain"))
    for probability in (-0.1, 1.1, float("nan")):
        with pytest.raises(BadInput, match="probability is"):
            Augmentation(probability=probability)
