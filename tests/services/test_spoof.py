"""Files to verdicts, one by one and in batches."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import picture
from PIL import Image
from skimage import data as photographs

from gencv.core.errors import BadImage, BadInput, UnknownName
from gencv.core.record import picture_id
from gencv.images.decode import Limits
from gencv.services.spoof import Checker, open_checker


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def whole(save_bundle: Callable[[str], Path]) -> Checker:
    return open_checker(str(save_bundle("none")), device="cpu")


def test_a_batch_says_of_each_what_it_says_of_it_alone(whole: Checker) -> None:
    files = [png(picture(seed, 240, 200)) for seed in range(3)]
    subjects = [whole.examine(data, reencode=number != 1) for number, data in enumerate(files)]
    together = whole.judge(subjects)
    for number, (data, lines) in enumerate(zip(files, together, strict=True)):
        (line,), (alone,) = lines, whole.check(data, reencode=number != 1)
        assert line["id"] == picture_id(data) and line["label"] == alone["label"]
        assert line["score"] == pytest.approx(alone["score"], abs=1e-4)
        best, other = line["scores"].values()
        assert best >= other and best + other == pytest.approx(1)
    assert len({lines[0]["score"] for lines in together}) == 3


def test_faces_get_a_line_each(save_bundle: Callable[[str], Path]) -> None:
    faces = open_checker(str(save_bundle("face")), device="cpu")
    photo = photographs.astronaut()
    subject = faces.examine(png(np.hstack([photo, photo[:, ::-1]])), faces="each")
    ((first, second),) = faces.judge([subject])
    assert len(subject.faces) == 2 and first["face"] != second["face"] and first["id"] == second["id"]
    with pytest.raises(BadImage, match="no face"):
        faces.examine(png(photographs.coffee()))


def test_what_cannot_be_judged_is_said(whole: Checker) -> None:
    data = png(picture(0))
    with pytest.raises(UnknownName, match="each, largest"):
        whole.examine(data, faces="all")
    with pytest.raises(BadInput, match="whole pictures"):
        whole.examine(data, faces="each")
    with pytest.raises(BadImage, match="limit 10"):
        replace(whole, limits=Limits(max_pixels=10)).examine(data)


def test_a_threshold_that_the_bundle_lacks(save_bundle: Callable[[str], Path]) -> None:
    with pytest.raises(UnknownName, match="known: eer"):
        open_checker(str(save_bundle("none")), threshold="fpr_1", device="cpu")
