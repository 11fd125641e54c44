"""A run: one job, one configuration, one folder.

The folder holds `config.json` (what was asked, and the inputs by digest), what the job writes, `report.json` (counts,
headline figures, bad pictures, timings; its presence says that the run is finished) and `report.html`. The same
command again goes on where it was; another configuration into the same folder is refused with what differs.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from gencv.core import storage
from gencv.core.errors import RunConflict, TooManyBad
from gencv.runs.report import Report

CIRCUMSTANCES = frozenset({"out", "address", "workers", "batch_size", "max_bad_fraction", "checkpoint_steps", "track"})
"""Fields that say how a run is carried out, not what it makes: they may differ when it is continued."""

MAX_BAD_LISTED = 1000
VERSIONS = (
    "gencv",
    "ray",
    "torch",
    "timm",
    "open-clip-torch",
    "pillow",
    "opencv-python-headless",
    "simplejpeg",
    "numpy",
)


class Run:
    """The folder of one run, open for writing."""

    def __init__(self, job: str, config: Any) -> None:
        self.job, self.config, self.dir = job, config, config.out
        self.started_s = time.monotonic()
        self.is_renewed = False
        self.asked: dict[str, Any] = {"job": job, "config": json.loads(json.dumps(asdict(config))), "inputs": {}}

    def path(self, *names: str) -> str:
        """Return a place in the run's folder."""
        return storage.join(self.dir, *names)

    def begin(self, **inputs: str) -> None:
        """Claim the folder for this configuration and these inputs (name = digest).

        Raises RunConflict with what differs if the folder holds another run, BadInput if it cannot be written.
        """
        if differing := differences(self._claimed(inputs), self.asked):
            raise RunConflict(
                f"{self.dir} holds another run: {'; '.join(differing)}. Choose another --out, or repeat its command."
            )

    def kept(self, name: str, now: str) -> str:
        """Return an input as the run in this folder has it, else as it is now, for `begin`.

        For what must not change while a run goes on, and may be chosen anew for each: the threads of a worker.
        """
        try:
            theirs = json.loads(storage.read_bytes(self.path("config.json")))
            return str(theirs["inputs"].get(name, now)) if theirs["job"] == self.job else now
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no run yet, or one that `begin` refuses
            return now

    def renew(self, kept: Sequence[str], **inputs: str) -> None:
        """Claim the folder of something that each run of a job brings up to date; `finish` keeps this configuration.

        kept: options of which such a run of this job has one, and its others have none. Raises RunConflict if the
        folder holds another run, BadInput if it cannot be written.
        """
        theirs, self.is_renewed = self._claimed(inputs), True
        if theirs.get("job") != self.job or not any(map(theirs.get("config", {}).get, kept)):
            raise RunConflict(f"{self.dir} holds another run, of {theirs.get('job')}; choose another --out.")

    def _claimed(self, inputs: dict[str, str]) -> dict[str, Any]:
        """Return what the folder was claimed for; this run claims an empty one."""
        self.asked["inputs"] = inputs
        place = self.path("config.json")
        if storage.exists(place):
            try:
                return dict(json.loads(storage.read_bytes(place)))
            except (ValueError, TypeError):
                raise RunConflict(f"{place} is no configuration that can be read; choose another --out.") from None
        if storage.names_in(self.dir):
            raise RunConflict(f"{self.dir} is not empty and holds no run; choose a new or empty folder as --out.")
        self._keep()
        return self.asked

    def _keep(self) -> None:
        storage.write_bytes(self.path("config.json"), json.dumps(self.asked, indent=1).encode())

    def finish(
        self,
        report: Report,
        *,
        counts: dict[str, Any],
        figures: dict[str, Any],
        bad: Sequence[tuple[str, str]] = (),
        total: int | None = None,
    ) -> None:
        """Write config.json, report.html, and then report.json, and hold the run to its limit of bad pictures.

        bad: (uri, error code) of every picture that failed, out of `total`. Raises TooManyBad past
        `config.max_bad_fraction`, after everything is written.
        """
        if bad:
            shown = bad[:MAX_BAD_LISTED]
            note = "" if len(bad) == len(shown) else f"The first {len(shown)} of {len(bad)}."
            report.section(
                "Pictures that failed",
                f"{len(bad)} of {total} pictures failed"
                + (
                    "; the next run tries them again."
                    if self.is_renewed
                    else "; they are rows with an error, not dropped."
                ),
            )
            report.table(["picture", "error"], [list(row) for row in shown], "", note)
        limit = getattr(self.config, "max_bad_fraction", 1.0)
        too_many = bool(total) and len(bad) > limit * (total or 0)
        versions = {name: version(name) for name in VERSIONS}
        facts = {
            "job": self.job,
            "ok": not too_many,
            "counts": counts,
            "figures": figures,
            "bad": [{"uri": uri, "error": code} for uri, code in bad[:MAX_BAD_LISTED]],
            "num_bad": len(bad),
            "inputs": self.asked["inputs"],
            "versions": versions,
            "seconds": round(time.monotonic() - self.started_s, 1),
        }
        report.footer(config=asdict(self.config), inputs=self.asked["inputs"], versions=versions)
        self._keep()
        storage.write_bytes(self.path("report.html"), report.html().encode())
        storage.write_bytes(self.path("report.json"), json.dumps(facts, indent=1, default=str).encode())
        if too_many:
            raise TooManyBad(
                f"{len(bad)} of {total} pictures failed, more than --max-bad-fraction {limit} allows; "
                f"the rest is finished and {self.path('report.html')} lists them. "
                f"Once they are mended, {'run the same command again' if self.is_renewed else 'choose a new --out'}."
            )


def differences(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """Say in words what keeps two runs from being the same."""
    found = [] if theirs.get("job") == mine["job"] else [f"it was made by {theirs.get('job')}, this is {mine['job']}"]
    for kind in ("config", "inputs"):
        old, new = theirs.get(kind, {}), mine[kind]
        for name in sorted(old.keys() | new.keys()):
            by_digest = kind == "config" and name in mine["inputs"]  # a moved input is the same input
            if name not in CIRCUMSTANCES and not by_digest and old.get(name) != new.get(name):
                found.append(f"{name} was {old.get(name)!r}, now {new.get(name)!r}")
    return found
