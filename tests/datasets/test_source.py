import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.errors import BadSource
from gencv.datasets.source import Source, parse_source

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)


@given(NAMES, st.text(), st.dictionaries(NAMES, st.text()))
def test_what_is_written_is_what_is_parsed(kind: str, location: str, options: dict[str, str]) -> None:
    source = Source(kind, location, options)
    assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("folder:/data/faces", Source("folder", "/data/faces")),
        ("folder:s3://bucket/a:b?label=1", Source("folder", "s3://bucket/a:b", {"label": "1"})),
        ("folder:/what?/now?label=1", Source("folder", "/what?/now", {"label": "1"})),
        ("folder:/what?", Source("folder", "/what")),
        ("folder:/what??", Source("folder", "/what?")),
        ("table:x.csv?positive=a%26b,c+d&source=%3D", Source("table", "x.csv", {"positive": "a&b,c+d", "source": "="})),
        ("starter:", Source("starter", "")),
    ],
)
def test_parsing(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text", ["", "/data/faces", "Folder:/x", "folder:/x?label", "folder:/x?a=1&a=2", "folder:/x?=1"]
)
def test_another_shape_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(BadSource, match="source"):
        parse_source(text)


def test_the_name_is_the_kind_and_the_last_name_unless_it_is_told() -> None:
    assert parse_source("folder:/data/faces/").name == "folder:faces"
    assert parse_source("hf:owner/name?source=mine").name == "mine"
    assert parse_source("starter:").name == "starter"
