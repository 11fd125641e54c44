import pyarrow as pa
from fakes import picture

from gencv.core.errors import BadImage
from gencv.core.manifest import SCHEMA
from gencv.core.record import picture_id
from gencv.images.degrade import encode_png
from gencv.pipelines.inspect import look, number_unreadable


def test_look_tells_size_and_id_or_the_fault() -> None:
    data = encode_png(picture(0, 40, 30))
    seen = look(data)
    assert (seen["id"], seen["width"], seen["height"], seen["error"]) == (picture_id(data), 40, 30, None)
    assert look(b"no picture")["error"] == "not_an_image"
    assert look(BadImage("missing"))["error"] == "missing" and look(b"")["error"] == "empty"


def test_unreadable_pictures_stay_apart_wherever_they_lie() -> None:
    good = look(encode_png(picture(0)))
    faults = [look(b""), look(b"text"), look(b""), look(BadImage("missing"))]
    here, there = (
        number_unreadable(pa.Table.from_pylist([{**row, "uri": f"{folder}/{i}"} for i, row in enumerate(rows)], SCHEMA))
        for folder, rows in (("/here", [good, good, *faults]), ("/there", [good, good, *faults]))
    )
    ids = here["id"].to_pylist()
    assert ids == there["id"].to_pylist()
    assert ids[:2] == [good["id"]] * 2  # copies of a readable picture are found by their id
    assert len(set(ids)) == 5
