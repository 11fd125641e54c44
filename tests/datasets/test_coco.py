import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gencv.core.errors import BadSource
from gencv.datasets.sources import read_source

Tree = Callable[..., Path]
CONTENT = {
    "images": [{"id": 20, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}],
    "annotations": [
        {"id": 9, "image_id": 3, "caption": "second "},
        {"id": 1, "image_id": 20, "caption": "other"},
        {"id": 2, "image_id": 3, "caption": "first"},
    ],
}


@pytest.mark.parametrize(
    ("images", "notes", "location"),
    [
        ("images", "captions.json", ""),
        ("images", "annotations/captions_val2017.json", ""),
        ("val2017", "annotations/captions_val2017.json", "/annotations/captions_val2017.json"),
        ("elsewhere", "captions.json", "?images={root}/elsewhere"),
    ],
)
def test_the_usual_layouts(tree: Tree, images: str, notes: str, location: str) -> None:
    root = tree(f"{images}/a.jpg", f"{images}/b.jpg")
    (root / notes).parent.mkdir(exist_ok=True)
    (root / notes).write_text(json.dumps(CONTENT))
    first, second = read_source(f"coco:{root}{location.format(root=root)}")
    assert (first.uri, first.caption) == (f"{root}/{images}/a.jpg", ("first", "second"))
    assert (second.uri, second.caption) == (f"{root}/{images}/b.jpg", ("other",))
    assert (first.label, first.generator, first.family) == (0, "camera", "real")


def test_several_files_of_captions_are_not_chosen_from(tree: Tree) -> None:
    root = tree("images/a.jpg")
    (root / "captions_train.json").write_text("{}")
    (root / "captions_val.json").write_text("{}")
    with pytest.raises(BadSource, match=r"captions_train.json, .*captions_val.json"):
        read_source(f"coco:{root}")


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [{"id": 1}]}', '{"images": []}'])
def test_a_json_of_another_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "captions.json").write_text(text)
    with pytest.raises(BadSource, match=r"captions.json"):
        read_source(f"coco:{tmp_path}")


def test_pictures_that_are_nowhere(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(json.dumps(CONTENT))
    with pytest.raises(BadSource, match=r"a\.jpg.*images=DIR"):
        read_source(f"coco:{tmp_path}")


def test_the_real_one(shared: Path) -> None:
    records = list(read_source(f"coco:{shared}/coco_captions"))
    assert len(records) == 51 and {len(record.caption) for record in records} == {5}
    assert all(Path(record.uri).is_file() for record in records)
