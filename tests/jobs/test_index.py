"""The whole job on a table of plain colours, with an encoder that a person can predict, and without Ray."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fakes import COLOURS, ColourEncoder, GreenReranker, colour_png, manifest_of, unit, write_embeddings
from PIL import Image

from gencv.core import storage
from gencv.core.embeddings import Space
from gencv.core.errors import GencvError, ModelUnavailable
from gencv.core.manifest import Manifest
from gencv.index.table import Index
from gencv.models import encoders
from gencv.pipelines import index as indexing
from gencv.pipelines.parts import PartWork, as_it_is, commit
from gencv.services import search
from gencv.services.posted import About, Writer
from gencv.services.search import Searcher

Job = Callable[..., tuple[int, str, str]]
NAMES = [name for name in COLOURS for _ in range(4)]


def in_process(work: PartWork, **how: Any) -> dict[str, Any]:
    infer = work.build("cpu", 1) if work.build else as_it_is
    for part in range(work.num_parts):
        assert not commit(work, part, lambda part=part: infer(work.prepare(part)))["failure"]
    return {"parts": work.num_parts, "resumed_parts": 0}


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (encoders, indexing, search):
        monkeypatch.setattr(module, "load_encoder", load)
    monkeypatch.setattr(indexing, "map_parts", in_process)


def load(name: str, **how: Any) -> ColourEncoder:
    if name == encoders.FOR_SEARCH:
        raise ModelUnavailable("It cannot be had.")
    return ColourEncoder()


def paint(folder: Path) -> list[Path]:
    """Write twelve pictures, four of each colour: two with some of another one in it, and two that are all but one."""
    folder.mkdir()
    paths = []
    for row, name in enumerate(NAMES):
        colour, own = np.array(COLOURS[name]), list(COLOURS).index(name)
        if row % 4 < 2:
            colour[(own + 1 + row % 4) % 3] += 70
        pixels = colour + np.random.default_rng(row).normal(0, 3, (48, 64, 3))
        paths.append(folder / f"{name}-{row}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def embed(paths: list[Path], folder: Path) -> Manifest:
    """Leave what `embed` would."""
    names = [path.name.partition("-")[0] for path in paths]
    captions = [[f"a {name} wall", f"</script><b>{name}"] for name in names]
    made = manifest_of(paths, caption=captions, generator=names, label=0, family="real", width=64, height=48)
    pixels = np.stack([ColourEncoder.transform(np.asarray(Image.open(path))) for path in paths])
    write_embeddings(made, ColourEncoder().images(pixels), folder)
    return made


@pytest.fixture
def made(job: Job, tmp_path: Path) -> Manifest:
    """An index of the twelve in tmp_path/index; returns their manifest."""
    pictures = embed(paint(tmp_path / "pictures"), tmp_path / "e")
    code, stdout, stderr = job("index", "--embeddings", tmp_path / "e", "--out", tmp_path / "index")
    assert code == 0, stderr
    assert "12 pictures" in stdout and "12 added" in stdout
    return pictures


def test_an_index_follows_its_embeddings_and_the_same_call_changes_nothing(
    job: Job, made: Manifest, tmp_path: Path
) -> None:
    first = json.loads((tmp_path / "index/report.json").read_text())["figures"]["version"]
    job("index", "--embeddings", tmp_path / "e", "--out", tmp_path / "index")
    again = json.loads((tmp_path / "index/report.json").read_text())
    assert again["figures"]["version"] == first and again["counts"]["added"] == again["counts"]["removed"] == 0

    paths = [Path(uri) for uri in made["uri"]]
    extra = tmp_path / "pictures" / "blue-99.png"
    Image.fromarray(np.full((48, 64, 3), (0, 0, 255), np.uint8)).save(extra)
    embed([*paths[1:], extra], tmp_path / "other")
    code, stdout, _ = job("index", "--embeddings", tmp_path / "other", "--out", tmp_path / "index")
    assert code == 0 and "1 added" in stdout and "1 removed" in stdout and "11 kept" in stdout


def test_a_manifest_is_encoded_and_embeddings_of_it_change_nothing(job: Job, made: Manifest, tmp_path: Path) -> None:
    made.where([*[True] * 10, False, False]).save(str(tmp_path / "m"))
    flags = ("--manifest", tmp_path / "m", "--out", tmp_path / "new")
    code, stdout, stderr = job("index", *flags)
    assert code == 0, stderr
    assert "It cannot be had. The encoder starter takes its place" in stdout and "10 added" in stdout
    code, stdout, _ = job("index", "--embeddings", tmp_path / "e", "--out", tmp_path / "new")
    assert code == 0 and "12 pictures at version" in stdout and "2 added, 0 changed, 0 removed, 10 kept" in stdout
    code, stdout, _ = job("index", *flags)
    assert code == 0 and "2 removed, 10 kept" in stdout and "takes its place" not in stdout
    asked = [
        ("--index", folder, "--query", "a red wall", "-k", "2") for folder in (tmp_path / "new", tmp_path / "index")
    ]
    first, second = (job("index", *one)[1].splitlines()[:2] for one in asked)
    assert first == second


def test_what_was_posted_stays_until_a_manifest_names_it(job: Job, made: Manifest, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "blue-99.png"
    picture.write_bytes(colour_png("blue", 99))
    here = Writer(Searcher(str(tmp_path / "index"), encoder=ColourEncoder()))
    here.write([here.examine(picture.read_bytes(), About())])
    paths = [Path(uri) for uri in made["uri"]]
    embed(paths[1:], tmp_path / "fewer")
    code, stdout, stderr = job("index", "--embeddings", tmp_path / "fewer", "--out", tmp_path / "index")
    assert code == 0 and "12 pictures" in stdout and "1 removed, 12 kept" in stdout, stderr
    embed([*paths[1:], picture], tmp_path / "with")
    code, stdout, stderr = job("index", "--embeddings", tmp_path / "with", "--out", tmp_path / "index")
    assert code == 0 and "1 changed, 0 removed, 11 kept" in stdout, stderr
    assert str(picture) in Index.open(str(tmp_path / "index")).scan(["uri"])["uri"].to_pylist()


def test_a_sentence_finds_its_pictures_and_leaves_a_page(job: Job, made: Manifest, tmp_path: Path) -> None:
    flags = ("--index", tmp_path / "index", "--query", "a red wall", "-k", "4")
    code, stdout, stderr = job("index", *flags, "--out", tmp_path / "found", "--export", "csv")
    assert code == 0, stderr
    assert sum("red-" in line for line in stdout.splitlines()[:4]) == 4
    found = json.loads((tmp_path / "found/hits.json").read_text())
    assert {hit["generator"] for hit in found["hits"]} == {"red"} and "thumbnail" not in found["hits"][0]
    assert [h["score"] for h in found["hits"]] == sorted((h["score"] for h in found["hits"]), reverse=True)
    table = pyarrow.csv.read_csv(tmp_path / "found/hits.csv")
    assert table["id"].to_pylist() == [hit["id"] for hit in found["hits"]]
    page = (tmp_path / "found/report.html").read_text()
    assert page.count("<img") == 1 and "</script><b>" not in page

    code, stdout, _ = job("index", *flags, "--cursor", found["cursor"])
    assert code == 0 and "red-" not in stdout, "the second page begins behind the four red ones"


def test_a_reranker_orders_the_hits_anew_and_is_named(
    job: Job, made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "load_reranker", lambda name, **how: GreenReranker(name))
    flags = ("--index", tmp_path / "index", "--query", "a red wall", "-k", "4")
    code, stdout, stderr = job("index", *flags, "--rerank", "some/blip", "--out", tmp_path / "found")
    assert code == 0, stderr
    told = json.loads((tmp_path / "found/hits.json").read_text())
    assert told["reranker"] == "some/blip" and {hit["generator"] for hit in told["hits"]} == {"green"}
    assert all(hit["reranked"] and hit["score"] > 0.6 > hit["cosine"] for hit in told["hits"])
    said = "Re-ranked by some/blip"
    assert said in stdout and said in (tmp_path / "found/report.html").read_text()
    code, _, stderr = job("index", *flags, "--cursor", told["cursor"])
    assert code == 2 and "another query" in stderr
    job("index", *flags, "--out", tmp_path / "plain")
    told = json.loads((tmp_path / "plain/hits.json").read_text())
    assert told["reranker"] == "" and "reranked" not in told["hits"][0]


def test_a_cursor_stays_at_its_version_when_the_index_moves_on(job: Job, made: Manifest, tmp_path: Path) -> None:
    flags = ("--index", tmp_path / "index", "--query", "a red wall", "-k", "4")
    code, stdout, _ = job("index", *flags)
    cursor = stdout.split("--cursor ")[1].split()[0]
    second = job("index", *flags, "--cursor", cursor)[1]
    embed([Path(uri) for uri in made["uri"][2:]], tmp_path / "fewer")
    assert job("index", "--embeddings", tmp_path / "fewer", "--out", tmp_path / "index")[0] == 0
    code, stdout, stderr = job("index", *flags, "--cursor", cursor)
    assert code == 0 and stdout == second, stderr
    assert stdout.lstrip().startswith("5 "), "ranks go on"


def test_a_first_build_that_was_killed_goes_on(job: Job, made: Manifest, tmp_path: Path) -> None:
    made.save(str(tmp_path / "m"))
    for folder, name in (("data", "x.lance"), ("_transactions", "0-x.txn")):
        (tmp_path / "new/table.lance" / folder).mkdir(parents=True)
        (tmp_path / "new/table.lance" / folder / name).write_bytes(b"half")
    (tmp_path / "new/config.json").write_text(json.dumps({"job": "index", "config": {"manifest": str(tmp_path / "m")}}))
    code, stdout, stderr = job("index", "--manifest", tmp_path / "m", "--out", tmp_path / "new")
    assert code == 0 and "12 added" in stdout, stderr


def test_pictures_regions_and_ids_are_asked_with(job: Job, made: Manifest, tmp_path: Path) -> None:
    half = np.zeros((48, 64, 3), np.uint8)
    half[:, :32], half[:, 32:] = COLOURS["green"], COLOURS["blue"]
    Image.fromarray(half).save(tmp_path / "half.png")
    ask = ("index", "--index", tmp_path / "index", "-k", "3")
    code, stdout, _ = job(*ask, "--image", tmp_path / "half.png", "--region", "32", "0", "64", "48")
    assert code == 0 and stdout.count("blue-") == 3
    code, stdout, _ = job(*ask, "--image", tmp_path / "half.png", "--negative", "blue", "--negative-weight", "2")
    assert code == 0 and stdout.count("green-") == 3
    code, stdout, _ = job(*ask, "--like", made["id"][4])
    assert code == 0 and stdout.count("green-") == 3 and made["uri"][4] not in stdout
    code, stdout, _ = job(*ask, "--query", "red", "--where", "generator = 'blue'")
    assert code == 0 and stdout.count("blue-") == 3


def test_captions_judge_the_index(job: Job, made: Manifest, tmp_path: Path) -> None:
    code, stdout, stderr = job("index", "--index", tmp_path / "index", "--evaluate", "--out", tmp_path / "judged")
    assert code == 0, stderr
    told = json.loads((tmp_path / "judged/retrieval.json").read_text())
    exact, through = (told["retrieval"][f"text to image, {way}"] for way in ("exact", "through the index"))
    assert exact["figures"] == through["figures"] and exact["num_queries"] == 24
    assert exact["figures"]["recall@1"]["value"] <= 0.25, "four pictures of a colour, of which one is right"
    assert exact["figures"]["recall@5"]["value"] == 1
    assert told["index"]["recall"]["value"] == 1 and "text to image, exact" in stdout
    assert "Captions that find their picture worst" in (tmp_path / "judged/report.html").read_text()


def test_near_duplicates_are_told_by_group(job: Job, made: Manifest, tmp_path: Path) -> None:
    flags = ("--duplicates", "--cosine", ".9999", "--export", "parquet", "--out", tmp_path / "twice")
    code, stdout, stderr = job("index", "--index", tmp_path / "index", *flags)
    assert code == 0, stderr
    groups = json.loads((tmp_path / "twice/duplicates.json").read_text())
    assert sorted(sorted(group["id"]) for group in groups) == sorted(
        sorted(made["id"][row] for row in (start + 2, start + 3)) for start in (0, 4, 8)
    )
    assert "3 groups" in stdout and pq.read_table(tmp_path / "twice/groups.parquet").num_rows == 6


def test_the_map_is_one_page_that_fetches_nothing(job: Job, made: Manifest, tmp_path: Path) -> None:
    code, stdout, stderr = job("index", "--index", tmp_path / "index", "--map", "--out", tmp_path / "map")
    assert code == 0, stderr
    page = (tmp_path / "map/map.html").read_text()
    assert "http" not in page and page.count("</script>") == 2 and page.count('"at":') == 12
    assert str(tmp_path / "map/map.html") in stdout


def test_an_export_has_every_row(job: Job, made: Manifest, tmp_path: Path) -> None:
    code, _, stderr = job("index", "--index", tmp_path / "index", "--export", "json", "--out", tmp_path / "all")
    assert code == 0, stderr
    rows = json.loads((tmp_path / "all/index.json").read_text())
    assert sorted(row["id"] for row in rows) == sorted(made["id"]) and rows[0]["caption"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "Give --manifest"),
        (["--index", "i", "--embeddings", "e"], "Give --manifest"),
        (["--embeddings", "e"], "--out is missing"),
        (["--embeddings", "e", "--out", "o", "--encoder", "starter"], "--encoder does nothing without --manifest"),
        (["--embeddings", "e", "--out", "o", "--query", "x"], "--query asks an index"),
        (["--embeddings", "e", "--out", "o", "--where", "x"], "--where does nothing without --query"),
        (["--embeddings", "e", "--out", "o"], "holds no finished embeddings"),
        (["--index", "i"], "Nothing is asked"),
        (["--index", "i", "--query", "x"], "holds no index"),
        (["--index", "i", "--evaluate"], "--out is missing"),
        (["--index", "i", "--map", "--duplicates", "--out", "o"], "one at a time"),
        (["--index", "i", "--map", "-k", "3", "--out", "o"], "--k does nothing without --query"),
        (["--index", "i", "--query", "x", "--cosine", ".9"], "--cosine does nothing without --duplicates"),
        (["--index", "i", "--duplicates", "--cosine", "2", "--out", "o"], "--cosine is 2"),
        (["--index", "i", "--query", "x", "--export", "xml", "--out", "o"], "csv, json, parquet"),
        (["--index", "i", "--query", "x", "--export", "csv"], "--export needs --out"),
        (["--index", "i", "--map", "--export", "csv", "--out", "o"], "--export does nothing with --map"),
        (["--index", "i", "--query", "x", "--region", "1", "2", "3", "4"], "of an --image"),
        (["--index", "i", "--map", "--projection", "pca", "--out", "o"], "tsne, umap"),
        (["--index", "i", "--image", "x.png", "--rerank", "some/blip"], "give it as --query"),
        (["--index", "i", "--map", "--rerank", "some/blip", "--out", "o"], "--rerank does nothing without --query"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, stderr = job("index", *flags)
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--query", " "], "has no words"),
        (["--query", "x" * 10_000], "10,000 characters"),
        (["--query", "x", "-k", "0"], "k is 0"),
        (["--query", "x", "-k", "1000000"], "k is 1000000"),
        (["--query", "x", "--where", "colour = 1"], "colour"),
        (["--query", "x", "--where", "label = 1; DROP TABLE t"], ""),
        (["--query", "x", "--cursor", "nonsense"], "is no cursor"),
        (["--image", "none.png"], "not there"),
        (["--like", "nobody"], "no picture"),
        (["--query", "x", "--rerank", "best"], "Unknown reranker 'best'"),
        (["--map", "--colour", "taste"], "Unknown column"),
    ],
)
def test_a_question_that_has_no_answer_is_one_sentence(
    job: Job, made: Manifest, tmp_path: Path, flags: list[str], says: str
) -> None:
    code, _, stderr = job("index", "--index", tmp_path / "index", *flags, "--out", tmp_path / "o")
    assert code == 2 and says in stderr and len(stderr.splitlines()) == 1
    assert not (tmp_path / "o").exists(), "what cannot be answered leaves nothing behind"


def test_another_space_and_a_folder_of_another_run_are_refused(
    job: Job, made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_embeddings(made, unit(np.ones((12, 4))), tmp_path / "other", weights="v")
    code, _, stderr = job("index", "--embeddings", tmp_path / "other", "--out", tmp_path / "index")
    assert code == 2 and "two spaces never mix" in stderr
    other = Space(encoder="fake", weights="v", dim=4, transform={})
    monkeypatch.setattr(ColourEncoder, "space", other)
    code, _, stderr = job("index", "--index", tmp_path / "index", "--query", "red")
    assert code == 2 and "cannot be compared" in stderr
    code, _, stderr = job("index", "--index", tmp_path / "index", "--evaluate", "--out", tmp_path / "o")
    assert code == 2 and "cannot be compared" in stderr
    code, _, stderr = job("index", "--embeddings", tmp_path / "e", "--out", tmp_path / "e")
    assert code == 2 and "holds no run" in stderr


def test_a_refused_or_failed_update_leaves_what_the_last_good_one_said(
    job: Job, made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> dict[str, bytes]:
        return {
            name: (tmp_path / "index" / name).read_bytes() for name in ("config.json", "report.json", "report.html")
        }

    def fail(work: PartWork, **how: Any) -> None:
        raise GencvError("The cluster went away.")

    before = said()
    write_embeddings(made, unit(np.ones((12, 4))), tmp_path / "stranger", weights="v")
    embed([Path(uri) for uri in made["uri"][1:]], tmp_path / "fewer")
    code, _, stderr = job("index", "--embeddings", tmp_path / "stranger", "--out", tmp_path / "index")
    assert code == 2 and "two spaces never mix" in stderr and said() == before
    with monkeypatch.context() as patched:
        patched.setattr(indexing, "map_parts", fail)
        code, _, stderr = job("index", "--embeddings", tmp_path / "fewer", "--out", tmp_path / "index")
    assert code == 2 and "went away" in stderr and said() == before
    assert job("index", "--embeddings", tmp_path / "fewer", "--out", tmp_path / "index")[0] == 0
    after = said()
    assert json.loads(after["config.json"])["config"]["embeddings"] == str(tmp_path / "fewer")
    assert json.loads(after["report.json"])["counts"]["removed"] == 1


def test_a_second_job_is_refused_while_the_first_works(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = embed(paint(tmp_path / "pictures"), tmp_path / "e")
    command = ("index", "--embeddings", tmp_path / "e", "--out", tmp_path / "index")
    refused = []

    def meanwhile(work: PartWork, **how: Any) -> dict[str, Any]:
        done = in_process(work)
        refused.append(job(*command))
        return done

    monkeypatch.setattr(indexing, "map_parts", meanwhile)
    assert job(*command)[0] == 0
    ((code, _, stderr),) = refused
    assert code == 2 and "is being written by process" in stderr and len(stderr.splitlines()) == 1
    assert sorted(Index.open(str(tmp_path / "index")).digests()) == sorted(made["id"])


def test_the_job_in_an_object_store(
    job: Job, made: Manifest, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = storage.join(s3, "runs", "index")
    command = ("index", "--embeddings", tmp_path / "e", "--out", out)

    def as_another_tidies_up(work: PartWork, **how: Any) -> dict[str, Any]:
        done = in_process(work)
        storage.remove(storage.join(out, indexing.PENDING))
        return done

    with monkeypatch.context() as patched:
        patched.setattr(indexing, "map_parts", as_another_tidies_up)
        code, _, stderr = job(*command)
    assert code == 2 and "Another writer changed the index" in stderr and len(stderr.splitlines()) == 1
    for added in (12, 0):
        code, stdout, stderr = job(*command)
        assert code == 0 and f"{added} added" in stdout, stderr
    assert json.loads(storage.read_bytes(storage.join(out, "config.json")))["config"]["out"] == out
    code, stdout, stderr = job("index", "--index", out, "--query", "a red wall", "-k", "4", "--where", "label = 0")
    assert code == 0 and stdout.count("red-") == 4, stderr
    assert job("index", "--index", out, "--duplicates", "--out", storage.join(s3, "runs", "twice"))[0] == 0
    nowhere = storage.join(s3.replace("s3://gencv-", "s3://nobody-"), "index")
    for flags in (("--embeddings", tmp_path / "e", "--out", nowhere), ("--index", nowhere, "--query", "red")):
        code, _, stderr = job("index", *flags)
        assert code == 2 and len(stderr.splitlines()) == 1 and "nobody-" in stderr
