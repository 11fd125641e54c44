from collections.abc import Callable
from pathlib import Path

import pytest

from gencv.core.errors import BadSource
from gencv.core.record import Split
from gencv.datasets.sources import read_source

Tree = Callable[..., Path]


def table(text: str) -> list[tuple[str, int | None, str, Split | None]]:
    root = text.removeprefix("folder:").partition("?")[0]
    return [(r.uri.removeprefix(f"{root}/"), r.label, r.generator, r.split) for r in read_source(text)]


def test_forensynths(tree: Tree) -> None:
    root = tree("progan/train/0_real/a.png", "progan/train/1_fake/b.PNG", "biggan/1_fake/c.jpeg", "biggan/notes.txt")
    # One of ProGAN's classes is called "train": only some pictures lie in it, so it is not taken for a split silently.
    with pytest.raises(BadSource, match="split"):
        read_source(f"folder:{root}")
    assert table(f"folder:{root}?split=test") == [
        ("biggan/1_fake/c.jpeg", 1, "biggan", Split.TEST),
        ("progan/train/0_real/a.png", 0, "camera", Split.TEST),
        ("progan/train/1_fake/b.PNG", 1, "progan", Split.TEST),
    ]


def test_splits_above_labels(tree: Tree) -> None:
    root = tree("train/FAKE/a.jpg", "train/REAL/b.jpg", "validation/FAKE/a.jpg", "test/sd15/dog/FAKE/a.jpg")
    assert table(f"folder:{root}") == [
        ("test/sd15/dog/FAKE/a.jpg", 1, "sd15", Split.TEST),
        ("train/FAKE/a.jpg", 1, "unknown", Split.TRAIN),
        ("train/REAL/b.jpg", 0, "camera", Split.TRAIN),
        ("validation/FAKE/a.jpg", 1, "unknown", Split.VAL),
    ]


def test_a_known_generator_below_the_label_counts(tree: Tree) -> None:
    root = tree("spoof/print/a.jpg", "spoof/someone/b.jpg", "live/c.jpg")
    assert [row[2] for row in table(f"folder:{root}")] == ["camera", "print", "unknown"]


def test_unknown_classes_must_be_told(tree: Tree) -> None:
    root = tree("masks/a.jpg", "prints/b.jpg", "people/c.jpg")
    with pytest.raises(BadSource, match=r"masks, people, prints.*positive=NAME"):
        read_source(f"folder:{root}")
    rows = table(f"folder:{root}?positive=masks,prints")
    assert [row[1:3] for row in rows] == [(1, "masks"), (0, "camera"), (1, "prints")]
    with pytest.raises(BadSource, match=r"no folder 'mask' .*masks, people"):
        read_source(f"folder:{root}?positive=mask")
    with pytest.raises(BadSource, match="both label= and positive="):
        read_source(f"folder:{root}?positive=masks&label=1")


def test_a_path_that_says_both_labels_is_not_guessed_at(tree: Tree) -> None:
    with pytest.raises(BadSource, match="both a genuine and a positive"):
        read_source(f"folder:{tree('real/fake/a.jpg')}")


def test_pictures_without_any_folder_need_a_label(tree: Tree) -> None:
    root = tree("a.jpg", "b.heic", "c.avif")
    with pytest.raises(BadSource, match="directly"):
        read_source(f"folder:{root}")
    assert [row[1] for row in table(f"folder:{root}?label=none")] == [None] * 3


def test_hidden_files_and_other_suffixes_are_passed_over(tree: Tree) -> None:
    root = tree("real/.a.jpg", "real/.thumbs/a.jpg", "real/a.jpg", "real/a.json", "real/jpg")
    assert [row[0] for row in table(f"folder:{root}")] == ["real/a.jpg"]


def test_groups(tree: Tree) -> None:
    root = tree("live/anna/0042_03.jpg", "spoof/ben/0042-a_1.jpg", "spoof/ben/plain.jpg")

    def groups(rule: str) -> list[str]:
        return [record.group for record in read_source(f"folder:{root}?group={rule}")]

    assert groups("folder") == ["live/anna", "spoof/ben", "spoof/ben"]
    assert groups("stem") == ["0042", "0042-a", "plain"]
    with pytest.raises(BadSource, match="known: folder, stem"):
        groups("name")


def test_a_relative_location_becomes_absolute(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("real/a.jpg")
    monkeypatch.chdir(root.parent)
    assert next(read_source("folder:data")).uri == str(root / "real/a.jpg")


def test_a_uri_stays_one(tree: Tree) -> None:
    root = tree("real/a.jpg", "fake/b.jpg")
    assert [r.uri for r in read_source(f"folder:file://{root}")] == [
        f"file://{root}/{n}" for n in ("fake/b.jpg", "real/a.jpg")
    ]


@pytest.mark.parametrize(
    ("path", "sentence"), [("nothing", "is not there"), ("real/a.jpg", "is a file"), ("empty", "holds no")]
)
def test_a_folder_that_is_none(tree: Tree, path: str, sentence: str) -> None:
    root = tree("real/a.jpg")
    (root / "empty").mkdir()
    with pytest.raises(BadSource, match=sentence):
        read_source(f"folder:{root}/{path}")


@pytest.mark.parametrize(
    "word", ["0_real", "real", "live", "nature", "genuine", "bonafide", "bona_fide", "authentic", "0_live"]
)
def test_words_for_genuine(tree: Tree, word: str) -> None:
    assert [row[1] for row in table(f"folder:{tree(f'{word}/a.jpg')}")] == [0]


@pytest.mark.parametrize("word", ["1_fake", "fake", "spoof", "attack", "ai", "generated", "synthetic", "1_spoof"])
def test_words_for_positive(tree: Tree, word: str) -> None:
    assert [row[1] for row in table(f"folder:{tree(f'{word}/a.jpg')}")] == [1]
