"""The command line of every job: flags into its Config, expected errors into one sentence and an exit code."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from gencv.core import storage
from gencv.core.errors import BadInput, GencvError
from gencv.runs.run import Run


def launch(main: Callable[..., None], argv: list[str] | None = None) -> None:
    """Parse the command line into `main`'s Config, run it (with a Run if it takes one), and say errors in one sentence.

    Exit codes: 0 done, 1 figures that cannot be reproduced, 2 something that the user can mend (said on stderr), 3 an
    audit that found the data unfit, 130 stopped by the user.
    """
    config_type, *has_run = [kind for name, kind in get_type_hints(main).items() if name != "return"]
    job = Path(sys.modules[main.__module__].__file__ or "job").stem
    try:
        description = sys.modules[main.__module__].__doc__ or ""
        config = settle(parse(config_type, sys.argv[1:] if argv is None else argv, description, job))
        if not has_run:  # a job that leaves nothing behind
            main(config)
            return
        main(config, Run(job, config))
    except GencvError as error:
        print(f"{job}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{job}: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


def parse(config_type: type, argv: list[str], description: str, job: str = "") -> Any:
    """Return the configuration that a command line gives; its own checks may raise BadInput.

    `--config FILE` takes the configuration that a run of this job kept as the defaults. A Config whose defaults depend
    on a flag has a class method `preset` that returns them for the words of a command line.
    """
    default = None
    argv = [
        word
        for flag in argv
        for word in (flag.split("=", 1) if flag.startswith(("--config=", "--recipe=")) else [flag])
    ]
    if "--config" in argv:
        at = argv.index("--config")
        if at + 1 == len(argv):
            raise BadInput("--config needs the path of a run's config.json.")
        default = from_file(config_type, argv[at + 1], job)
        argv = argv[:at] + argv[at + 2 :]
    elif preset := getattr(config_type, "preset", None):
        default = preset(argv)
    description += "\n--config FILE repeats the run that left this config.json; other flags go before it."
    return tyro.cli(
        config_type, args=argv, default=default, description=description, config=(tyro.conf.OmitArgPrefixes,)
    )


def from_file(config_type: type, place: str, job: str) -> Any:
    """Read a configuration that a run kept. Raises BadInput if it is another job's, or none."""
    try:
        saved = json.loads(storage.read_bytes(place))
        if job and saved["job"] != job:
            raise BadInput(f"{place} is of the job {saved['job']}, not of {job}.")
        return build(config_type, saved["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{place} is no config.json of a run: {error}") from None


def build(config_type: type, values: dict[str, Any]) -> Any:
    """Build a dataclass from JSON: lists become tuples, nested dataclasses are built by their own type."""
    hints = get_type_hints(config_type)
    return config_type(**{name: revive(hints[name], value) for name, value in values.items()})


def revive(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(value, dict):
        return build(kind, value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value


def settle(config: Any) -> Any:
    """Return the configuration with absolute paths, for workers elsewhere have another working directory.

    Raises BadInput for a relative --out under `ray job submit`, whose working directory vanishes with the job, for
    numbers that cannot be, and for URIs with access keys: here, before any of them is written down.
    """
    for value in vars(config).values():
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            storage.require_no_keys(str(text))
    for name, accepted in LIMITS.items():
        values = getattr(config, name, accepted[0])
        for value in values if isinstance(values, tuple) else (values,):
            if not accepted[0] <= value <= accepted[1]:
                flag = name.replace("_", "-")
                raise BadInput(f"--{flag} is {value}; a number from {accepted[0]} to {accepted[1]} is accepted.")
    given = {name: getattr(config, name) for name in PATHS if getattr(config, name, "")}
    settled = {
        name: absolute(place) if isinstance(place, str) else tuple(map(absolute, place))
        for name, place in given.items()
    }
    for name in {"out", "xlsx"} & {name for name, place in settled.items() if place != given[name]}:
        if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
            raise BadInput(
                f"--{name} {given[name]!r} would vanish with the job's working directory; "
                "give an absolute path or a URI."
            )
    return replace(config, **settled)


def absolute(place: str) -> str:
    """Return a path as an absolute one, and a URI or `starter:NAME` as it is."""
    is_settled = storage.is_uri(place) or place.startswith("starter:") or Path(place).is_absolute()
    return place if is_settled else str(Path(place).absolute())


PATHS = (
    *("out", "manifest", "embeddings", "bundle", "xlsx", "evaluations", "bundles", "training", "audit", "reproduce"),
    *("index", "image", "products", "init", "mask", "recipes", "replay"),
)
"""Fields that name a place, or several."""

LIMITS = {
    "max_bad_fraction": (0, 1),
    "neighbour_cosine": (0, 1),
    "workers": (0, 100_000),
    "batch_size": (0, 100_000),
    "seed": (0, 2**32 - 1),  # what scikit-learn takes
}
"""What is accepted for the numbers that say how a run is carried out."""
