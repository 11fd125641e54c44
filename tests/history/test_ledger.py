"""What is written is there, whole, until it is deleted, and then nothing of it is."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from gencv.core.errors import BadInput, HistoryUnavailable, UnknownName
from gencv.core.record import picture_id
from gencv.history import kept
from gencv.history.ledger import Ledger, open_ledger
from gencv.history.schema import Feedback, Painting, Search, Verdict, new_id, now, time_of
from gencv.runs.export import to_csv, write_export

Make = Callable[..., Verdict]
DATA = b"a picture"
ID = picture_id(DATA)


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "kept").rglob("*") if path.is_file())


def test_a_row_comes_back_as_it_was_written(ledger: Ledger, verdict: Make) -> None:
    east = datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    row = verdict(time=east, reasons=["unstable", "ü"], attribution="print", attribution_score=0.1, caller="a\0\ud800b")
    ledger.write([row])
    found = ledger.find("verdicts", row.id)
    assert found and found["time"] == east and found["time"].utcoffset() == timedelta(0)
    assert found["reasons"] == ["unstable", "ü"] and found["score"] == 0.25 and found["attribution_score"] == 0.1
    assert found["caller"] == "a?b" and ledger.find("verdicts", new_id()) is None


def test_rows_are_written_together_or_not_at_all(ledger: Ledger, verdict: Make) -> None:
    with pytest.raises(Exception, match=r"(?i)null"):
        ledger.write([verdict(), Feedback(picture_id=ID, label=None)])  # type: ignore[arg-type]
    assert set(ledger.counts().values()) == {0}
    row = verdict()
    ledger.write([row])
    ledger.write([row, verdict()])  # again, where nobody knows whether the first try came through
    assert ledger.counts()["verdicts"] == 2


def test_ids_rise(verdict: Make) -> None:
    ids = [new_id() for _ in range(1000)]
    assert time_of(ids[0]) == pytest.approx(now().timestamp(), abs=60)
    assert sorted(ids) == ids and len(set(ids)) == 1000 and {len(id) for id in ids} == {32}


def test_pictures_are_kept_once_and_go_with_their_last_row(ledger: Ledger, verdict: Make, tmp_path: Path) -> None:
    ledger.write([verdict(picture_id=ID, caller="a"), verdict(picture_id=ID, caller="b")], {ID: DATA})
    ledger.write([verdict(picture_id=ID, caller="a")], {ID: DATA})
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
    assert files(tmp_path) == [ID] and (tmp_path / "kept" / ID[:2] / ID).read_bytes() == DATA
    assert ledger.forget_caller("a") == {"verdicts": 2, "searches": 0, "paintings": 0, "feedback": 0, "kept": 0}
    assert files(tmp_path) == [ID]
    ledger.write([Feedback(picture_id=ID, label="live", caller="c")])
    assert ledger.forget_caller("b")["kept"] == 0 and ledger.forget_caller("c")["kept"] == 1
    assert files(tmp_path) == [] and set(ledger.counts().values()) == {0}


def test_no_picture_is_kept_unless_it_is_said(history_url: str, verdict: Make, tmp_path: Path) -> None:
    ledger = open_ledger(history_url)
    ledger.write([verdict(picture_id=ID)], {ID: DATA})
    assert ledger.counts()["kept"] == 0 and not (tmp_path / "kept").exists()
    ledger.close()


def test_a_subjects_picture_is_deleted_everywhere(ledger: Ledger, verdict: Make, tmp_path: Path) -> None:
    other = "0" * 32
    ledger.write(
        [
            verdict(picture_id=ID),
            Search(picture_id=ID, asked={"k": 10}, index_version=1, hits=[other]),
            Search(asked={"text": f"100% {ID}"}, index_version=1, hits=[other, ID, "x"]),
            Painting(picture_id=ID, recipe={"seed": 1}, model="m", model_digest="d", finish_reason="stop"),
            Feedback(picture_id=ID, label="live"),
            verdict(picture_id=other),
        ],
        {ID: DATA},
    )
    assert ledger.forget(ID) == {"verdicts": 1, "searches": 1, "paintings": 1, "feedback": 1, "kept": 1}
    assert ledger.counts() == {"verdicts": 1, "searches": 1, "paintings": 0, "feedback": 0, "kept": 0}
    assert ledger.page("searches").rows[0]["hits"] == [other, "x"] and files(tmp_path) == []
    assert set(ledger.forget(ID).values()) == {0}


def test_what_is_too_old_goes(ledger: Ledger, verdict: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gencv.history.ledger.DELETED_AT_ONCE", 2)
    old = now() - timedelta(days=8)
    ledger.write([verdict(time=old, picture_id=ID) for _ in range(5)], {ID: DATA})
    ledger.write([verdict(), Feedback(picture_id=ID, label="live")])
    assert ledger.forget_before(now() - timedelta(days=7))["verdicts"] == 5
    assert files(tmp_path) == [ID]  # a younger row names it
    assert ledger.forget_before(now())["kept"] == 1 and files(tmp_path) == []


def test_a_picture_without_rows_is_swept_once_nobody_can_be_writing_it(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.engine.begin() as connection:  # as far as a process came that was killed
        kept.keep({ID: DATA}, kept.announce(connection, ledger.keep_pictures, {ID}))
    assert ledger.forget_before(now())["kept"] == 0
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE kept SET time = :then"), {"then": str(datetime(2020, 1, 1, tzinfo=UTC))})
    assert ledger.forget_before(datetime(2020, 1, 1, tzinfo=UTC))["kept"] == 1 and files(tmp_path) == []


def test_a_picture_that_cannot_be_deleted_is_said(
    ledger: Ledger, verdict: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write([verdict(picture_id=ID)], {ID: DATA})

    def fails(place: str) -> None:
        raise BadInput(f"{place} cannot be reached.")

    with monkeypatch.context() as broken:
        broken.setattr("gencv.core.storage.remove_file", fails)
        with pytest.raises(HistoryUnavailable, match="not the file"):
            ledger.forget(ID)
    assert ledger.counts()["kept"] == 1
    assert ledger.forget(ID)["kept"] == 1 and files(tmp_path) == []


def test_rows_are_taken_out(ledger: Ledger, verdict: Make, tmp_path: Path) -> None:
    ledger.write([verdict(label="live", reasons=["a", "b"]), verdict(label="=cmd|' /C calc'!A0")])
    ledger.write([Search(asked={"text": "é", "k": 3}, index_version=1)])
    table = ledger.table("verdicts")
    assert table["reasons"].to_pylist() == [["a", "b"], []] and str(table["time"].type) == "timestamp[us, tz=UTC]"
    write_export(table, str(tmp_path / "v.parquet"))
    assert pq.read_table(tmp_path / "v.parquet").equals(table)
    said = to_csv(table).decode()
    assert "\"'=cmd" in said and '"[""a"", ""b""]"' in said
    assert json.loads(ledger.table("searches")["asked"][0].as_py()) == {"text": "é", "k": 3}
    assert ledger.table("paintings").num_rows == 0
    with pytest.raises(UnknownName):
        ledger.table("kept")


def test_a_database_that_is_gone_is_one_sentence(ledger: Ledger, verdict: Make) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE verdicts RENAME TO elsewhere"))
    if ledger.engine.dialect.name == "sqlite":
        with pytest.raises(HistoryUnavailable, match=r"does not answer \(no such table: verdicts\)\.$"):
            ledger.write([verdict()])
