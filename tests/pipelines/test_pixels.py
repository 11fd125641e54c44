"""A part of pixels and what is inferred of it, without Ray: a part is a function of its number."""

from pathlib import Path

import numpy as np
import pytest
from fakes import manifest_of, write_pictures

from gencv.core import tables
from gencv.core.contracts import Judged
from gencv.images.chain import Chain
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import Transform
from gencv.pipelines import predict
from gencv.pipelines.embed import in_batches
from gencv.pipelines.pixels import PIXELS_SCHEMA, ReadPixels, views_of

CHAIN = Chain(Preprocessing(size_px=48), Transform(size_px=32, resize_px=36))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """One part of pictures whose last ones cannot be read, and a part of which none can."""
    paths = write_pictures(tmp_path / "in", tables.ROWS_PER_PART + 3, size=(60, 50))
    made = manifest_of(paths)
    for path in paths[250:]:
        path.write_bytes(b"no picture")
    made.save(str(tmp_path / "m"))
    return str(tmp_path / "m")


@pytest.mark.parametrize("reencode", [False, True])
def test_every_row_has_its_views_and_its_condition(folder: str, reencode: bool) -> None:
    read = ReadPixels(folder, CHAIN, reencode=reencode)
    part = read(0)
    views, num_views, good = views_of(part)
    assert part.schema == PIXELS_SCHEMA and good.sum() == 250 and len(views) == 250 * num_views
    assert num_views == (4 if reencode else 1) and views[0].shape == (32, 32, 3)
    assert part["side_px"].to_pylist() == [50] * 250 + [None] * 6
    assert min(part["blur"].to_pylist()[:250]) > 0 and part["error"].to_pylist()[250:] == ["changed"] * 6

    def mean(pixels: np.ndarray) -> np.ndarray:
        assert len(pixels) == 7
        return pixels.reshape(7, -1)[:, :2].astype(np.float32)

    found = in_batches(mean, part, 2, 7)
    assert found.shape == (256, num_views, 2) and np.isnan(found[250:]).all()
    np.testing.assert_array_equal(found[:250].reshape(-1, 2), [view.ravel()[:2] for view in views])


@pytest.mark.parametrize("reencode", [False, True])
def test_a_part_without_a_readable_picture_is_like_any_other(
    folder: str, reencode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        kinds, num_features = ("gan", "diffusion"), 3

        def judge(self, pixels: np.ndarray) -> Judged:
            count = len(pixels)
            scores = np.linspace(0, 1, count).astype(np.float32)
            return Judged(scores, np.full((count, 2), 0.5, np.float32), np.ones((count, 3), np.float32))

    monkeypatch.setattr(predict.bundle, "load", lambda *args, **how: Fake())
    infer = predict.BuildDetector("anywhere", 8)("cpu", 1)
    read = ReadPixels(folder, CHAIN, reencode=reencode)
    some, none = infer(read(0)), infer(read(1))
    assert some.schema == none.schema and none.num_rows == 3
    assert none["score"].null_count == none["score_low"].null_count == none["features"].null_count == 3
    assert some["score_low"].null_count == (6 if reencode else 256)
