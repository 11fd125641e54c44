"""Settings: frozen dataclasses of plain values that travel as JSON and are compared by what they say."""

import hashlib
import json
from dataclasses import MISSING, asdict, fields
from typing import Any, Self

from gencv.core.errors import BadInput


class Settings:
    """What a frozen dataclass of numbers, texts, and tuples of them inherits."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them: lists for tuples."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`. Raises BadInput at unknown or missing keys."""
        known = {
            field.name: field.default is MISSING and field.default_factory is MISSING
            for field in fields(cls)  # type: ignore[arg-type]
        }
        needed = {name for name, is_needed in known.items() if is_needed}
        if not needed <= set(values) <= set(known):
            raise BadInput(
                f"{cls.__name__} settings with the keys {sorted(values)}; known: {', '.join(known)}; "
                f"needed: {', '.join(sorted(needed)) or 'none'}."
            )
        return cls(**values)

    def digest(self) -> str:
        """Digest every field; 16 hex digits."""
        return hashlib.blake2b(json.dumps(self.to_dict(), sort_keys=True).encode(), digest_size=8).hexdigest()
