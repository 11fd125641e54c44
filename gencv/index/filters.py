"""Filters as people write them, `label = 1 AND source LIKE 'coco%'`, to SQL that is safe to hand to Lance.

The text is parsed by sqlglot, and of its tree only the few nodes below are written out again, value by value: what is
not known here never reaches the table. A value must be of its column's type, so that nothing is cast in silence.

A missing value is neither equal nor unequal to anything, but the engine below folds `width <> 0 AND width = 0` to false
and `width NOT IN (0) OR width NOT IN (1)` to true where width is missing too. So each NOT is carried down to the
comparisons, above which false and unknown are then the same, and what says "unequal" also asks for a value.
"""

import math
from collections.abc import Callable

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gencv.core.errors import BadInput, UnknownName

MAX_CHARACTERS = 2000
MAX_DEPTH = 16
"""Parentheses and NOTs within each other; the SQL engines below stop at 50."""
ACCEPTED = (
    "accepted are comparisons of a column with a value (=, <>, <, <=, >, >=), IN, LIKE, BETWEEN, IS NULL, AND, OR, "
    "NOT, and parentheses"
)
COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
Columns = dict[str, pa.DataType]


def parse_filter(text: str, columns: Columns) -> str:
    """Return a filter as SQL for Lance; no text is no filter, "".

    columns: those that may be asked for, with their types; text and numbers can be. As in SQL, a comparison with a
    missing value is neither true nor false, so a row without a label is found by neither `label = 1` nor
    `NOT label = 1`, but by `label IS NULL`. Raises BadInput that says what is accepted.
    """
    if not text.strip():
        return ""
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"The filter has {len(text)} characters; at most {MAX_CHARACTERS} are accepted.")
    if unprintable := [character for character in text if ord(character) < 32 and character not in "\t\n\r"]:
        raise BadInput(f"The filter holds the control character {unprintable[0]!r}; {ACCEPTED}.")
    try:
        trees = sqlglot.Dialect.get_or_raise(None).parse_into(exp.Condition, text)
    except (SqlglotError, RecursionError) as error:
        detail = str(error).splitlines()[0] if isinstance(error, SqlglotError) else "it is nested too deeply"
        raise BadInput(f"The filter {text!r} cannot be read ({_plain(detail)}); {ACCEPTED}.") from None
    if len(trees) != 1 or trees[0] is None:
        raise BadInput(f"The filter {text!r} is not one condition; {ACCEPTED}.")
    if any(node.comments for node in trees[0].walk()):
        raise BadInput(f"The filter {text!r} holds a comment; {ACCEPTED}.")
    return _condition(trees[0], columns, 0, False)


