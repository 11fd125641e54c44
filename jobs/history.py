"""Look after a history of verdicts, searches, paintings, and feedback: take it out, delete from it, or count it.

    python jobs/history.py --url sqlite:////data/history.db
    python jobs/history.py --url sqlite:////data/history.db --export verdicts.csv
    python jobs/history.py --url sqlite:////data/history.db --delete 5f0e8b0c1d2e3f405162738495a6b7c8
    python jobs/history.py --url postgresql://gencv@db.internal/gencv --delete-caller triage
    python jobs/history.py --url postgresql://gencv@db.internal/gencv --days 90

Runs without Ray, while services write. It brings an older history up to date first. Prints one JSON object: what was
deleted, and what is there. The password of a database comes from PGPASSWORD or ~/.pgpass.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta

from gencv.core.errors import BadInput, UnknownName
from gencv.history.ledger import Ledger, open_ledger
from gencv.history.schema import KINDS, now
from gencv.runs.export import EXPORTS, write_export
from gencv.runs.launch import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    url: str
    """sqlite:///PATH or postgresql://HOST/NAME, as `history.url` of the service says."""
    delete: tuple[str, ...] = ()
    """Ids of pictures: delete all that names them, and them where they were kept."""
    delete_caller: tuple[str, ...] = ()
    """Names of keys: delete all that came with them; "" is what came without any."""
    days: float | None = None
    """Delete all that is older."""
    export: str = ""
    """Write rows to this file, after anything is deleted; its ending is one of EXPORTS."""
    table: str = "verdicts"
    """Which rows: verdicts, searches, paintings, feedback."""

    def __post_init__(self) -> None:
        for id in self.delete:
            if not re.fullmatch("[0-9a-f]{32}", id):
                raise BadInput(f"{id!r} is no id of a picture; 32 hex digits are accepted.")
        if self.days is not None and not 0 < self.days <= 36_500:
            raise BadInput(f"--days is {self.days:g}; a number above 0 and up to 36,500 is accepted.")
        if self.export and self.export.rpartition(".")[2] not in EXPORTS:
            raise UnknownName("kind of file", self.export, EXPORTS)
        if self.table not in KINDS:
            raise UnknownName("kind of row", self.table, KINDS)


def main(config: Config) -> None:
    ledger = open_ledger(config.url, create=False)
    try:
        told = {"deleted": deleted(ledger, config)} if config.delete or config.delete_caller or config.days else {}
        if config.export:
            write_export(ledger.table(config.table), config.export)
        print(json.dumps({**told, "rows": ledger.counts()}))
    finally:
        ledger.close()


def deleted(ledger: Ledger, config: Config) -> dict[str, int]:
    """Delete what is asked for, and count it."""
    done = [ledger.forget(id) for id in config.delete]
    done += [ledger.forget_caller(name) for name in config.delete_caller]
    if config.days is not None:
        done.append(ledger.forget_before(now() - timedelta(days=config.days)))
    return {name: sum(one[name] for one in done) for name in done[0]}


if __name__ == "__main__":
    launch(main)
