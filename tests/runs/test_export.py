"""Rows for other tools; none is a formula where a spreadsheet opens them."""

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gencv.runs.export import FORMULA, guarded, to_csv

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.builds(
    str.__add__, st.sampled_from(FORMULA), st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)


@given(TEXTS)
@example("=1+1")
@example("'=1+1")
@example("\t=1+1")
def test_no_text_is_a_formula_and_each_can_be_had_back(text: str) -> None:
    safe = guarded(text)
    assert not safe.startswith(tuple(set(FORMULA) - {"'"}))
    assert (safe[1:] if safe.startswith("'") else safe) == text


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS)
def test_every_cell_of_text_is_guarded(texts: list[str], name: str) -> None:
    cells = list(csv.reader(io.StringIO(to_csv(pa.table({name: texts})).decode(), newline="")))
    assert cells == [[guarded(name)], *([guarded(text)] for text in texts)]


def test_numbers_lists_and_what_is_absent_stay() -> None:
    table = pa.table(
        {"score": [-0.5, None], "caption": [["=a", "b"], None], "text": pa.array([None, "-1"]), "is": [True, None]}
    )
    assert list(csv.reader(io.StringIO(to_csv(table).decode()))) == [
        ["score", "caption", "text", "is"],
        ["-0.5", '["=a", "b"]', "", "true"],
        ["", "", "'-1", ""],
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_dictionaries_and_long_texts_are_guarded_too(kind: pa.DataType) -> None:
    column = pa.array(["=a", None, "=a"], kind)
    for values in (column, column.dictionary_encode()):
        assert list(csv.reader(io.StringIO(to_csv(pa.table({"x": values})).decode())))[1] == ["'=a"]
