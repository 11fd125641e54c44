import io
import json
import re

import numpy as np
import pyarrow as pa
import pytest
from fakes import picture
from PIL import Image

from gencv.core.errors import BadInput
from gencv.plots.atlas import MAX_NAMES, atlas_page
from gencv.plots.search import MAX_GROUPS, MAX_ON_SHEET, duplicates_report, hits_report


def rows(count: int, caption: str = "a wall") -> pa.Table:
    """Rows of an index, the second of them without a caption, the third with a thumbnail that is none."""
    buffer = io.BytesIO()
    Image.fromarray(picture(0)).save(buffer, "JPEG")
    return pa.table(
        {
            "id": [f"{row:032x}" for row in range(count)],
            "uri": [f"/pictures/of a wall/{row}.jpg" for row in range(count)],
            "caption": pa.array([[caption] if row != 1 else None for row in range(count)], pa.list_(pa.string())),
            "thumbnail": pa.array([b"none" if row == 2 else buffer.getvalue() for row in range(count)], pa.binary()),
            "score": pa.array(np.linspace(0.9, 0.1, count), pa.float32()),
            "nearest": pa.array(np.full(count, 0.99), pa.float32()),
        }
    )


def data_of(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_a_page_of_hits_shows_them_best_first_and_survives_what_is_missing() -> None:
    page = hits_report("a wall", rows(MAX_ON_SHEET + 5), where="an index", remarks=["No good match."]).html()
    assert page.count("<img") == 1 and "No good match." in page and page.index("0.900") < page.index("0.100")
    assert "of a wall/1.jpg" in page and page.count("<tr>") == MAX_ON_SHEET + 6, "all hits are in the table"
    assert "answers the filter" in hits_report("a wall", rows(0), where="an index").html()


def test_groups_of_duplicates_have_a_sheet_each_up_to_a_limit() -> None:
    page = duplicates_report([rows(3)] * (MAX_GROUPS + 2), cosine=0.98, num_rows=1234, where="w").html()
    assert page.count("<img") == MAX_GROUPS and "2 smaller groups are not shown" in page and "of 1,234" in page
    assert "No two pictures" in duplicates_report([], cosine=0.98, num_rows=5, where="w").html()


def test_a_map_holds_its_points_and_no_caption_can_break_out_of_it() -> None:
    hostile = "</script><script>alert(1)</script> \u2028 é"
    page = atlas_page(np.arange(6.0).reshape(3, 2), rows(3, hostile), ["x", "y", "x"], title="<T>", subtitle="3")
    assert page.count("<script") == 2 and "http" not in page and "<h1>&lt;T&gt;</h1>" in page
    data = data_of(page)
    assert data["groups"] == ["x", "y"] and [point["at"] for point in data["points"]] == [[0, 1], [2, 3], [4, 5]]
    assert data["points"][0]["caption"] == hostile and data["points"][1]["caption"] == ""
    assert data["points"][0]["picture"] and data["points"][2]["picture"] == ""


def test_a_map_names_the_most_frequent_and_puts_the_others_together() -> None:
    names = [f"generator {k}" for k in range(20)] + ["generator 19"]
    data = data_of(atlas_page(np.zeros((21, 2)), rows(21), names, title="t"))
    assert len(data["groups"]) == MAX_NAMES and data["groups"][0] == "generator 19" and data["groups"][-1] == "other"
    assert len(set(data["colours"])) == MAX_NAMES
    assert data["points"][20]["group"] == 0 and data["points"][18]["group"] == MAX_NAMES - 1
    with pytest.raises(BadInput, match="a row and a name a point"):
        atlas_page(np.zeros((2, 2)), rows(3), ["x", "y", "z"], title="t")
