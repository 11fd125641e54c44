"""Every mistake that needs no Ray to be found: one sentence on stderr, exit code 2, nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import manifest, write_pictures

from gencv.core.manifest import Manifest

Job = Callable[..., tuple[int, str, str]]


def sentence(result: tuple[int, str, str]) -> str:
    code, _, stderr = result
    assert code == 2
    lines = stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in stderr, stderr
    return lines[0]


def test_a_missing_or_empty_folder_of_pictures(job: Job, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        said = sentence(job("manifest", "--source", f"folder:{tmp_path / name}?label=0", "--out", tmp_path / "out"))
        assert str(tmp_path / name) in said


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("ftp:x", "Unknown"),
        ("folder:HERE?lable=0", "lable"),
        ("folder:HERE?label=2", "label"),
        ("folder:HERE", "label"),
        ("table:HERE/columns.csv", "columns"),
    ],
)
def test_a_source_that_means_nothing(job: Job, tmp_path: Path, source: str, says: str) -> None:
    write_pictures(tmp_path, 2)
    (tmp_path / "columns.csv").write_text("height,width\n1,2\n")
    said = sentence(job("manifest", "--source", source.replace("HERE", str(tmp_path)), "--out", tmp_path / "out"))
    assert says in said


def test_an_out_that_cannot_be_written(job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = sentence(job("manifest", "--source", "starter:", "--out", tmp_path / "file" / "below"))
    assert "cannot be written" in said


@pytest.mark.parametrize("uri", ["s3://key:hush@bucket/a", "s3://key:hu/sh@bucket/a", "s3://bucket/a?secret_key=hush"])
def test_access_keys_in_a_uri_are_refused_and_not_repeated(job: Job, tmp_path: Path, uri: str) -> None:
    for name, flags in {
        "manifest": ["--source", f"folder:{uri}?label=0", "--out", tmp_path / "out"],
        "embed": ["--manifest", uri, "--encoder", "starter", "--out", tmp_path / "out"],
        "index": ["--embeddings", tmp_path, "--out", uri],
    }.items():
        said = sentence(job(name, *flags))
        assert "access keys" in said and "hu" not in said
        assert not (tmp_path / "out").exists()
    (tmp_path / "table.csv").write_text(f"path,label\n{uri},0\n")
    said = sentence(job("manifest", "--source", f"table:{tmp_path / 'table.csv'}", "--out", tmp_path / "out"))
    assert "access keys" in said and "hu" not in said
    assert not any("hush" in file.read_text(errors="replace") for file in (tmp_path / "out").rglob("*.*"))


def test_an_unknown_encoder_probe_split_or_threshold(job: Job, tmp_path: Path) -> None:
    manifest(4).save(str(tmp_path / "m"))
    said = sentence(job("embed", "--manifest", tmp_path / "m", "--encoder", "clip", "--out", tmp_path / "out"))
    assert "Unknown encoder 'clip'" in said and "starter-features" in said
    for name, flags in {"probe": ["--embeddings", "e"], "finetune": ["--manifest", "m"]}.items():
        said = sentence(job(name, *flags, "--calibration", "beta", "--out", "o"))
        assert "isotonic, platt, temperature" in said
        assert "up to .5 is accepted" in sentence(job(name, *flags, "--error-rate", "0.9", "--out", "o"))
    assert "linear, mlp, nearest" in sentence(job("probe", "--embeddings", "e", "--probe", "tree", "--out", "o"))
    assert "test, train, val" in sentence(
        job("evaluate", "--bundle", "b", "--manifest", "m", "--split", "dev", "--out", "o")
    )


@pytest.mark.parametrize(
    ("name", "flags", "says"),
    [
        ("preprocess", ["--manifest"], "give the folder that `manifest`"),
        ("embed", ["--manifest"], "give the folder that `manifest`"),
        ("probe", ["--embeddings"], "run `embed` into it"),
        ("check", ["x.jpg", "--bundle"], "give the folder that `probe` or `finetune` wrote"),
    ],
)
def test_a_folder_of_another_kind(job: Job, tmp_path: Path, name: str, flags: list[str], says: str) -> None:
    out = [] if name == "check" else ["--out", tmp_path / "out"]
    assert says in sentence(job(name, *flags, tmp_path, *out))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--jpeg-quality", "0"], "jpeg_quality"),
        (["--jpeg-quality", "90", "30"], "lower end first"),
        (["--blur-probability", "2"], "blur_probability"),
        (["--blur-kernel-px", "4"], "odd number"),
        (["--size-px", "0"], "size_px"),
    ],
)
def test_a_preprocessing_that_cannot_be(job: Job, tmp_path: Path, flags: list[str], says: str) -> None:
    manifest(4).save(str(tmp_path / "m"))
    assert says in sentence(job("preprocess", "--manifest", tmp_path / "m", *flags, "--out", tmp_path / "out"))


def test_pictures_that_were_preprocessed_before(job: Job, tmp_path: Path) -> None:
    Manifest(manifest(4).table, preprocessing={"size_px": 224}).save(str(tmp_path / "m"))
    said = sentence(job("preprocess", "--manifest", tmp_path / "m", "--out", tmp_path / "out"))
    assert "preprocessed before" in said and not (tmp_path / "out").exists()


def test_splits_that_do_not_add_up(job: Job, tmp_path: Path) -> None:
    said = sentence(job("manifest", "--source", "starter:", "--splits", ".5", ".5", ".5", "--out", tmp_path / "out"))
    assert "1" in said


def test_a_folder_that_holds_something_else_is_left_alone(job: Job, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "not empty" in sentence(job("manifest", "--source", "starter:", "--out", tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_relative_out_under_ray_job_submit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert "would vanish" in sentence(job("manifest", "--source", "starter:", "--out", "runs/here"))


def test_help_shows_the_job_and_its_flags(job: Job) -> None:
    for name, flag in {
        "manifest": "--pack",
        "preprocess": "--jpeg-quality",
        "embed": "--encoder",
        "check": "--bundle",
    }.items():
        code, stdout, _ = job(name, "--help")
        assert code == 0 and flag in stdout


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--max-bad-fraction", "-1"), ("--max-bad-fraction", "nan"), ("--workers", "-3"), ("--batch-size", "-1")],
)
def test_a_number_that_cannot_be(job: Job, tmp_path: Path, flag: str, value: str) -> None:
    assert "is accepted" in sentence(
        job("evaluate", "--bundle", "b", "--manifest", "m", "--out", tmp_path, flag, value)
    )


def test_preprocessing_flags_without_augment(job: Job, tmp_path: Path) -> None:
    said = sentence(job("embed", "--manifest", tmp_path, "--jpeg-quality", "30", "--out", tmp_path / "out"))
    assert "nothing without --augment" in said


def test_a_cluster_that_does_not_answer(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gencv.pipelines import cluster

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    said = sentence(
        job("manifest", "--source", "starter:?crops=1", "--out", tmp_path / "out", "--address", "127.0.0.1:1")
    )
    assert "No Ray cluster answers at '127.0.0.1:1'" in said


def test_an_out_that_is_a_file_and_a_check_of_nothing(job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "is a file" in sentence(job("manifest", "--source", "starter:", "--out", tmp_path / "file"))
