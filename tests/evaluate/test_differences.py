import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.evaluate.differences import differences


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_what_json_keeps_does_not_differ_from_itself(value: Any) -> None:
    content = {"a": value, "b": {"c": value}}
    assert differences(json.loads(json.dumps(content)), content)[1] == []


@pytest.mark.parametrize(
    ("theirs", "mine", "says"),
    [
        ({"a": 0.5}, {"a": 0.5 + 1e-6}, "a: the run says 0.5, its tables say 0.500001"),
        ({"a": [1, 2]}, {"a": [1]}, "a[1]: the run says 2, its tables say absent"),
        ({"a": None}, {"a": 0.0}, "a: the run says null, its tables say 0.0"),
        ({"a": 0.0}, {"a": None}, "a: the run says 0.0, its tables say null"),
        ({"a": "few"}, {"a": ""}, 'a: the run says "few", its tables say ""'),
        ({}, {"a": {"b": 1}}, "a.b: the run says absent, its tables say 1"),
    ],
)
def test_each_difference_is_one_line_with_both_values(theirs: Any, mine: Any, says: str) -> None:
    assert differences(theirs, mine)[1] == [says]


def test_the_last_bits_of_a_float_are_no_difference() -> None:
    assert differences({"a": 0.1 + 0.2}, {"a": 0.3}) == (1, [])
