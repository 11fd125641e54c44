"""Maps and nearest pictures beside a verdict."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import manifest_of, picture, write_embeddings, write_pictures

from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput, NotSupported
from gencv.core.manifest import PictureReader
from gencv.core.record import picture_id
from gencv.images.decode import decode
from gencv.services.spoof import Checker, open_checker
from gencv.services.why import NUM_NEAREST, Gallery, open_gallery


@pytest.fixture(scope="module")
def checker(save_bundle: Callable[[str], Path]) -> Checker:
    return open_checker(str(save_bundle("none")), device="cpu")


def shown(url: str) -> np.ndarray:
    return decode(base64.b64decode(url.partition(";base64,")[2]))


def gallery_of(folder: Path, checker: Checker) -> Gallery:
    """Ten training pictures, half of them positive, encoded by the detector's own encoder."""
    paths = write_pictures(folder / "pictures", 10)
    detector: Any = checker.detector
    labels = [number % 2 for number in range(10)]
    pictures = manifest_of(paths, label=labels, split=["train"] * 9 + ["test"])
    pictures.save(str(folder))
    pixels = np.stack([detector.prepare(decode(path.read_bytes())) for path in paths])
    vectors = detector.encoder.images(pixels)
    write_embeddings(pictures, vectors, folder)
    return Gallery(replace(Embeddings.load(str(folder)), space=detector.space), PictureReader(str(folder)))


def test_a_map_is_laid_over_what_the_network_saw(checker: Checker) -> None:
    subject = checker.examine(png(3), reencode=False)
    (why,) = checker.explain(subject, ["attention"])
    assert why["attention"]["method"] in why["attention"]["meaning"]
    assert shown(why["attention"]["image"]).shape[:2] == subject.pictures[0].views.shape[1:3]


def test_the_nearest_of_either_class_are_training_pictures_and_not_the_picture_itself(
    checker: Checker, tmp_path: Path
) -> None:
    gallery = gallery_of(tmp_path, checker)
    manifest = gallery.embeddings.manifest
    data = Path(manifest["uri"][0]).read_bytes()
    known = replace(checker, gallery=gallery)
    (why,) = known.explain(known.examine(data), ["neighbours"])
    for label, name in enumerate(checker.detector.labels):
        found = why["neighbours"][name]
        rows = [manifest["id"].index(one["id"]) for one in found]
        assert len(rows) == NUM_NEAREST and {manifest["label"][row] for row in rows} == {label}
        assert {manifest["split"][row] for row in rows} == {"train"} and picture_id(data) not in manifest["id"][1:]
        assert 0 not in rows and [one["cosine"] for one in found] == sorted(
            (one["cosine"] for one in found), reverse=True
        )
        assert max(shown(found[0]["image"]).shape) <= 160


def test_what_cannot_be_shown_is_said(checker: Checker, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="No training pictures"):
        checker.explain(checker.examine(png(3)), ["neighbours"])
    gallery_of(tmp_path, checker)  # whose folder names a space of the fakes
    with pytest.raises(BadInput, match="another space"):
        open_gallery(str(tmp_path), checker.detector)


def png(seed: int) -> bytes:
    from gencv.images.degrade import encode_png

    return encode_png(picture(seed, 240, 200))
