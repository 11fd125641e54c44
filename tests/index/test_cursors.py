import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.errors import BadInput
from gencv.index.cursors import Cursor

DIGEST = "0123456789abcdef"
whole = st.integers(0, 2**63)


digests = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(whole, digests, digests, whole)
def test_a_cursor_survives_its_text(version: int, identity: str, digest: str, offset: int) -> None:
    cursor = Cursor(version, identity, digest, offset)
    assert Cursor.parse(str(cursor)) == cursor
    assert str(cursor).replace("-", "").replace("_", "").isalnum()


@given(st.one_of(st.text(), st.binary().map(lambda data: data.hex()), st.integers(0, 10).map(lambda n: "W" * n)))
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except BadInput as error:
        assert "is no cursor" in str(error) and len(str(error)) < 400
    else:
        assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "content",
    [
        "[1,2]",
        '[1,"0123456789abcdef",1]',
        '[true,"0123456789abcdef","0123456789abcdef",1]',
        '[1,"0123456789abcdef","0123456789abcdef",-1]',
        '[1,"0123456789abcdef","short",1]',
        '[1,1,"0123456789abcdef",1]',
        "1",
        "{",
        "[[[[",
    ],
)
def test_what_only_looks_like_a_cursor_is_refused(content: str) -> None:
    import base64

    with pytest.raises(BadInput, match="is no cursor"):
        Cursor.parse(base64.urlsafe_b64encode(content.encode()).decode().rstrip("="))


def test_a_cursor_is_good_for_its_query_version_and_table_alone() -> None:
    table = "a" * 16
    cursor = Cursor(3, table, DIGEST, 10)
    cursor.require(DIGEST, 3, table, 100)
    with pytest.raises(BadInput, match="another query"):
        cursor.require("f" * 16, 3, table, 100)
    with pytest.raises(BadInput, match="version 3 of the table, which is open at version 4"):
        cursor.require(DIGEST, 4, table, 100)
    with pytest.raises(BadInput, match="another table"):
        cursor.require(DIGEST, 3, "b" * 16, 100)
    with pytest.raises(BadInput, match="beyond the first 10 hits"):
        cursor.require(DIGEST, 3, table, 10)
