"""What check says of a file's origin, beside its score; no Ray."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from skimage import data as photographs

from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, encode_png
from gencv.provenance.parameters import Parameters
from gencv.provenance.stamp import stamp

Job = Callable[..., tuple[int, str, str]]


def test_check_shows_where_a_picture_comes_from_beside_its_score(
    job: Job, tmp_path: Path, save_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "identity"))
    photo, folder = photographs.astronaut(), save_bundle("none")
    marked = stamp(photo, Parameters(prompt="an astronaut", seed=7))
    files = {
        "camera.png": encode_png(photo),
        "stamped.png": marked,
        "compressed.jpg": encode_jpeg(decode(marked), 50),
        "text.png": b"text",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    run = ("check", *(tmp_path / name for name in files), "--bundle", folder, "--max-bad-fraction", "1")
    code, stdout, _ = job(*run)
    camera, stamped, compressed, bad = (json.loads(line) for line in stdout.splitlines())
    assert code == 0 and bad["error"] == "not_an_image" and "provenance" not in bad
    assert camera["provenance"]["found"] == []
    assert stamped["provenance"]["found"] == ["parameters", "credentials", "watermark"]
    assert stamped["provenance"]["agree"] and stamped["provenance"]["credentials"]["state"] == "trusted"
    assert stamped["provenance"]["parameters"]["values"]["prompt"] == "an astronaut"
    assert compressed["provenance"]["found"] == ["watermark"]
    assert compressed["provenance"]["watermark"]["payload"] == stamped["provenance"]["watermark"]["payload"]

    code, stdout, _ = job(*run, "--no-provenance")
    for with_it, without in zip((camera, stamped, compressed, bad), map(json.loads, stdout.splitlines()), strict=True):
        with_it.pop("provenance", None)
        assert with_it == without  # score, label, and reasons are what they are without it


def test_check_without_a_bundle_reads_provenance_alone(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCV_IDENTITY", str(tmp_path / "identity"))
    (tmp_path / "a.png").write_bytes(stamp(photographs.astronaut(), Parameters(prompt="an astronaut", seed=7)))
    code, stdout, _ = job("check", tmp_path / "a.png")
    (line,) = (json.loads(text) for text in stdout.splitlines())
    assert code == 0 and set(line) == {"file", "id", "error", "provenance"}
    assert line["provenance"]["found"] == ["parameters", "credentials", "watermark"]
    for flags, sentence in ((["--no-provenance"], "give a bundle"), (["--faces", "each"], "judges whole pictures")):
        code, _, stderr = job("check", tmp_path / "a.png", *flags)
        assert code == 2 and sentence in stderr


def test_a_line_is_json_whatever_a_file_says(job: Job, tmp_path: Path) -> None:
    record = '{"guidance_scale": NaN, "extras": {"a": Infinity}}'
    for name, key, text in (("record", "gencv", record), ("text", "parameters", "a cat\nSteps: 4, CFG scale: nan")):
        info = PngImagePlugin.PngInfo()
        info.add_text(key, text)
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png", pnginfo=info)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    code, stdout, _ = job("check", tmp_path / "record.png", tmp_path / "text.png")
    record_line, text_line = (json.loads(line, parse_constant=refuse) for line in stdout.splitlines())
    assert code == 0 and "damaged" in record_line["provenance"]["parameters"]["reason"]
    assert text_line["provenance"]["parameters"]["values"]["extras"] == {"CFG scale": "nan"}
