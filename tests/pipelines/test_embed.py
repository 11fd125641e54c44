from pathlib import Path

import numpy as np
import pytest
from fakes import manifest_of, write_pictures

from gencv.core.contracts import Encoder
from gencv.core.embeddings import Embeddings
from gencv.core.manifest import Manifest, read_part
from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import embed
from gencv.pipelines.preprocess import preprocess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
RECIPE = Preprocessing(jpeg_quality=(40, 90))


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


@pytest.fixture
def stored(pictures: tuple[str, Manifest], ray_local: str) -> tuple[str, Manifest]:
    """The same pictures preprocessed, once for all tests: what is there is not done again."""
    folder = str(Path(pictures[0]).with_name("stored"))
    return folder, preprocess(*pictures, RECIPE, folder)[0]


def run_embed(pictures: tuple[str, Manifest], encoder: Encoder, out: Path, **how: object) -> Embeddings:
    embed(*pictures, encoder, str(out), **how)  # type: ignore[arg-type]
    return Embeddings.load(str(out))


def test_embedding_with_augmentation_is_preprocessing_and_then_embedding(
    pictures: tuple[str, Manifest], stored: tuple[str, Manifest], encoder: Encoder, tmp_path: Path
) -> None:
    at_once = run_embed(pictures, encoder, tmp_path / "at_once", augment=RECIPE)
    assert len(at_once.vectors) == 300
    assert {index: error for index, error in enumerate(at_once.errors) if error} == {
        7: "not_an_image",
        290: "truncated",
        298: "changed",
        299: "missing",
    }
    assert [uri[-8:] for uri, _ in at_once.bad()] == ["0007.jpg", "0290.jpg", "0298.jpg", "0299.jpg"]
    np.testing.assert_allclose(np.linalg.norm(at_once.vectors[at_once.good], axis=1), 1, atol=1e-5)

    # Another number of workers, and other batches: nothing changes.
    after = run_embed(stored, encoder, tmp_path / "after", workers=1, batch_size=5)
    np.testing.assert_allclose(after.vectors, at_once.vectors, atol=1e-5)
    assert after.space == at_once.space and after.errors == at_once.errors
    assert after.digest() != at_once.digest()  # its rows carry the errors that preprocessing met
    assert after.space.digest() != encoder.space.digest()


def test_stored_bytes_are_those_of_one_picture_alone(
    pictures: tuple[str, Manifest], stored: tuple[str, Manifest], tmp_path: Path
) -> None:
    folder, made = stored
    again, _ = preprocess(*pictures, RECIPE, str(tmp_path / "again"), workers=1)
    assert made.digest() == again.digest()
    rows, images = read_part(folder, 1)
    assert images == read_part(str(tmp_path / "again"), 1)[1]
    row = 3
    original = decode(Path(rows["uri"][row].as_py()).read_bytes(), min_side_px=RECIPE.decode_side_px)
    assert images[row] == RECIPE.store(original, rows["id"][row].as_py(), rows["split"][row].as_py())
    assert made["error"][299] == "missing" and made["width"][297:] == [224, None, None]
