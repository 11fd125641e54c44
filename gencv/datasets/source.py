"""A source as a person writes it: `KIND:LOCATION?key=value&key=value`."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from gencv.core import storage
from gencv.core.errors import BadSource, UnknownName

COMMON = ("label", "generator", "family", "source", "split", "free", "fraction", "limit")
"""Options of every kind; `sources.read_source` says what they do."""


@dataclass(frozen=True)
class Source:
    """Where pictures are, and what the person says of them. `options` holds the unquoted values as text."""

    kind: str
    location: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The text that `parse_source` turns into this source."""
        options = "&".join(f"{name}={quote(value, safe='/,:')}" for name, value in self.options.items())
        # A location with a "?" of its own needs one more behind it, as only the last one splits.
        return f"{self.kind}:{self.location}" + ("?" if options or "?" in self.location else "") + options

    @property
    def name(self) -> str:
        """What the `source` column says unless the person names it: the kind and the last name of the location."""
        last = self.location.rstrip("/").rpartition("/")[2]
        return self.options.get("source") or (f"{self.kind}:{last}" if last else self.kind)

    @property
    def root(self) -> str:
        """The location as an absolute path or URI."""
        return self.location if storage.is_uri(self.location) else str(Path(self.location).expanduser().absolute())

    def accept(self, *names: str) -> None:
        """Raise UnknownName for an option that is neither common nor among `names`."""
        for name in self.options:
            if name not in COMMON and name not in names:
                raise UnknownName(f"option of {self.kind}: sources", name, (*COMMON, *names))

    def integer(self, name: str, default: int, minimum: int) -> int:
        """Return an option as a whole number. Raises BadSource if it is none or below `minimum`."""
        text = self.options.get(name, str(default))
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII) or int(text) < minimum:
            raise BadSource(f"{self} says {name}={text}; give a whole number of at least {minimum}.")
        return int(text)

    def names(self, name: str) -> tuple[str, ...]:
        """Return an option that is a list with commas; an absent one is empty."""
        return tuple(part.strip() for part in self.options.get(name, "").split(",") if part.strip())


def parse_source(text: str) -> Source:
    """Take `KIND:LOCATION?key=value&...` apart; values are unquoted as in a URL (`%26` is `&`), the location is not.

    Only the last `?` splits off options, so a location that holds one is written with another `?` behind it. Which
    kinds and options exist is not looked at here. Raises BadSource for a text of another shape.
    """
    kind, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[a-z0-9_]+", kind):
        raise BadSource(f"The source {text!r} names no kind; write KIND:LOCATION?key=value, as in folder:/data/faces.")
    location, mark, query = rest.rpartition("?")
    options: dict[str, str] = {}
    for pair in query.split("&") if mark and query else ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadSource(
                f"The source {text!r} has the option {pair!r} without a value; write {name or 'key'}=value "
                "(a location that holds a '?' takes one more '?' behind it)."
            )
        if name in options:
            raise BadSource(f"The source {text!r} says {name}= twice; say it once.")
        options[name] = unquote(value)
    return Source(kind, location if mark else rest, options)
