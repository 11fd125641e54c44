"""From embeddings to an index: only what is new or changed is written, by whoever survives."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import index_rows, index_space, manifest_of, write_embeddings, write_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gencv.core import storage, tables
from gencv.core.embeddings import Embeddings, matrix
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.images.thumbnail import thumbnail
from gencv.index import layout
from gencv.index.table import Index, update
from gencv.models.encoders import load_encoder
from gencv.pipelines import embed as embedding
from gencv.pipelines import index as indexing
from gencv.pipelines.embed import embed
from gencv.pipelines.index import PENDING, index_embeddings, index_manifest, row_digests, units_of
from gencv.pipelines.parts import PartWork, as_it_is, commit

NUM_PICTURES = 2 * tables.ROWS_PER_PART + 30


def embeddings_of(paths: list[Path], folder: Path, **columns: object) -> Embeddings:
    """Embed pictures in no time: a vector that hangs on the picture alone, in parts as `embed` makes them."""
    made = manifest_of(paths, **columns)
    vectors = np.stack([np.frombuffer(bytes.fromhex(row_id), np.uint8) for row_id in made["id"]]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_embeddings(made, vectors, folder)
    parts = str(folder / "vectors")
    whole = tables.read_parts(parts)
    for part in range(made.num_parts):
        tables.write_table(
            whole.slice(part * tables.ROWS_PER_PART, tables.ROWS_PER_PART), tables.part_path(parts, part)
        )
    return Embeddings.load(str(folder))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_pictures(tmp_path_factory.mktemp("pictures"), NUM_PICTURES, size=(40, 24))


def counts(changes: object) -> tuple[int, ...]:
    return tuple(getattr(changes, name) for name in ("added", "changed", "removed", "kept"))


def wanted_of(embeddings: Embeddings) -> dict[str, str]:
    return row_digests(embeddings.manifest.table)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_an_index_follows_its_embeddings(
    tmp_path: Path, pictures: list[Path], ray_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, out = str(tmp_path / "first"), str(tmp_path / "out")
    embeddings = embeddings_of(pictures[:-30], tmp_path / "first", caption=[["a wave"]] * (NUM_PICTURES - 30))
    with monkeypatch.context() as killed:
        killed.setattr(indexing, "map_parts", die_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            index_embeddings(first, out)
    assert layout.open_table(out) is None
    changes, facts = index_embeddings(first, out, address=ray_local)
    assert counts(changes) == (NUM_PICTURES - 30, 0, 0, 0)
    assert (facts["parts"], facts["resumed_parts"], facts["bad"]) == (1, 1, [])
    assert not storage.exists(storage.join(out, PENDING))
    assert Index.open(out).digests() == wanted_of(embeddings)
    found = Index.open(out).nearest(embeddings.vectors[300], 1)
    assert found["id"].to_pylist() == [embeddings.manifest["id"][300]]

    again, facts = index_embeddings(first, out, address=ray_local)
    assert counts(again) == (0, 0, 0, NUM_PICTURES - 30)
    assert (again.version, facts["parts"]) == (changes.version, 0)

    gone = tmp_path / "gone.jpg"
    gone.write_bytes(pictures[-1].read_bytes())
    captions = [["a calm sea"]] * 5 + [["a wave"]] * (NUM_PICTURES - 15)
    second = embeddings_of([*pictures[10:-1], gone], tmp_path / "second", caption=captions)
    uris = [*second.manifest["uri"][:-1], str(gone)]
    gone.unlink()
    after, facts = index_embeddings(str(tmp_path / "second"), out, address=ray_local)
    assert counts(after) == (29, 5, 10, NUM_PICTURES - 30 - 15)
    assert facts["bad"] == [(uris[-1], "missing")]
    wanted = wanted_of(second)
    del wanted[second.manifest["id"][-1]]
    assert Index.open(out).digests() == wanted
    assert Index.open(out).match("calm", 10).num_rows == 5

    encoder, folder = load_encoder("starter", device="cpu"), str(tmp_path / "manifest")
    manifest_of(pictures[:300]).save(folder)
    changes, facts = index_manifest(
        folder, Manifest.load(folder), encoder, str(tmp_path / "encoded"), address=ray_local
    )
    assert (changes.added, facts["parts"]) == (300, 2)
    pixels = np.stack([encoder.transform(np.asarray(Image.open(path))) for path in pictures[250:260]])
    ids = Manifest.load(folder)["id"][250:260]
    there = Index.open(str(tmp_path / "encoded")).rows(ids, ["vector"])["vector"]
    np.testing.assert_allclose(matrix(there, encoder.space.dim), encoder.images(pixels), atol=1e-4)


def die_after_the_first(work: PartWork, **how: Any) -> dict[str, Any]:
    """Leave what a killed run leaves: one unit with its note, and one file without."""
    commit(work, 0, lambda: work.prepare(0))
    work.prepare(1)
    raise KeyboardInterrupt


def test_what_a_killed_run_wrote_of_another_space_is_not_taken(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings_of(pictures[:300], tmp_path / "one")
    made = manifest_of(pictures[:300])
    turned = -Embeddings.load(str(tmp_path / "one")).vectors
    write_embeddings(made, turned, tmp_path / "two", weights="v")
    out = str(tmp_path / "out")
    monkeypatch.setattr(indexing, "map_parts", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        index_embeddings(str(tmp_path / "one"), out)
    monkeypatch.setattr(indexing, "map_parts", in_process)
    assert index_embeddings(str(tmp_path / "two"), out)[0].added == 300
    there = Index.open(out).rows(made["id"], ["vector"])["vector"]
    np.testing.assert_array_equal(matrix(there, turned.shape[1]), turned)


def test_a_manifest_is_encoded_as_embed_does(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder("starter", device="cpu")
    manifest_of(pictures[:20]).save(str(tmp_path / "m"))
    for module in (indexing, embedding):
        monkeypatch.setattr(module, "map_parts", in_process)
    folder, loaded = str(tmp_path / "m"), Manifest.load(str(tmp_path / "m"))
    embed(folder, loaded, encoder, str(tmp_path / "e"))
    changes, _ = index_manifest(folder, loaded, encoder, str(tmp_path / "out"))
    assert changes.added == 20
    embeddings = Embeddings.load(str(tmp_path / "e"))
    index = Index.open(str(tmp_path / "out"))
    assert index.space == embeddings.space
    np.testing.assert_array_equal(
        matrix(index.rows(embeddings.manifest["id"], ["vector"])["vector"], index.space.dim), embeddings.vectors
    )
    again, _ = index_embeddings(str(tmp_path / "e"), str(tmp_path / "out"))
    assert counts(again) == (0, 0, 0, 20)

    table = loaded.table
    split = Manifest(table.set_column(table.column_names.index("split"), "split", pa.array(["val"] * 20)))
    split.save(folder)
    monkeypatch.setattr(indexing, "map_parts", lambda work, **how: {"parts": work.num_parts})
    changes, facts = index_manifest(folder, split, encoder, str(tmp_path / "out"))
    assert counts(changes) == (0, 20, 0, 0) and facts["parts"] == 0, "only a word changed: nothing to encode"
    after = Index.open(str(tmp_path / "out")).rows(embeddings.manifest["id"], ["split", "vector", "thumbnail"])
    assert after["split"].to_pylist() == ["val"] * 20 and after["thumbnail"].null_count == 0
    np.testing.assert_array_equal(matrix(after["vector"], index.space.dim), embeddings.vectors)


def in_process(work: PartWork, **how: Any) -> dict[str, Any]:
    infer = work.build("cpu", 0) if work.build else as_it_is
    for part in range(work.num_parts):
        commit(work, part, lambda part=part: infer(work.prepare(part)))
    return {}


def test_thumbnails_are_small_jpegs_in_the_shape_of_the_picture() -> None:
    small = Image.open(io.BytesIO(thumbnail(np.zeros((200, 800, 3), np.uint8))))
    assert (small.format, small.size) == ("JPEG", (256, 64))


def test_a_digest_follows_what_is_said_of_a_picture_and_nothing_else(pictures: list[Path]) -> None:
    table = manifest_of(pictures[:3]).table
    digests = row_digests(table)
    assert row_digests(table.set_column(table.column_names.index("group"), "group", pa.array(["x"] * 3))) == digests
    captions = pa.array([["new"], [], []], pa.list_(pa.string()))
    changed = row_digests(table.set_column(table.column_names.index("caption"), "caption", captions))
    assert [changed[key] == digests[key] for key in digests] == [False, True, True]


@given(rows=st.sets(st.integers(0, 2000)).map(sorted), unit_rows=st.integers(1, 700))
def test_units_hold_every_row_once_and_in_order(rows: list[int], unit_rows: int) -> None:
    units = units_of(rows, unit_rows)
    found = [[part * tables.ROWS_PER_PART + place for part, places in unit for place in places] for unit in units]
    assert [row for unit in found for row in unit] == rows
    assert all(len(unit) == unit_rows for unit in found[:-1])


def test_an_index_of_another_encoder_is_left_alone(tmp_path: Path, pictures: list[Path]) -> None:
    embeddings_of(pictures[:3], tmp_path / "a")
    rows = index_rows(3, dim=16)
    update(str(tmp_path / "out"), index_space(16, weights="other"), [rows], set(rows["id"].to_pylist()))
    with pytest.raises(BadInput, match="two spaces never mix"):
        index_embeddings(str(tmp_path / "a"), str(tmp_path / "out"))
