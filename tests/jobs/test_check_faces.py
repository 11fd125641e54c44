"""A bundle that was fitted on faces, on whole photographs; no Ray."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from gencv.images.faces import find_faces
from gencv.models import bundle

Job = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two faces in one photograph, turned on its side and put upright by its EXIF; and a picture without a face."""
    photo = photographs.astronaut()
    small = np.full((512, 256, 3), 90, np.uint8)
    small[:256] = cv2.resize(photo[:, ::-1], (256, 256), interpolation=cv2.INTER_AREA)
    both = np.hstack([photo, small])
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(both))).save(tmp_path / "both.png", exif=exif)
    Image.fromarray(photographs.coffee()).save(tmp_path / "coffee.png")
    return tmp_path


def lines_of(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_a_bundle_of_faces_judges_the_largest_or_each(
    job: Job, files: Path, save_bundle: Callable[[str], Path]
) -> None:
    folder = save_bundle("face")
    run = ("check", files / "both.png", files / "coffee.png", "--bundle", folder, "--max-bad-fraction", "1")
    code, stdout, _ = job(*run)
    largest, bad = lines_of(stdout)
    assert code == 0 and bad["error"] == "no_face" and "face" not in bad

    code, stdout, _ = job(*run, "--faces", "each")
    first, second, bad = lines_of(stdout)
    assert code == 0 and bad["error"] == "no_face" and first == largest
    assert first["id"] == second["id"] and first["score"] != second["score"]

    photo = photographs.astronaut()
    (face,) = find_faces(photo)
    assert first["face"]["score"] > 0.95 < second["face"]["score"]
    for name, value in (("left", face.left), ("top", face.top), ("right", face.right), ("bottom", face.bottom)):
        assert abs(first["face"][name] - value) < 15  # in px of the upright picture
    assert second["face"]["left"] > 512 and second["face"]["bottom"] < 256

    detector = bundle.load(str(folder))
    upright = np.asarray(Image.open(files / "both.png").transpose(Image.Transpose.ROTATE_270))
    assert float(detector.judge_image(upright, reencode=True).scores[0]) == first["score"]


def test_a_bundle_of_whole_pictures_has_no_faces(job: Job, files: Path, save_bundle: Callable[[str], Path]) -> None:
    folder = save_bundle("none")
    code, stdout, _ = job("check", files / "both.png", "--bundle", folder)
    (line,) = lines_of(stdout)
    assert code == 0 and line["error"] is None and "face" not in line
    code, _, stderr = job("check", files / "both.png", "--bundle", folder, "--faces", "each")
    assert code == 2 and "whole pictures" in stderr
    code, _, stderr = job("check", files / "both.png", "--bundle", folder, "--faces", "two")
    assert code == 2 and "each, largest" in stderr
