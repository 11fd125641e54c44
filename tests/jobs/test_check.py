"""Every format of file that `check` reads, and those that it cannot; no Ray."""

import json
from collections.abc import Callable
from pathlib import Path

import pillow_heif
from fakes import picture
from PIL import Image

Job = Callable[..., tuple[int, str, str]]


def test_check_judges_every_format_and_says_what_it_cannot(
    job: Job, tmp_path: Path, save_bundle: Callable[[str], Path]
) -> None:
    bundle, folder = save_bundle("none"), tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(picture(1, 320, 240))
    pillow_heif.from_pillow(image).save(folder / "photo.heic", quality=90)
    for suffix in ("png", "webp", "avif", "tiff", "bmp", "jpg"):
        image.save(folder / f"photo.{suffix}")
    image.save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(picture(2, 320, 240))])
    code, stdout, _ = job("check", folder, "--bundle", bundle)
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0 and len(lines) == 8 and {line["error"] for line in lines} == {None}
    scores = {Path(line["file"]).suffix: line["score"] for line in lines}
    assert scores[".png"] == scores[".bmp"] == scores[".tiff"]
    assert max(scores.values()) - min(scores.values()) < 0.5

    (tmp_path / "note.jpg").write_text("a text file named .jpg")
    code, stdout, stderr = job("check", tmp_path / "note.jpg", tmp_path / "gone.jpg", "--bundle", bundle)
    assert code == 2 and "2 of 2 files" in stderr
    assert [json.loads(line)["error"] for line in stdout.splitlines()] == ["not_an_image", "missing"]
