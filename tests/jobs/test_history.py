"""A history is looked after from the command line."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gencv.history.ledger import Ledger, open_ledger
from gencv.history.schema import Feedback, Search, Verdict, now

Job = Callable[..., tuple[int, str, str]]
ID = "5f" * 16


@pytest.fixture
def ledger(history_url: str) -> Iterator[Ledger]:
    ledger = open_ledger(history_url)
    common: dict[str, Any] = {"bundle": "b", "digest": "d", "task": "spoof", "score": 0.9, "threshold_id": "eer"}
    ledger.write(
        [
            Verdict(picture_id=ID, label="spoof", caller="a", **common),
            Verdict(picture_id="0" * 32, label="live", caller="b", time=now() - timedelta(days=9), **common),
            Search(asked={"text": "a cat"}, index_version=1, caller=""),
            Feedback(picture_id=ID, label="live", note="=1+1", caller="b"),
        ]
    )
    yield ledger
    ledger.close()


def told(done: tuple[int, str, str]) -> Any:
    code, out, err = done
    assert code == 0, err
    return json.loads(out)


def test_it_counts(job: Job, ledger: Ledger, history_url: str) -> None:
    rows = {"verdicts": 2, "searches": 1, "paintings": 0, "feedback": 1, "kept": 0}
    assert told(job("history", "--url", history_url)) == {"rows": rows}


def test_it_deletes_and_exports_the_rest(job: Job, ledger: Ledger, history_url: str, tmp_path: Path) -> None:
    place = tmp_path / "v.csv"
    said = told(job("history", "--url", history_url, "--days", "7", "--export", place))
    assert said["deleted"]["verdicts"] == 1 and said["rows"]["verdicts"] == 1
    assert ID in place.read_text() and "0" * 32 not in place.read_text()
    told(job("history", "--url", history_url, "--export", place, "--table", "feedback"))
    assert '"\'=1+1"' in place.read_text()
    said = told(job("history", "--url", history_url, "--delete-caller", "b", "", "--delete", ID))
    assert said["deleted"] == {"verdicts": 1, "searches": 1, "paintings": 0, "feedback": 1, "kept": 0}
    assert set(said["rows"].values()) == {0}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--delete", "../x"], "32 hex digits"),
        (["--days", "0"], "above 0"),
        (["--days", "nan"], "above 0"),
        (["--export", "rows.txt"], "csv, json, parquet"),
        (["--table", "kept"], "verdicts"),
        (["--url", "mysql://host/x"], "'mysql'"),
        (["--url", "sqlite:////nowhere/history.db"], "is not there"),
        (["--url", "postgresql://gencv:secret@host/x"], "PGPASSWORD"),
    ],
)
def test_what_cannot_be_is_one_sentence(job: Job, tmp_path: Path, flags: list[str], says: str) -> None:
    given = [] if "--url" in flags else ["--url", f"sqlite:///{tmp_path}/none.db"]
    code, out, err = job("history", *given, *flags)
    assert code == 2 and out == "" and says in err and "secret" not in err and len(err.splitlines()) == 1
