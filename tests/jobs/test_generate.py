"""The job from the command line: what it leaves, what it makes again, and what it refuses. No Ray: one part each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import manifest_of, picture, write_pictures
from painters import save_sd, write_lora
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gencv.core import tables
from gencv.core.manifest import Manifest
from gencv.diffusion.sweep import STYLES
from gencv.images.decode import decode
from gencv.pipelines import cluster
from gencv.provenance import parameters

Job = Callable[..., tuple[int, str, str]]


@pytest.fixture
def quick(sd_folder: Path) -> list[str]:
    """The tiny painter and few steps; 16 px are too small for a watermark."""
    return ["--painter", str(sd_folder), "--num-inference-steps", "2", "--no-watermark"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "in", 1)[0]


def rows_of(out: Path) -> list[dict]:
    return tables.read_table(str(out / "pictures.parquet")).to_pylist()


def test_a_sweep_its_page_and_every_picture_again(job: Job, quick: list[str], photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep = ["--prompt", "cat", "--strength", "0.5", "1", "--guidance-scale", "2", "7.5"]
    command = [*quick, *sweep, "--init", photo, "--out", out]
    code, _, stderr = job("generate", *command)
    assert code == 0, stderr
    rows = rows_of(out)
    assert [(row["strength"], row["guidance_scale"]) for row in rows] == [(0.5, 2), (0.5, 7.5), (1, 2), (1, 7.5)]
    files = [out / row["path"] for row in rows]
    assert len({decode(file.read_bytes()).tobytes() for file in files}) == 4
    facts = json.loads((out / "report.json").read_text())
    assert facts["counts"]["pictures"] == 4 and facts["num_bad"] == 0
    page = (out / "report.html").read_text()
    assert "strength by guidance scale" in page and page.count("<img") == 2

    times = [file.stat().st_mtime_ns for file in files]
    assert job("generate", *command)[0] == 0 and [file.stat().st_mtime_ns for file in files] == times
    code, _, stderr = job("generate", *command, "--negative-prompt", "blur")
    assert code == 2 and "negative_prompt was '', now 'blur'" in stderr

    again = ["--painter", quick[1], "--replay"]
    (out / "init.d").mkdir()
    shutil.copy(files[0], out / "init.aaa")
    code, stdout, _ = job("generate", *again, files[2], "--out", tmp_path / "again")  # its init lies beside it
    assert code == 0 and "Identical: every px is the same." in stdout
    assert (decode((tmp_path / "again" / "again.png").read_bytes()) == decode(files[2].read_bytes())).all()
    code, _, stderr = job("generate", *again, files[2], "--init", files[1], "--out", tmp_path / "other")
    assert code == 2 and "and the picture began with that of the id" in stderr and not (tmp_path / "other").exists()
    bare = tmp_path / "bare.png"
    Image.open(files[2]).save(bare)
    code, _, stderr = job("generate", *again, bare, "--out", tmp_path / "other")
    assert code == 2 and "the file has none" in stderr


def test_a_picture_that_comes_out_otherwise_is_exit_code_1(job: Job, quick: list[str], tmp_path: Path) -> None:
    assert job("generate", *quick, "--prompt", "cat", "--out", tmp_path / "out")[0] == 0
    file = tmp_path / "out" / "pictures" / "000000.png"
    whole = Image.open(file)
    whole.load()
    words = PngInfo()
    words.add_text("gencv", whole.info["gencv"])
    whole.putpixel((3, 3), tuple(255 - np.array(whole.getpixel((3, 3)))))
    whole.save(file, pnginfo=words)
    code, _, stderr = job("generate", "--painter", quick[1], "--replay", file, "--out", tmp_path / "again")
    assert code == 1 and "Not identical: 0.39% of the px differ" in stderr
    page = (tmp_path / "again" / "report.html").read_text()
    assert "Identical" in page and "Not identical" in page


def test_variants_of_a_manifest_are_a_source_that_stays_with_its_parents(
    job: Job, quick: list[str], tmp_path: Path
) -> None:
    paths = write_pictures(tmp_path / "in", 4)
    real = manifest_of(paths, label=0, split=["train", "val", "test", "train"], group=["a", "b", "c", "a"])
    real.save(str(tmp_path / "manifest"))
    out = tmp_path / "variants"
    code, _, stderr = job(
        "generate", *quick, "--manifest", tmp_path / "manifest", "--strength", ".5", "1", "--out", out
    )
    assert code == 0, stderr
    rows = rows_of(out)
    assert [row["parent"] for row in rows] == [one for one in real["id"] for _ in range(2)]
    assert len({row["seed"] for row in rows}) == 4, "a parent's variants share its seed, and no other's"
    sources = [f"--source=table:{place}.parquet" for place in (tmp_path / "manifest" / "manifest", out / "source")]
    code, _, stderr = job("manifest", *sources, "--out", tmp_path / "both")
    assert code == 0, stderr
    both = Manifest.load(str(tmp_path / "both"))
    made = {name: both[name][4:] for name in ("label", "family", "generator", "group", "split")}
    assert made["label"] == [1] * 8 and set(made["family"]) == {"diffusion"} and set(made["generator"]) == {"tiny"}
    assert made["group"] == [one for one in "abca" for _ in range(2)]
    assert made["split"] == [one for one in real["split"] for _ in range(2)], "a variant is in another split"


def test_a_file_of_recipes_whose_bad_ones_fail_alone(job: Job, quick: list[str], tmp_path: Path) -> None:
    recipes = [{"prompt": "a", "seed": 5}, {"promt": "b"}, {"prompt": "c", "scheduler": "eulr"}, {"prompt": "d"}]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, recipes)))
    flags = [*quick, "--recipes", tmp_path / "r.jsonl", "--guidance-scale", "1", "3", "--format", "webp"]
    code, _, stderr = job("generate", *flags, "--out", tmp_path / "out")
    assert code == 2 and "3 of 7 pictures failed" in stderr
    rows = rows_of(tmp_path / "out")
    assert [(row["prompt"], row["seed"]) for row in rows if row["path"]] == [("a", 5), ("a", 5), ("d", 0), ("d", 0)]
    assert [row["error"] for row in rows if row["error"]] == ["BadInput", "UnknownName", "UnknownName"]
    assert {path.suffix for path in (tmp_path / "out" / "pictures").iterdir()} == {".webp"}


def test_the_sheets(job: Job, quick: list[str], tmp_path: Path) -> None:
    assert job("generate", *quick, "--sheet", "prompts", "--prompt", "cat", "--out", tmp_path / "p")[0] == 0
    assert [row["prompt"] for row in rows_of(tmp_path / "p")] == [f"cat, as {style}" for style in STYLES]
    flags = ["--sheet", "parameters", "--guidance-scale", "7.5", "--init", "starter:flower"]
    assert job("generate", *quick, *flags, "--out", tmp_path / "q")[0] == 2
    rows = rows_of(tmp_path / "q")  # two steps are too few for a strength of .3, which fails alone
    assert [row["error"] for row in rows] == ["BadInput", None, None, None]
    told = {(row["num_inference_steps"], row["guidance_scale"]) for row in rows}
    assert told == {(2, 7.5)}, "what a flag says goes before the sheet, a default too"


def test_a_mask_is_cut_like_its_picture_and_its_watermark_stays_in_it(
    job: Job, sd_folder: Path, tmp_path: Path
) -> None:
    """White at the left of a wide picture, where no square cut out of its middle has any."""
    where = np.zeros((64, 192), bool)
    where[:, :40] = True
    Image.fromarray(picture(0, 192, 64)).save(tmp_path / "wide.png")
    Image.fromarray(where).save(tmp_path / "mask.png")
    flags = ["--painter", sd_folder, "--num-inference-steps", "2", "--prompt", "cat", "--init", tmp_path / "wide.png"]
    flags += ["--mask", tmp_path / "mask.png"]
    code, _, stderr = job("generate", *flags, "--width", "192", "--height", "64", "--out", tmp_path / "out")
    assert code == 0, stderr
    file = tmp_path / "out" / "pictures" / "000000.png"
    made, was = decode(file.read_bytes()), picture(0, 192, 64)
    assert (made[~where] == was[~where]).all() and (made[where] != was[where]).any()
    again = ["--painter", sd_folder, "--replay", file]
    code, stdout, _ = job("generate", *again, "--mask", tmp_path / "mask.png", "--out", tmp_path / "again")
    assert code == 0 and "Identical" in stdout


def test_a_run_goes_on_as_it_began(job: Job, quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    command = [*quick, "--prompt", "cat", "--out", out]
    monkeypatch.setattr(cluster, "num_cpus_here", lambda: 3)
    assert job("generate", *command)[0] == 0
    inputs = json.loads((out / "config.json").read_text())["inputs"]
    assert (inputs["device"], inputs["threads"]) == (cluster.device_for(None), "3")
    before = decode((out / "pictures" / "000000.png").read_bytes())
    monkeypatch.setattr(cluster, "num_cpus_here", lambda: 1)
    (out / "painted" / "part-000000.parquet").unlink()  # as if it had been killed before the part was done
    assert job("generate", *command)[0] == 0
    assert (decode((out / "pictures" / "000000.png").read_bytes()) == before).all()
    assert json.loads((out / "report.json").read_text())["inputs"]["threads"] == "3"
    found = parameters.read((out / "pictures" / "000000.png").read_bytes()).parameters
    assert found is not None and found.extras["threads"] == 3
    shutil.copy(out / "pictures" / "000000.png", out / "init.png")  # which it did not begin with
    again = ["--painter", quick[1], "--replay", out / "pictures" / "000000.png", "--out", tmp_path / "again"]
    code, stdout, stderr = job("generate", *again)
    assert code == 0 and "Identical" in stdout, stderr

    asked = json.loads((out / "config.json").read_text())
    asked["inputs"]["device"] = "cuda"
    (out / "config.json").write_text(json.dumps(asked))
    monkeypatch.setattr(cluster, "device_for", lambda address: "cpu")
    code, _, stderr = job("generate", *command)
    assert code == 2 and "was begun on a GPU, and there is none now" in stderr and len(stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "Say what to paint"),
        (["--replay", "in/0000.jpg", "--prompt", "cat"], "--replay says what to paint"),
        (["--replay", "in/0000.jpg"], "cannot be made again: the file has none"),
        (["--replay", "gone.png"], "gone.png, cannot be read: the file is not there"),
        (["--recipes", "r.txt", "--prompt", "cat"], "--recipes has the prompts"),
        (["--recipes", "gone.txt"], "gone.txt, cannot be read: the file is not there"),
        (["--recipes", "in/0000.jpg"], "ends with .jpg; .json, .jsonl, and .txt"),
        (["--manifest", "m", "--init", "in/0000.jpg"], "--manifest has the pictures to start from"),
        (["--manifest", "in"], "holds no manifest.parquet"),
        (["--prompt", "cat", "--mask", "in/0000.jpg"], "--mask says where to paint into --init"),
        (["--prompt", "cat", "--strength", ".5"], "A strength says how far to leave a picture"),
        (["--sheet", "parameters"], "A strength says how far to leave a picture"),
        (["--prompt", "cat", "--num-images", "0"], "--num-images is 1 or more"),
        (["--prompt", "cat", "--pictures-per-batch", "2000"], "--pictures-per-batch from 1 to 1,024"),
        (["--recipes", "latin.txt"], "is no text in UTF-8"),
        (["--prompt", "cat", "--sheet", "colours"], "Unknown sheet 'colours'; known: parameters, prompts."),
        (["--prompt", "cat", "--format", "gif"], "Unknown format 'gif'; known: jpeg, png, webp."),
        (["--prompt", "cat", "--quality", "0"], "A quality of 0; it goes from 1 to 100."),
        (["--prompt", "cat", "--speed", "fast"], "Unknown speed 'fast'; known: compiled, exact"),
        (["--prompt", "cat", "--seed", "-1"], "--seed is -1"),
        (["--prompt", "cat", "--seed", "3", "3"], "has a seed twice"),
        (["--prompt", "cat", "--lora", "style.safetensors=much"], "has the weight 'much'"),
        (["--prompt", "cat", "--lora", "style.bin"], "one .safetensors file"),
        (["--prompt", "cat", "--painter", "sd"], "Unknown painter 'sd'; known: "),
        (["--prompt", "cat", "--painter", "./in"], "holds no model_index.json"),
        (["--prompt", "cat", "--init", "gone.jpg"], "gone.jpg, cannot be read: the file is not there"),
        (["--prompt", "cat", "--init", "starter:fish"], "Unknown photograph 'fish'; known: "),
        (["--prompt", "cat", "--init", "r.txt"], "r.txt, cannot be read: the bytes are no JPEG"),
        (["--prompt", "cat", "--init", "in/0000.jpg", "--mask", "r.txt"], "The mask, "),
        (["--prompt", "cat", "--init", "in/0000.jpg", "--mask", "small.png"], "The mask has 8 x 8 px and the picture"),
        (["--prompt", "cat", "--init", "in/0000.jpg", "--mask", "black.png"], "The mask is empty"),
    ],
)
def test_what_cannot_be_painted_is_one_sentence(
    job: Job,
    quick: list[str],
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.txt").write_text("a cat\n")
    Path("latin.txt").write_bytes("grün".encode("latin-1"))
    Path("style.bin").write_bytes(b"pickle")
    Image.fromarray(picture(0, 8, 8)).save("small.png")
    Image.new("RGB", (96, 72)).save("black.png")
    code, _, stderr = job("generate", *(quick if "--painter" not in flags else []), *flags, "--out", tmp_path / "out")
    assert code == 2 and says in stderr and len(stderr.strip().splitlines()) == 1, stderr
    assert not (tmp_path / "out").exists()


def test_places_may_be_relative_and_have_no_ending(
    job: Job, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_sd(tmp_path / "mine")
    write_lora(tmp_path / "style.safetensors")
    (tmp_path / "v1.0").mkdir()
    photo.rename(tmp_path / "v1.0" / "cat")
    flags = ["--painter", "./mine", "--lora", "style.safetensors=2", "--num-inference-steps", "2", "--no-watermark"]
    code, _, stderr = job("generate", *flags, "--prompt", "cat", "--init", "v1.0/cat", "--out", "out")
    assert code == 0, stderr
    assert (tmp_path / "out" / "init").is_file()
    again = ["--painter", "./mine", "--lora", "style.safetensors=2", "--replay", "out/pictures/000000.png"]
    code, stdout, stderr = job("generate", *again, "--out", "again")
    assert code == 0 and "Identical" in stdout, stderr
