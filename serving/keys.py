"""Make an API key: `python -m serving.keys NAME --scopes spoof search >> keys`.

The key itself is printed to the terminal once and kept nowhere; the line for the file of keys goes to standard output.
"""

import json
import secrets
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from gencv.core.errors import BadInput
from gencv.runs.launch import launch
from serving.door import digest_of

SCOPES = ("spoof", "search", "diffusion", "web")


@dataclass(frozen=True, kw_only=True)
class Config:
    name: Annotated[str, tyro.conf.Positional]
    """Whose it is; it stands in every line of the log."""
    scopes: tuple[str, ...]
    """Applications that it opens: a subset of SCOPES."""
    rate_per_minute: int | None = None
    """Requests; default: what the configuration says."""

    def __post_init__(self) -> None:
        if not set(self.scopes) <= set(SCOPES) or not self.scopes:
            raise BadInput(f"Scopes are some of {', '.join(SCOPES)}.")
        if self.rate_per_minute is not None and self.rate_per_minute < 1:
            raise BadInput("A rate is 1 or more requests a minute.")


def main(config: Config) -> None:
    secret = secrets.token_urlsafe(32)
    print(f"The key, shown this once: {secret}", file=sys.stderr)
    line: dict[str, object] = {"name": config.name, "sha256": digest_of(secret), "scopes": config.scopes}
    if config.rate_per_minute is not None:
        line["rate_per_minute"] = config.rate_per_minute
    print(json.dumps(line))


if __name__ == "__main__":
    launch(main)