def _condition(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    """Write a node, or with `no` its negation."""
    if depth > MAX_DEPTH:
        raise BadInput(f"The filter is nested more than {MAX_DEPTH} deep; write it flatter.")
    for kind, write in CONDITIONS.items():
        if type(node) is kind:
            return write(node, columns, depth, no != bool(node.args.get("negate")))
    raise _refuse(node)


def _joined(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    """Write a chain of one connector flat: parsers below count every parenthesis as a level."""
    word = "AND" if isinstance(node, exp.And) != no else "OR"
    terms: list[exp.Expr] = []
    rest = [node]
    while rest:
        one = rest.pop()
        if type(one) is type(node):
            rest += [one.expression, one.this]
        else:
            terms.append(one)
    return "(" + f" {word} ".join(_condition(term, columns, depth + 1, no) for term in terms) + ")"


def _not(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    return _condition(node.this, columns, depth + 1, not no)


def _paren(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    return _condition(node.this, columns, depth + 1, no)


def _comparison(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    name, kind = _column(node.this, columns)
    sign = OPPOSITE[COMPARISONS[type(node)]] if no else COMPARISONS[type(node)]
    return _leaf(name, f"{sign} {_value(node.expression, name, kind)}", no=sign == "<>")


def _in(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    name, kind = _column(node.this, columns)
    if not node.expressions or _has_more(node, "this", "expressions"):
        raise _refuse(node)
    values = ", ".join(_value(value, name, kind) for value in node.expressions)
    return _leaf(name, f"{'NOT ' * no}IN ({values})", no=no)


def _like(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    name, kind = _column(node.this, columns)
    if not _is_text(kind):
        raise BadInput(f"LIKE asks for text, and {name} holds numbers; compare it with =, <, > or BETWEEN.")
    pattern = _value(node.expression, name, kind)
    if "\\" in pattern or _has_more(node, "this", "expression"):
        raise BadInput("A pattern after LIKE has % for any text and _ for any character; there is no way to escape.")
    return _leaf(name, f"{'NOT ' * no}LIKE {pattern}", no=no)


def _leaf(name: str, test: str, *, no: bool) -> str:
    return f"({name} IS NOT NULL AND {name} {test})" if no else f"({name} {test})"


def _between(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    name, kind = _column(node.this, columns)
    if _has_more(node, "this", "low", "high"):
        raise _refuse(node)
    low, high = (_value(node.args[end], name, kind) for end in ("low", "high"))
    return f"({name} < {low} OR {name} > {high})" if no else f"({name} >= {low} AND {name} <= {high})"


def _is(node: exp.Expr, columns: Columns, depth: int, no: bool) -> str:
    name, _ = _column(node.this, columns)
    if type(node.expression) is not exp.Null:
        raise _refuse(node)
    return f"({name} IS {'NOT ' * no}NULL)"


CONDITIONS: dict[type[exp.Expr], Callable[[exp.Expr, Columns, int, bool], str]] = {
    exp.And: _joined,
    exp.Or: _joined,
    exp.Not: _not,
    exp.Paren: _paren,
    exp.In: _in,
    exp.Like: _like,
    exp.Between: _between,
    exp.Is: _is,
    **dict.fromkeys(COMPARISONS, _comparison),
}


def _column(node: exp.Expr, columns: Columns) -> tuple[str, pa.DataType]:
    if type(node) is not exp.Column or type(node.this) is not exp.Identifier or _has_more(node, "this"):
        raise BadInput(f"The filter has {_plain(node.sql())} where a column belongs; known: {', '.join(columns)}.")
    name = node.name if node.name in columns else node.name.lower()
    if name not in columns:
        raise UnknownName("column", node.name, columns)
    return name, columns[name]


def _value(node: exp.Expr, name: str, kind: pa.DataType) -> str:
    """Write a literal. Raises BadInput if it is none, or of another type than its column."""
    negative = type(node) is exp.Neg
    literal = node.this if negative else node
    if type(literal) is not exp.Literal:
        raise BadInput(f"The filter has {_plain(node.sql())} where a value belongs; write a number or 'text'.")
    if _is_text(kind):
        if not literal.is_string:
            raise BadInput(f"{name} holds text; write the value in single quotes, {name} = 'photo' for example.")
        if negative:
            raise _refuse(node)
        return "'" + str(literal.this).replace("'", "''") + "'"
    if literal.is_string:
        raise BadInput(f"{name} holds numbers; write the value without quotes, {name} = 1 for example.")
    return _number(("-" if negative else "") + str(literal.this), name, kind)


def _number(text: str, name: str, kind: pa.DataType) -> str:
    try:
        value = float(text)
        whole = int(text) if text.lstrip("-").isdecimal() else None
    except ValueError:
        raise BadInput(f"{text} is no number.") from None
    if pa.types.is_integer(kind):
        highest = 2 ** (kind.bit_width - 1) - 1
        if whole is None or abs(whole) > highest:
            raise BadInput(f"{name} holds whole numbers from -{highest} to {highest}, and {text} is none.")
        return str(whole)
    if not math.isfinite(value):
        raise BadInput(f"{text} is too large a number for {name}.")
    return repr(value)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _has_more(node: exp.Expr, *known: str) -> bool:
    """Say whether a node carries an argument that we would drop in silence."""
    return any(value for key, value in node.args.items() if key not in (*known, "negate"))


def _refuse(node: exp.Expr) -> BadInput:
    return BadInput(f"The filter has {_plain(node.sql())!r}, which is not accepted; {ACCEPTED}.")


def _plain(text: str) -> str:
    """Cut a text to a line of a sentence, without the colours that sqlglot underlines by."""
    text = text.replace("\x1b[4m", "").replace("\x1b[0m", "").rstrip(".")
    return text if len(text) <= 60 else text[:57] + "..."
