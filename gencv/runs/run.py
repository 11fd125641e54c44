"""A run: one job, one configuration, one folder, and the command line that made it.

The folder holds `config.json` (what was asked, and the inputs by digest), what the job writes, `report.json` (counts,
headline figures, bad pictures, timings; its presence says that the run is finished) and `report.html`. The same
command again goes on where it was; another configuration into the same folder is refused with what differs.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import tyro

from gencv.core import storage
from gencv.core.errors import BadInput, GencvError, RunConflict, TooManyBad
from gencv.runs.report import Report

CIRCUMSTANCES = frozenset({"out", "address", "workers", "batch_size", "max_bad_fraction"})
"""Fields that say how a run is carried out, not what it makes: they may differ when it is continued."""

MAX_BAD_LISTED = 1000
VERSIONS = ("gencv", "ray", "torch", "timm", "open-clip-torch", "pillow", "opencv-python-headless", "simplejpeg", "numpy")


class Config(Protocol):
    """What every job's configuration has, as a frozen dataclass."""

    out: str


class Run:
    """The folder of one run, open for writing."""

    def __init__(self, job: str, config: Any) -> None:
        self.job, self.config, self.dir = job, config, config.out
        self.started_s = time.monotonic()
        self.inputs: dict[str, str] = {}

    def path(self, *names: str) -> str:
        """Return a place in the run's folder."""
        return storage.join(self.dir, *names)

    def begin(self, **inputs: str) -> None:
        """Claim the folder for this configuration and these inputs (name = digest).

        Raises RunConflict with what differs if the folder holds another run, BadInput if it cannot be written.
        """
        self.inputs = inputs
        mine = json.loads(json.dumps({"job": self.job, "config": asdict(self.config), "inputs": inputs}))
        place = self.path("config.json")
        if storage.exists(place):
            try:
                theirs = json.loads(storage.read_bytes(place))
            except ValueError:
                raise RunConflict(f"{place} is no configuration that can be read; choose another --out.") from None
            if differing := list(differences(theirs, mine)):
                raise RunConflict(f"{self.dir} holds another run: {'; '.join(differing)}. Choose another --out, or repeat its command.")
        elif storage.names_in(self.dir):
            raise RunConflict(f"{self.dir} is not empty and holds no run; choose a new or empty folder as --out.")
        else:
            storage.write_bytes(place, json.dumps(mine, indent=1).encode())

    def finish(
        self,
        report: Report,
        *,
        counts: dict[str, Any],
        figures: dict[str, Any],
        bad: Sequence[tuple[str, str]] = (),
        total: int | None = None,
    ) -> None:
        """Write report.html, then report.json, and hold the run to its limit of bad pictures.

        bad: (uri, error code) of every picture that failed, out of `total`. Raises TooManyBad past
        `config.max_bad_fraction`, after everything is written.
        """
        if bad:
            shown = bad[:MAX_BAD_LISTED]
            note = "" if len(bad) == len(shown) else f"The first {len(shown)} of {len(bad)}."
            report.section("Pictures that could not be read", f"{len(bad)} of {total} pictures gave no answer; they are rows with an error, not dropped.")
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
            "inputs": self.inputs,
            "versions": versions,
            "seconds": round(time.monotonic() - self.started_s, 1),
        }
        report.footer(config=asdict(self.config), inputs=self.inputs, versions=versions)
        storage.write_bytes(self.path("report.html"), report.html().encode())
        storage.write_bytes(self.path("report.json"), json.dumps(facts, indent=1, default=str).encode())
        if too_many:
            raise TooManyBad(
                f"{len(bad)} of {total} pictures failed, more than --max-bad-fraction {limit} allows; "
                f"the rest is finished and {self.path('report.html')} lists them."
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


def launch(main: Callable[..., None], argv: list[str] | None = None) -> None:
    """Parse the command line into `main`'s Config, run it (with a Run if it takes one), and turn every expected error into one sentence.

    Exit codes: 0 done, 2 something that the user can mend (said on stderr). `--config FILE` takes a run's
    config.json as the defaults.
    """
    config_type, *has_run = [kind for name, kind in get_type_hints(main).items() if name != "return"]
    job = Path(sys.modules[main.__module__].__file__ or "job").stem
    try:
        config = parse(config_type, sys.argv[1:] if argv is None else argv, sys.modules[main.__module__].__doc__ or "")
        if not has_run:  # a job that leaves nothing behind
            main(config)
            return
        require_absolute_in_a_job(config.out)
        main(config, Run(job, config))
    except GencvError as error:
        print(f"{job}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{job}: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


def parse(config_type: type, argv: list[str], description: str) -> Any:
    """Return the configuration that a command line gives; its own checks may raise BadInput."""
    default = None
    if "--config" in argv:
        at = argv.index("--config")
        if at + 1 == len(argv):
            raise BadInput("--config needs the path of a run's config.json.")
        default = from_file(config_type, argv[at + 1])
        argv = argv[:at] + argv[at + 2 :]
    return tyro.cli(config_type, args=argv, default=default, description=description, config=(tyro.conf.OmitArgPrefixes,))


def from_file(config_type: type, place: str) -> Any:
    """Read a configuration that a run kept."""
    try:
        saved = json.loads(storage.read_bytes(place))["config"]
        return build(config_type, saved)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{place} is no config.json of {config_type.__module__}: {error}") from None


def build(config_type: type, values: dict[str, Any]) -> Any:
    """Build a dataclass from JSON: lists become tuples, nested dataclasses are built by their own type."""
    hints = get_type_hints(config_type)
    return config_type(**{name: revive(hints[name], value) for name, value in values.items()})


def revive(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(value, dict):
        return build(kind, value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value


def require_absolute_in_a_job(out: str) -> None:
    """Raise BadInput for a relative --out under `ray job submit`, whose working directory vanishes with the job."""
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted and not storage.is_uri(out) and not Path(out).is_absolute():
        raise BadInput(f"--out {out!r} would vanish with the job's working directory; give an absolute path or a URI.")
