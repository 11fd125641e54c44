"""Whether two contents of metrics.json say the same, figure by figure."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Compare two contents of metrics.json; returns how many figures and words they have, and each that differs.

    Numbers are the same within 1e-9 of their size, for sums on another machine may end in other bits.
    """
    old, new = dict(_leaves(theirs)), dict(_leaves(mine))
    keys = sorted(old.keys() | new.keys())
    absent = object()
    found = []
    for key in keys:
        before, now = old.get(key, absent), new.get(key, absent)
        if not _same(before, now):
            said = ["absent" if value is absent else json.dumps(value) for value in (before, now)]
            found.append(f"{key}: the run says {said[0]}, its tables say {said[1]}")
    return len(keys), found


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, float) and isinstance(now, (int, float)):
        return bool(np.isclose(before, now, rtol=1e-9, atol=1e-12))
    return bool(before == now)


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return the path and value of every number, text, and null in something that JSON holds."""
    if isinstance(value, Mapping):
        return [leaf for key, part in value.items() for leaf in _leaves(part, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        return [leaf for place, part in enumerate(value) for leaf in _leaves(part, f"{path}[{place}]")]
    return [(path, value)]
