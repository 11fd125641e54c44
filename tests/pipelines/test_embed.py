from pathlib import Path

import numpy as np
import pytest
from fakes import manifest_of, write_pictures

from gencv.core.contracts import Encoder
from gencv.core.embeddings import Embeddings
from gencv.core.manifest import Manifest, read_part
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import embed
from gencv.pipelines.preprocess import preprocess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Manifest]:
    """A manifest of 300 pictures in two parts, four of which cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = write_pictures(folder / "in", 300)
    paths[7].write_bytes(b"no picture at all")
    paths[290].write_bytes(paths[290].read_bytes()[:400])
    made = manifest_of(paths, split=["train"] * 200 + ["test"] * 100)
    paths[298].write_bytes(paths[297].read_bytes())
    paths[299].unlink()
    made.save(str(folder / "manifest"))
    return str(folder / "manifest"), made


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("starter-features", device="cpu")


def run_embed(pictures: tuple[str, Manifest], encoder: Encoder, out: Path, **how: object) -> Embeddings:
    embed(*pictures, encoder, str(out), **how)  # type: ignore[arg-type]
    return Embeddings.load(str(out))


def test_counts_in_are_counts_out_and_workers_and_batches_change_nothing(
    pictures: tuple[str, Manifest], encoder: Encoder, tmp_path: Path, ray_local: str
) -> None:
    base = run_embed(pictures, encoder, tmp_path / "base")
    assert len(base.vectors) == 300
    assert {index: error for index, error in enumerate(base.errors) if error} == {
        7: "not_an_image",
        290: "truncated",
        298: "changed",
        299: "missing",
    }
    assert [uri[-8:] for uri, _ in base.bad()] == ["0007.jpg", "0290.jpg", "0298.jpg", "0299.jpg"]
    np.testing.assert_allclose(np.linalg.norm(base.vectors[base.good], axis=1), 1, atol=1e-5)
    other = run_embed(pictures, encoder, tmp_path / "other", workers=1, batch_size=5)
    np.testing.assert_allclose(other.vectors, base.vectors, atol=1e-5)


def test_embedding_with_augmentation_is_preprocessing_and_then_embedding(
    pictures: tuple[str, Manifest], encoder: Encoder, tmp_path: Path, ray_local: str
) -> None:
    recipe = Preprocessing(jpeg_quality=(40, 90))
    at_once = run_embed(pictures, encoder, tmp_path / "at_once", augment=recipe)
    stored, _ = preprocess(*pictures, recipe, str(tmp_path / "stored"))
    after = run_embed((str(tmp_path / "stored"), stored), encoder, tmp_path / "after")
    assert (
        after.digest() != at_once.digest()
    )  # the rows carry the errors that preprocessing met, the vectors do not differ
    np.testing.assert_array_equal(after.vectors, at_once.vectors)
    assert after.space == at_once.space and after.errors == at_once.errors
    assert after.space.digest() != encoder.space.digest()


def test_stored_bytes_are_those_of_one_picture_alone(
    pictures: tuple[str, Manifest], tmp_path: Path, ray_local: str
) -> None:
    from gencv.images.decode import decode

    recipe = Preprocessing()
    made, _ = preprocess(*pictures, recipe, str(tmp_path / "out"))
    again, _ = preprocess(*pictures, recipe, str(tmp_path / "again"), workers=1)
    assert made.digest() == again.digest()
    rows, images = read_part(str(tmp_path / "out"), 1)
    assert images == read_part(str(tmp_path / "again"), 1)[1]
    row = 3
    original = decode(Path(rows["uri"][row].as_py()).read_bytes(), min_side_px=recipe.decode_side_px)
    assert images[row] == recipe.store(original, rows["id"][row].as_py(), rows["split"][row].as_py())
    assert made["error"][299] == "missing" and made["width"][297:] == [224, None, None]
