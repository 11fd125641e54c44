"""What every cell does to a picture, and which pictures are drawn."""

import numpy as np
import pytest
from fakes import manifest, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadImage, UnknownName
from gencv.evaluate import protocols
from gencv.evaluate.protocols import (
    DEGRADATIONS,
    NATIVE,
    NATIVE_CLEAN,
    PROTOCOLS,
    TIERS,
    Cell,
    Version,
    cells_of,
    draw_sample,
    make_versions,
    recompress,
    versions_of,
)

PHOTO = picture(3, 1_000, 640)


def test_the_choices_are_three_protocols_at_four_tiers_and_every_sweep() -> None:
    assert cells_of("none") == []
    assert [cell.name for cell in cells_of("tiers")] == [f"{p} {t}" for p in PROTOCOLS for t in TIERS]
    num_sweeps = sum(len(way.strengths) for way in DEGRADATIONS.values())
    names = [cell.name for cell in cells_of("all")]
    assert len(names) == 12 + num_sweeps == len(set(names)) and "native jpeg 75" in names
    with pytest.raises(UnknownName, match="none, tiers"):
        cells_of("most")


def test_protocols_say_which_class_is_saved_anew() -> None:
    told = {p: [Cell(p, "web").version(label).is_recompressed for label in (0, 1)] for p in PROTOCOLS}
    assert told == {"native": [False, False], "fakes_aligned": [False, True], "all_recompressed": [True, True]}
    # Two kinds of file at four tiers, less the one that was judged before.
    assert len(versions_of(cells_of("tiers"))) == 7 and NATIVE_CLEAN not in versions_of(cells_of("all"))


def test_versions_are_made_from_one_picture_that_stays_as_it_was() -> None:
    before = PHOTO.copy()
    made = dict(make_versions(PHOTO, "id", [NATIVE_CLEAN, *versions_of(cells_of("tiers"))], 0))
    assert np.array_equal(PHOTO, before)
    assert made[NATIVE_CLEAN] is PHOTO
    again = recompress(PHOTO)
    assert np.array_equal(made[Version(True, "clean")], again) and not np.array_equal(again, PHOTO)
    for is_recompressed in (False, True):
        assert max(made[Version(is_recompressed, "web")].shape) == 768
        assert max(made[Version(is_recompressed, "hard")].shape) == 512
    start = {True: again, False: PHOTO}
    for version, image in made.items():
        assert np.array_equal(image, version(start[version.is_recompressed], "id", 0)), "whatever was made before"
    # A picture has one chain in every protocol: the sizes are those of the same crops and resizes.
    assert made[Version(True, "chained")].shape == made[Version(False, "chained")].shape


def test_what_is_drawn_belongs_to_the_picture_and_the_seed() -> None:
    version = Version(False, "chained")
    assert np.array_equal(version(PHOTO, "a", 0), version(PHOTO, "a", 0))
    assert not np.array_equal(version(PHOTO, "a", 0), version(PHOTO, "b", 0))
    assert not np.array_equal(version(PHOTO, "a", 0), version(PHOTO, "a", 1))


def test_what_is_too_small_or_too_large_is_an_error_of_its_version_alone() -> None:
    small = picture(1, 24, 24)
    made = dict(make_versions(small, "id", [Version(False, "crop", 0.5), Version(False, "jpeg", 75)], 0))
    bad = made[Version(False, "crop", 0.5)]
    assert isinstance(bad, BadImage) and bad.code == "too_small"
    assert isinstance(made[Version(False, "jpeg", 75)], np.ndarray)
    tiny = picture(1, 8, 8)  # it was as small before: that is not the degradation's doing
    assert Version(False, "jpeg", 75)(tiny, "id", 0).shape == tiny.shape
    wide = np.zeros((2, protocols.MAX_SIDE_PX + 1, 3), np.uint8)
    found = dict(make_versions(wide, "id", [NATIVE_CLEAN, *versions_of(cells_of("all"))], 0))
    assert found.pop(NATIVE_CLEAN) is wide
    assert {image.code for image in found.values() if isinstance(image, BadImage)} == {"too_many_pixels"}
    assert all(isinstance(image, BadImage) for image in found.values())


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 3))
def test_the_sample_has_as_many_groups_as_can_be(per_class: int, num_bad: int, seed: int) -> None:
    groups = [f"{k % 2} {(k // 2) % 5}" for k in range(40)]
    errors = ["corrupt" if k < num_bad else None for k in range(40)]
    rows = manifest(40, group=groups, error=errors, label=[[0, 1, None][k % 3] for k in range(40)])
    drawn = draw_sample(rows, per_class, seed)
    assert set(drawn["error"]) <= {None} and set(drawn["label"]) <= {0, 1}
    assert drawn["id"] == [image_id for image_id in rows["id"] if image_id in set(drawn["id"])], "in the old order"
    for label in (0, 1):
        readable = rows.where([mine == label and not error for mine, error in zip(rows["label"], errors, strict=True)])
        mine = drawn.where([other == label for other in drawn["label"]])
        assert len(mine) == min(per_class, len(readable))
        assert len(set(mine["group"])) == min(per_class, len(set(readable["group"])))
    turned = rows.where(np.arange(40) >= 0)
    assert draw_sample(turned, per_class, seed)["id"] == drawn["id"]


def test_another_seed_draws_other_pictures() -> None:
    rows = manifest(400)
    assert draw_sample(rows, 20, 0)["id"] != draw_sample(rows, 20, 1)["id"]


def test_the_native_cell_is_what_others_are_measured_against() -> None:
    assert cells_of("tiers")[0] == NATIVE and NATIVE.version(1) == NATIVE_CLEAN
