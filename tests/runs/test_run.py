import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gencv.core.errors import BadInput, RunConflict, TooManyBad, UnknownName
from gencv.core.settings import Settings
from gencv.runs.launch import launch, parse, settle
from gencv.runs.report import Report
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Blur(Settings):
    sigma_px: float = 1.0
    splits: tuple[str, ...] = ("train",)


@dataclass(frozen=True, kw_only=True)
class Config:
    out: str
    manifest: str = "m"
    seed: int = 0
    blur: Blur = field(default_factory=Blur)
    max_bad_fraction: float = 0.05
    workers: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UnknownName("seed", str(self.seed), ["0", "1"])


def begun(config: Config, **inputs: str) -> Run:
    run = Run("test", config)
    run.begin(**(inputs or {"manifest": "digest"}))
    return run


def test_the_same_configuration_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    begun(Config(out=out))
    begun(Config(out=out, workers=3, max_bad_fraction=1.0))  # how it is carried out may change
    begun(Config(out=out, manifest="moved"))  # an input is known by its digest
    with pytest.raises(RunConflict, match="seed was 0, now 1; manifest was 'digest', now 'other'"):
        begun(Config(out=out, seed=1), manifest="other")
    with pytest.raises(RunConflict, match="blur was"):
        begun(Config(out=out, blur=Blur(sigma_px=2)))
    with pytest.raises(RunConflict, match="made by test, this is embed"):
        Run("embed", Config(out=out)).begin(manifest="digest")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunConflict, match="no configuration that can be read"):
        begun(Config(out=out))


def test_what_is_brought_up_to_date_takes_its_folder_over_and_no_other(tmp_path: Path) -> None:
    out = str(tmp_path / "index")
    kept = tmp_path / "index" / "config.json"
    Run("test", Config(out=out)).renew(["manifest"], manifest="one")
    first = kept.read_bytes()
    run = Run("test", Config(out=out, seed=1))
    run.renew(["manifest"], manifest="another")
    assert kept.read_bytes() == first, "what was not finished says nothing"
    run.finish(Report("Test"), counts={}, figures={})
    asked = json.loads(kept.read_text())
    assert asked["config"]["seed"] == 1 and asked["inputs"] == {"manifest": "another"}
    with pytest.raises(RunConflict, match="holds another run, of test"):
        Run("embed", Config(out=out)).renew(["manifest"], manifest="one")
    asked = str(tmp_path / "asked")
    begun(Config(out=asked, manifest=""))  # a run of the same job that only asks
    with pytest.raises(RunConflict, match="holds another run"):
        Run("test", Config(out=asked)).renew(["manifest"], manifest="one")


def test_a_run_fails_for_bad_pictures_only_after_it_is_written(tmp_path: Path) -> None:
    run = begun(Config(out=str(tmp_path / "run")))
    bad = [("/pictures/<b>.jpg", "truncated"), ("/pictures/c.jpg", "empty")]
    run.finish(Report("Test"), counts={"rows": 40}, figures={}, bad=bad, total=40)
    with pytest.raises(TooManyBad, match=r"2 of 39 pictures failed, more than --max-bad-fraction 0\.05"):
        run.finish(Report("Test"), counts={"rows": 39}, figures={"x": 1}, bad=bad, total=39)
    facts = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (
        facts["ok"] is False
        and facts["num_bad"] == 2
        and facts["bad"][1] == {"uri": "/pictures/c.jpg", "error": "empty"}
    )
    assert "/pictures/&lt;b&gt;.jpg" in (tmp_path / "run" / "report.html").read_text()


def test_a_kept_configuration_repeats_a_run_and_flags_go_before_it(tmp_path: Path) -> None:
    begun(Config(out=str(tmp_path / "run"), seed=7, blur=Blur(splits=("train", "val"))))
    kept = str(tmp_path / "run" / "config.json")
    again = parse(Config, ["--config", kept], "")
    assert again == Config(out=str(tmp_path / "run"), seed=7, blur=Blur(splits=("train", "val")))
    assert parse(Config, ["--config", kept, "--seed", "8", "--sigma-px", "3"], "") == Config(
        out=str(tmp_path / "run"), seed=8, blur=Blur(sigma_px=3.0, splits=("train", "val"))
    )
    (tmp_path / "other.json").write_text('{"config": {"colour": 1}}')
    for argv, says in (
        (["--config"], "needs the path"),
        (["--config", str(tmp_path / "other.json")], "no config.json"),
    ):
        with pytest.raises(BadInput, match=says):
            parse(Config, argv, "")


def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(config: Config, run: Run) -> None:
        raise BadInput("Give another folder.")

    for argv, says in ((["--out", "x"], "Give another folder."), (["--out", "x", "--seed", "-1"], "Unknown seed '-1'")):
        with pytest.raises(SystemExit) as stop:
            launch(main, argv)
        assert stop.value.code == 2
        stderr = capsys.readouterr().err
        assert says in stderr and len(stderr.splitlines()) == 1


@pytest.mark.parametrize(("seed", "accepted"), [(-1, False), (0, True), (2**32 - 1, True), (2**32, False)])
def test_a_seed_that_a_library_would_refuse_is_refused_first(seed: int, accepted: bool) -> None:
    @dataclass(frozen=True)
    class Seeded:
        seed: int

    config = Seeded(seed)
    if accepted:
        assert settle(config) == config
    else:
        with pytest.raises(BadInput, match=rf"--seed is {seed}; a number from 0 to 4294967295 is accepted"):
            settle(config)


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def main(config: Config, run: Run) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        launch(main, ["--out", "x"])
