"""What templates and scenes share: a name, and a JSON object that says what they are."""

import json
import re
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadInput


def require_name(kind: str, name: object) -> None:
    """Raise BadInput for what cannot stand in the name of a file."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise BadInput(f"A {kind} is called {name!r}; letters, digits, -, ., and _ are accepted, 64 at most.")


def read_object(place: str, accepted: str) -> dict[str, Any]:
    """Read a JSON object from a path or URI. Raises BadInput, which ends with what is accepted."""
    try:
        values: Any = json.loads(storage.read_bytes(place))
    except (OSError, ValueError, RecursionError) as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read as JSON: {error}"
        raise BadInput(f"{place} {what}; {accepted}.") from None
    if not isinstance(values, dict):
        raise BadInput(f"{place} is no JSON object; {accepted}.")
    return values
