import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gencv.core.errors import BadSource
from gencv.core.hub import hub_is_reachable
from gencv.core.record import Split
from gencv.datasets.sources import read_source

Jpeg = Callable[[int], bytes]


def dataset(jpeg: Jpeg, names: list[str], first: int = 0) -> Any:
    """Two pictures a class, as the hub would hold them."""
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"picture": Image(), "label": ClassLabel(names=names)})
    labels = [index // 2 for index in range(2 * len(names))]
    pictures = [{"bytes": jpeg(first + index), "path": None} for index in range(len(labels))]
    return Dataset.from_dict({"picture": pictures, "label": labels}, features=features)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hub")))


@pytest.fixture
def cifake(tmp_path: Path, jpeg: Jpeg) -> Path:
    from datasets import DatasetDict

    splits = {"train": dataset(jpeg, ["FAKE", "REAL"]), "test": dataset(jpeg, ["FAKE", "REAL"], 10)}
    DatasetDict(splits).save_to_disk(tmp_path / "cifake")
    return tmp_path / "cifake"


def test_labels_go_by_name_and_bytes_stay_as_they_were(cifake: Path, jpeg: Jpeg) -> None:
    records = list(read_source(f"hf:{cifake}"))
    assert [record.label for record in records] == [1, 1, 0, 0] * 2  # FAKE is the hub's 0 and our 1
    assert [record.data for record in records] == [jpeg(number) for number in (0, 1, 2, 3, 10, 11, 12, 13)]
    assert [record.split for record in records] == [Split.TRAIN] * 4 + [Split.TEST] * 4
    assert records[5].uri == f"hf:{cifake}/test#1" and records[0].source == "hf:cifake"


def test_splits(cifake: Path) -> None:
    def splits(options: str) -> list[tuple[str, Split | None]]:
        return sorted(
            {(r.uri.rpartition("/")[2].partition("#")[0], r.split) for r in read_source(f"hf:{cifake}?{options}")}
        )

    assert splits("split=test") == [("test", Split.TEST)]
    assert splits("dataset_split=train") == [("train", Split.TRAIN)]
    assert splits("dataset_split=train&split=val") == [("train", Split.VAL)]
    assert splits("dataset_split=train&split=none") == [("train", None)]
    assert splits("free=train") == [("test", Split.TEST), ("train", None)]
    for options, sentence in [("dataset_split=dev", "'dev'; it has train, test"), ("split=val", "no split for val")]:
        with pytest.raises(BadSource, match=sentence):
            splits(options)


def test_unknown_classes_must_be_told(tmp_path: Path, jpeg: Jpeg) -> None:
    dataset(jpeg, ["cat", "dog"]).save_to_disk(tmp_path / "pets")
    with pytest.raises(BadSource, match=r"cat, dog.*positive=NAME"):
        read_source(f"hf:{tmp_path}/pets")
    with pytest.raises(BadSource, match="no class 'horse'; it has cat, dog"):
        read_source(f"hf:{tmp_path}/pets?positive=horse")
    assert [r.label for r in read_source(f"hf:{tmp_path}/pets?positive=dog")] == [0, 0, 1, 1]
    assert {r.label for r in read_source(f"hf:{tmp_path}/pets?label=0")} == {0}


def test_a_folder_of_parquet_and_celeba_spoof_columns(tmp_path: Path, jpeg: Jpeg) -> None:
    from datasets import Dataset, Features, Image, Value

    features = Features({"cropped_image": Image(), "labels": Value("int64"), "labelNames": Value("string")})
    columns = {"cropped_image": [{"bytes": jpeg(i), "path": None} for i in range(2)], "labels": [0, 1],
               "labelNames": ["live", "spoof"]}  # fmt: skip
    (tmp_path / "celeba" / "data").mkdir(parents=True)
    Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "celeba/data/train-00000-of-00001.parquet")
    records = list(read_source(f"hf:{tmp_path}/celeba?split=test"))
    assert [(r.label, r.data, r.split) for r in records] == [(0, jpeg(0), Split.TEST), (1, jpeg(1), Split.TEST)]


def test_a_folder_of_class_folders(tmp_path: Path, jpeg: Jpeg) -> None:
    for number, name in enumerate(["train/FAKE/0.jpg", "train/REAL/0.jpg"]):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(jpeg(number))
    records = list(read_source(f"hf:{tmp_path}"))
    assert [(r.uri, r.label) for r in records] == [
        (f"{tmp_path}/train/FAKE/0.jpg", 1),
        (f"{tmp_path}/train/REAL/0.jpg", 0),
    ]


def test_a_hub_that_cannot_be_reached_says_so_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub_is_reachable.cache_clear()
    started = time.monotonic()
    with pytest.raises(
        BadSource, match=r"'nobody/nothing'.*cannot be reached.*local copy.*nothing.*hf:FOLDER"
    ) as caught:
        read_source("hf:nobody/nothing")
    assert time.monotonic() - started < 15 and "\n" not in str(caught.value)
