"""A filter finds the rows that plain Python finds, and nothing else gets through."""

import re
from collections.abc import Callable
from typing import Any

import lance
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadInput, UnknownName
from gencv.index.filters import MAX_DEPTH, parse_filter

COLUMNS = {"id": pa.string(), "source": pa.string(), "label": pa.int8(), "width": pa.int32(), "blur": pa.float64()}
TEXTS = ["", "a", "A", "coco", "coco's", 'say "x"', "50%", "a_b", "aXb", "ü–猫", "a;b--c", "back\\slash", "/* x */"]
ROWS = [
    {"id": f"{index}", "source": source, "label": label, "width": width, "blur": blur}
    for index, (source, label, width, blur) in enumerate(
        [(text, index % 2, index * 100, index / 4) for index, text in enumerate(TEXTS)]
        + [(None, 1, 5, 0.5), ("a", None, 5, -1.5), ("coco", 0, None, None), (None, None, None, None)]
    )
]
Truth = Callable[[dict[str, Any]], bool | None]
"""What SQL says of a row: true, false, or unknown."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    rows = pa.Table.from_pylist(ROWS, pa.schema(list(COLUMNS.items())))
    return lance.write_dataset(rows, str(tmp_path_factory.mktemp("filters") / "t.lance"))


def quoted(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def known(test: Callable[[Any], bool], name: str) -> Truth:
    return lambda row: None if row[name] is None else test(row[name])


def negated(inner: Truth) -> Truth:
    return lambda row: None if (value := inner(row)) is None else not value


def joined(word: str, parts: list[Truth]) -> Truth:
    decisive = word == "OR"

    def truth(row: dict[str, Any]) -> bool | None:
        values = [part(row) for part in parts]
        return decisive if decisive in values else (None if None in values else not decisive)

    return truth


def like(pattern: str) -> Callable[[str], bool]:
    words = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return lambda value: re.fullmatch(words, value, re.DOTALL) is not None


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["0", "3", "x"]),
    "source": st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6),
    "label": st.integers(-127, 127) | st.integers(0, 1),
    "width": st.integers(-(2**31) + 1, 2**31 - 1) | st.sampled_from([0, 5, 100, 300]),
    "blur": st.sampled_from([0, 0.5, -1.5, 1.25, 3, 2.5e3]),
}


@st.composite
def leaves(draw: st.DrawFn) -> tuple[str, Truth]:
    name = draw(st.sampled_from(sorted(COLUMNS)))
    values = VALUES[name]
    kind = draw(st.sampled_from(["compare", "in", "between", "null", *(["like"] if name in ("id", "source") else [])]))
    no = draw(st.booleans())
    word = "NOT " if no else ""
    if kind == "compare":
        sign, value = draw(st.sampled_from(sorted(COMPARE))), draw(values)
        return f"{name} {sign} {quoted(value)}", known(lambda x: COMPARE[sign](x, value), name)
    if kind == "null":
        return f"{name} IS {word}NULL", lambda row: (row[name] is None) != no
    if kind == "in":
        some = draw(st.lists(values, min_size=1, max_size=4))
        found = known(lambda x: x in some, name)
        return f"{name} {word}IN ({', '.join(map(quoted, some))})", negated(found) if no else found
    if kind == "between":
        low, high = draw(values), draw(values)
        found = known(lambda x: low <= x <= high, name)
        return f"{name} {word}BETWEEN {quoted(low)} AND {quoted(high)}", negated(found) if no else found
    pattern = draw(st.text(st.sampled_from("aAcox%_'s"), max_size=5))
    found = known(like(pattern), name)
    return f"{name} {word}LIKE {quoted(pattern)}", negated(found) if no else found


def combine(inner: st.SearchStrategy[tuple[str, Truth]]) -> st.SearchStrategy[tuple[str, Truth]]:
    some = st.lists(inner, min_size=2, max_size=4)
    chain = st.tuples(st.sampled_from(["AND", "OR"]), some).map(
        lambda pair: (f" {pair[0]} ".join(f"({sql})" for sql, _ in pair[1]), joined(pair[0], [t for _, t in pair[1]]))
    )
    return chain | inner.map(lambda one: (f"NOT ({one[0]})", negated(one[1])))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.recursive(leaves(), combine, max_leaves=8))
def test_a_filter_finds_what_plain_python_finds(table: lance.LanceDataset, asked: tuple[str, Truth]) -> None:
    text, truth = asked
    found = table.to_table(columns=["id"], filter=parse_filter(text, COLUMNS))["id"].to_pylist()
    assert found == [row["id"] for row in ROWS if truth(row)], text


def test_a_negation_leaves_what_is_missing_out(table: lance.LanceDataset) -> None:
    folded = parse_filter("NOT (blur <> 0 AND blur = 0)", COLUMNS)
    assert folded == "((blur = 0.0) OR (blur IS NOT NULL AND blur <> 0.0))"
    found = table.to_table(columns=["id"], filter=folded)["id"].to_pylist()
    assert found == [row["id"] for row in ROWS if row["blur"] is not None]


def test_precedence_is_that_of_sql() -> None:
    assert parse_filter("label = 1 OR label = 0 AND NOT width > 5", COLUMNS) == (
        "((label = 1) OR ((label = 0) AND (width <= 5)))"
    )
    assert parse_filter("  ", COLUMNS) == ""


@pytest.mark.parametrize(
    "text",
    [
        "1 = 1",
        "label",
        "label = width",
        "label = 1; DROP TABLE pictures",
        "label = 1; label = 0",
        "label = 1 --",
        "label = 1 /* and all */",
        "label = 1) OR (1 = 1",
        "label = (SELECT 1)",
        "label IN (SELECT label FROM other)",
        "EXISTS (SELECT 1)",
        "label = 1 UNION SELECT 1",
        "label = 1 ORDER BY label",
        "sleep(10) = 1",
        "lower(source) = 'a'",
        "source || 'x' = 'ax'",
        "label + 1 = 2",
        "label = CAST('1' AS INT)",
        "source = $1",
        "source = ?",
        "source = :name",
        "source = @@version",
        "source = N'a'",
        "source = x'61'",
        "source = b'1'",
        "source LIKE 'a!%' ESCAPE '!'",
        "source LIKE 'a\\%'",
        "source LIKE ANY ('a', 'b')",
        "source ILIKE 'a'",
        "source SIMILAR TO 'a'",
        "source REGEXP 'a'",
        "label IN ()",
        "label IS TRUE",
        "label IS NOT DISTINCT FROM 1",
        "label = NULL",
        "label = TRUE",
        "label = '1'",
        "label = 1.5",
        "label = 300",
        "label = 1e1",
        "source = 1",
        "source = -'a'",
        "label LIKE '1'",
        "blur < 1e999",
        "other.label = 1",
        "label.x = 1",
        "label[0] = 1",
        "* = 1",
        "source = 'a' AND",
        "source = 'a",
        "((label = 1)",
        "CASE WHEN label = 1 THEN 1 END = 1",
        "label BETWEEN SYMMETRIC 1 AND 0",
        "source = 'a\x00b'",
        "source COLLATE x = 'a'",
        "label::text = '1'",
        "(label, width) = (1, 2)",
        "NOT " * (MAX_DEPTH + 1) + "label = 1",
        "(" * 900 + "label = 1" + ")" * 900,
        "label = 1 OR " * 200 + "label = 1",
    ],
)
def test_everything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_filter(text, COLUMNS)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"Unknown column 'camera'; known: blur, id, label, source, width."):
        parse_filter("camera = 'x'", COLUMNS)
    assert parse_filter("\"Source\" = 'a'", COLUMNS) == "(source = 'a')"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("alwid thbel='\"()<>;-*%,.0123/\\ORANDNIsource\n") | st.characters(), max_size=40))
def test_any_text_is_a_filter_that_runs_or_bad_input(table: lance.LanceDataset, text: str) -> None:
    try:
        found = parse_filter(text, COLUMNS)
    except BadInput:
        return
    table.to_table(columns=["id"], filter=found or None)
