"""Listings: what is asked for, all of it, once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadInput, UnknownName
from gencv.history.ledger import Ledger
from gencv.history.pages import Cursor, Wanted
from gencv.history.schema import Feedback, Verdict

HEX = "0123456789abcdef"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@given(st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16))
def test_a_cursor_is_read_as_it_was_written(last_id: str, digest: str) -> None:
    assert Cursor.parse(str(Cursor(last_id, digest))) == Cursor(last_id, digest)


@given(st.text() | st.text(HEX + ".\n", min_size=45, max_size=52))
def test_any_other_text_is_no_cursor(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except BadInput as error:
        assert "is no cursor" in str(error)
    else:
        assert str(cursor) == text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(st.sampled_from(["live", "spoof"]), max_size=12),
    limit=st.integers(1, 5),
    label=st.sampled_from([None, "live", "spoof"]),
    hours=st.none() | st.integers(0, 12),
)
def test_pages_together_are_the_listing(
    ledger: Ledger, verdict: Callable[..., Verdict], labels: list[str], limit: int, label: str | None, hours: int | None
) -> None:
    ledger.forget_before(NOON + timedelta(days=1))
    rows = [verdict(label=one, time=NOON + timedelta(hours=at)) for at, one in enumerate(labels)]
    ledger.write(rows)
    since = None if hours is None else NOON + timedelta(hours=hours)
    wanted = Wanted(label=label, since=since)
    found, cursor = [], ""
    while True:
        page = ledger.page("verdicts", wanted, limit=limit, cursor=cursor)
        assert len(page.rows) <= limit
        found += [row["id"] for row in page.rows]
        if page.cursor is None:
            break
        cursor = str(page.cursor)
    meant = [row for row in rows if label in (None, row.label) and (since is None or row.time >= since)]
    assert found == [row.id for row in meant][::-1]


def test_rows_that_come_and_go_move_nothing(ledger: Ledger, verdict: Callable[..., Verdict]) -> None:
    rows = [verdict(caller=str(number)) for number in range(4)]
    ledger.write(rows)
    first = ledger.page("verdicts", limit=2)
    ledger.write([verdict(caller="new")])
    ledger.forget_caller("2")  # the last row that was shown
    second = ledger.page("verdicts", limit=2, cursor=str(first.cursor))
    assert [row["caller"] for row in first.rows + second.rows] == ["3", "2", "1", "0"] and second.cursor is None


def test_a_cursor_is_for_its_own_listing(ledger: Ledger, verdict: Callable[..., Verdict]) -> None:
    ledger.write([verdict() for _ in range(2)])
    cursor = str(ledger.page("verdicts", limit=1).cursor)
    for kind, wanted in (("verdicts", Wanted(label="live")), ("feedback", Wanted())):
        with pytest.raises(BadInput, match="another listing"):
            ledger.page(kind, wanted, cursor=cursor)


def test_filters(ledger: Ledger, verdict: Callable[..., Verdict]) -> None:
    ledger.write([verdict(caller="a", time=NOON), verdict(caller="b", time=NOON + timedelta(hours=1), picture_id="p")])

    def callers(**wanted: object) -> list[str]:
        return [row["caller"] for row in ledger.page("verdicts", Wanted(**wanted)).rows]  # type: ignore[arg-type]

    assert callers(caller="a") == ["a"] and callers(picture_id="p") == ["b"] and callers(caller="a\0") == ["a"]
    assert callers(until=NOON + timedelta(hours=1)) == ["a"] and callers(since=NOON + timedelta(hours=1)) == ["b"]
    east = datetime.fromisoformat("2030-01-01T14:30:00+02:00")
    assert callers(since=east) == ["b"] and callers(until=east) == ["a"]
    with pytest.raises(BadInput, match="without a time zone"):
        Wanted(since=datetime(2030, 1, 1))
    with pytest.raises(BadInput, match="no label"):
        ledger.page("searches", Wanted(label="live"))
    with pytest.raises(UnknownName, match="feedback"):
        ledger.page("users")


def test_corrections_are_the_last_ones(ledger: Ledger) -> None:
    ledger.write([Feedback(picture_id=id, label=label) for id, label in (("a", "live"), ("b", "live"), ("a", "spoof"))])
    assert ledger.corrections(["a", "c"]) == {"a": "spoof"}
