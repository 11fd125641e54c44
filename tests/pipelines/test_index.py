"""From embeddings to an index: only what is new or changed is written, by whoever survives."""

import io
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from fakes import manifest_of, write_embeddings, write_pictures
from PIL import Image

from gencv.core import storage, tables
from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.index import layout
from gencv.index.table import Index
from gencv.pipelines import index as indexing
from gencv.pipelines.index import PENDING, WriteUnit, index_embeddings, row_digests, thumbnail

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


def dead_run(embeddings: Embeddings, folder: str, out: str) -> None:
    """Leave what a killed run leaves: one unit with its note, and one file without."""
    digests = row_digests(embeddings)
    work = WriteUnit(folder, out, embeddings.space, True, indexing._units(embeddings.manifest["id"], digests))
    pending = indexing._pending(out, digests, 0)
    tables.write_table(work(0), tables.part_path(pending, 0))
    work(1)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_an_index_follows_its_embeddings(tmp_path: Path, pictures: list[Path], ray_local: str) -> None:
    first, out = str(tmp_path / "first"), str(tmp_path / "out")
    embeddings = embeddings_of(pictures[:-30], tmp_path / "first", caption=[["a wave"]] * (NUM_PICTURES - 30))
    dead_run(embeddings, first, out)
    changes, facts = index_embeddings(first, out, address=ray_local)
    assert counts(changes) == (NUM_PICTURES - 30, 0, 0, 0)
    assert (facts["parts"], facts["resumed_parts"], facts["bad"]) == (1, 1, [])
    assert not storage.exists(storage.join(out, PENDING))
    assert Index.open(out).digests() == row_digests(embeddings)
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
    wanted = row_digests(second)
    del wanted[second.manifest["id"][-1]]
    assert Index.open(out).digests() == wanted
    assert Index.open(out).match("calm", 10).num_rows == 5


def test_thumbnails_are_small_jpegs_in_the_shape_of_the_picture(tmp_path: Path) -> None:
    path = write_pictures(tmp_path, 1, size=(800, 200))[0]
    made = thumbnail(path.read_bytes())
    assert isinstance(made, bytes)
    small = Image.open(io.BytesIO(made))
    assert (small.format, small.size) == ("JPEG", (256, 64))
    assert getattr(thumbnail(b"no picture"), "code", None) == "not_an_image"


def test_a_digest_follows_vector_and_words_and_nothing_else(tmp_path: Path, pictures: list[Path]) -> None:
    one = embeddings_of(pictures[:3], tmp_path / "a")
    digests = row_digests(one)
    table = one.manifest.table
    other = table.set_column(table.column_names.index("group"), "group", pa.array(["x"] * 3))
    assert row_digests(replace(one, manifest=Manifest(other))) == digests
    captioned = table.set_column(
        table.column_names.index("caption"), "caption", pa.array([["new"], [], []], pa.list_(pa.string()))
    )
    changed = row_digests(replace(one, manifest=Manifest(captioned)))
    assert [changed[key] == digests[key] for key in digests] == [False, True, True]
    turned = row_digests(replace(one, vectors=-one.vectors))
    assert not set(turned.values()) & set(digests.values())
    failed = row_digests(replace(one, errors=[None, "corrupt", None]))
    assert list(failed) == [one.manifest["id"][0], one.manifest["id"][2]]


def test_units_are_whole_parts_and_as_large_as_a_file_at_most() -> None:
    ids = [f"{number}" for number in range(256 * 200)]
    units = indexing._units(ids, dict.fromkeys(ids, "d"))
    assert [row_id for unit in units for _, rows in unit for row_id in rows] == ids
    assert {len(unit) for unit in units[:-1]} == {3}
    assert indexing._units(ids, {"700": "d"}) == [[(2, {"700": "d"})]]


def test_an_index_of_another_encoder_is_left_alone(tmp_path: Path, pictures: list[Path]) -> None:
    one = embeddings_of(pictures[:3], tmp_path / "a")
    out = str(tmp_path / "out")
    rows, _ = WriteUnit(str(tmp_path / "a"), out, one.space, True, []).rows_of(0, row_digests(one))
    other = replace(one.space, weights="other")
    lance.write_dataset(rows.replace_schema_metadata(layout.row_schema(other).metadata), layout.table_path(out))
    with pytest.raises(BadInput, match="two spaces never mix"):
        index_embeddings(str(tmp_path / "a"), out)
