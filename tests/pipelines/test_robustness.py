"""One part of a robustness pass, without Ray: what is read, what is made of it, and what is laid out."""

from pathlib import Path

import numpy as np
import pytest
from fakes import manifest_of, write_pictures
from PIL import Image

from gencv.core.manifest import Manifest
from gencv.evaluate.protocols import NATIVE_CLEAN, cells_of, versions_of
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.pipelines import robustness
from gencv.pipelines.robustness import ReadVersions, table_of

PREPARE = Preprocessing(size_px=32)
VERSIONS = tuple(versions_of(cells_of("tiers")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 pictures in parts of 8: one of 20 px, one that is cut, one that is gone."""
    paths = write_pictures(tmp_path / "pictures", 20)
    Image.open(paths[1]).resize((20, 20)).save(paths[1])
    paths[2].write_bytes(paths[2].read_bytes()[:400])
    made = manifest_of(paths, split="test")
    paths[3].unlink()
    made.save(str(tmp_path), rows_per_part=8)
    return tmp_path


def test_a_picture_is_decoded_once_and_has_every_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(robustness, "decode", lambda data: decoded.append(data) or decode(data))
    read = ReadVersions(str(folder), PREPARE, VERSIONS, 0)
    parts = [read(part).to_pylist() for part in range(3)]
    assert [len(part) for part in parts] == [8 * 7, 8 * 7, 4 * 7]
    assert len(decoded) == 19 == len(set(decoded))
    rows = [row for part in parts for row in part]
    assert all((row["pixels"] is None) == (row["error"] is not None) for row in rows)
    ids = Manifest.load(str(folder))["id"]
    assert {row["error"] for row in rows if row["id"] == ids[2]} == {"truncated"}
    assert {row["error"] for row in rows if row["id"] == ids[3]} == {"missing"}
    small = {VERSIONS[row["version"]]: row["error"] for row in rows if row["id"] == ids[1]}
    assert all(small[version] in (None, "too_small") for version in VERSIONS)
    assert all(small[version] is None for version in VERSIONS if version.degradation != "chained")
    data = (folder / "pictures" / "0000.jpg").read_bytes()
    for row in rows[:7]:
        version = VERSIONS[row["version"]]
        start = robustness.make_versions(decode(data), ids[0], [version], 0)
        made = next(iter(start))[1]
        assert isinstance(made, np.ndarray)
        assert row["pixels"] == PREPARE(made).tobytes()


def test_cells_share_what_was_said_of_their_versions(folder: Path) -> None:
    cells, sample = cells_of("tiers"), Manifest.load(str(folder))
    versions = [NATIVE_CLEAN, *VERSIONS]
    said = {version: dict.fromkeys(sample["id"], (k / 10, None)) for k, version in enumerate(versions)}
    rows = table_of(cells, sample, said).to_pylist()
    assert len(rows) == 12 * 20
    of_cell = {(row["protocol"], row["degradation"], row["id"]): row["score"] for row in rows}
    genuine, positive = sample["id"][0], sample["id"][5]
    for tier in ("clean", "web", "hard", "chained"):
        assert of_cell["native", tier, genuine] == of_cell["fakes_aligned", tier, genuine]
        assert of_cell["all_recompressed", tier, genuine] != of_cell["fakes_aligned", tier, genuine]
        assert of_cell["all_recompressed", tier, positive] == of_cell["fakes_aligned", tier, positive]
        assert of_cell["native", tier, positive] != of_cell["fakes_aligned", tier, positive]
