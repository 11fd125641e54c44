from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from gencv.core.errors import BadInput, BadSource, UnknownName
from gencv.core.record import Split
from gencv.datasets.sources import SOURCES, read_source

Tree = Callable[..., Path]


@pytest.fixture
def faces(tree: Tree) -> Path:
    return tree(
        *(f"{split}/{kind}/{i}.jpg" for split in ("train", "test") for kind in ("live", "spoof") for i in range(20))
    )


def test_the_common_options_go_before_what_the_source_says(faces: Path) -> None:
    (record,) = read_source(
        f"folder:{faces}?label=1&generator=sd15&family=inpainting&source=s&split=validation&limit=1"
    )
    assert (record.label, record.generator, record.family) == (1, "sd15", "inpainting")
    assert (record.source, record.split) == ("s", Split.VAL)


def test_generator_and_family_follow_the_label(faces: Path) -> None:
    record = next(read_source(f"folder:{faces}?label=0"))
    assert (record.generator, record.family) == ("camera", "real")
    record = next(read_source(f"folder:{faces}?label=1&generator=biggan"))
    assert (record.generator, record.family) == ("biggan", "gan")
    record = next(read_source(f"folder:{faces}?label=none"))
    assert (record.label, record.generator, record.family) == (None, "unknown", "unknown")


def test_splits_can_be_freed(faces: Path) -> None:
    def splits(options: str) -> set[Split | None]:
        return {record.split for record in read_source(f"folder:{faces}{options}")}

    assert splits("") == {Split.TRAIN, Split.TEST}
    assert splits("?free=train") == {None, Split.TEST}
    assert splits("?split=none") == {None}


def test_a_fraction_is_the_same_subset_every_time_and_grows(faces: Path) -> None:
    uris = [{r.uri for r in read_source(f"folder:{faces}?fraction={f}")} for f in (0.2, 0.5, 0.5, 1.0)]
    assert uris[1] == uris[2]
    assert all(less <= more for less, more in pairwise(uris))
    assert 25 <= len(uris[1]) <= 55 and len(uris[3]) == 80


@pytest.mark.parametrize(
    "option",
    [
        "label=2",
        "family=dog",
        "split=dev",
        "free=dev",
        "fraction=0",
        "fraction=nan",
        "fraction=a",
        "limit=0",
        "limit=1.5",
        "colour=red",
    ],
)
def test_a_wrong_option_is_named_at_the_call(faces: Path, option: str) -> None:
    with pytest.raises(BadInput, match=option.partition("=")[2] if "colour" not in option else "colour"):
        read_source(f"folder:{faces}?{option}")


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"'ftp'.*folder.*starter"):
        read_source("ftp:/x")


def test_a_source_that_gives_nothing_is_an_error(faces: Path) -> None:
    with pytest.raises(BadSource, match="no pictures"):
        read_source(f"folder:{faces}?fraction=0.000001")


@pytest.mark.parametrize("kind", sorted(set(SOURCES) - {"starter"}))
def test_a_location_that_is_not_there_is_one_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadSource) as caught:
        read_source(f"{kind}:{tmp_path}/absent")
    assert "absent" in str(caught.value) and "\n" not in str(caught.value)


def test_what_made_the_positives_did_not_make_the_genuine_pictures(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    for number, name in enumerate(("live", "spoof")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(jpeg(number))
    mixed = {r.label: (r.generator, r.family) for r in read_source(f"folder:{tmp_path}?generator=phone&family=replay")}
    assert mixed == {0: ("camera", "real"), 1: ("phone", "replay")}
    one = next(read_source(f"folder:{tmp_path / 'live'}?label=0&generator=dslr"))
    assert (one.generator, one.family) == ("dslr", "real")
