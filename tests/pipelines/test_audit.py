from pathlib import Path

from fakes import manifest_of, picture, write_pictures

from gencv.core.record import picture_id
from gencv.images.degrade import encode_jpeg, encode_png
from gencv.pipelines.audit import FACTS_SCHEMA, GatherFacts, facts_of


def test_every_column_is_a_fact() -> None:
    data = encode_jpeg(picture(0), 80)
    found = facts_of(data)
    assert set(found) == {*FACTS_SCHEMA.names} - {"id", "error"}
    assert found["digest"] == picture_id(data) and found["quality"] == 80
    assert facts_of(encode_png(picture(0)))["phash"] == facts_of(encode_png(picture(0, 96, 72)))["phash"]


def test_an_unreadable_picture_is_a_row(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "pictures", 4)
    manifest_of(paths).save(str(tmp_path / "manifest"))
    paths[1].write_bytes(paths[2].read_bytes())
    paths[3].unlink()
    rows = GatherFacts(str(tmp_path / "manifest"))(0).to_pylist()
    assert [row["error"] for row in rows] == [None, "changed", None, "missing"]
    assert [row["width"] for row in rows] == [96, None, 96, None] and len({row["id"] for row in rows}) == 4
