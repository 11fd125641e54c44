"""The words that data sets use for our two labels and three splits."""

from collections.abc import Collection
from typing import Any

from gencv.core.errors import BadSource
from gencv.core.record import Split

_GENUINE = ("real", "live", "genuine", "bonafide", "bona_fide", "bona-fide", "authentic", "nature")
_POSITIVE = ("fake", "spoof", "attack", "ai", "generated", "synthetic")

GENUINE = frozenset((*_GENUINE, *(f"0_{word}" for word in _GENUINE)))
"""Words for label 0, in lower case."""

POSITIVE = frozenset((*_POSITIVE, *(f"1_{word}" for word in _POSITIVE)))
"""Words for label 1, in lower case."""

SPLIT_OF = {
    "train": Split.TRAIN,
    **dict.fromkeys(("val", "valid", "validation"), Split.VAL),
    "test": Split.TEST,
}
"""Split words. `dev` is not among them: for some it is validation, for FACEAUTH it is the final test."""


def label_of(value: Any, positive: Collection[str] = ()) -> int | None:
    """Return 1 (spoof or generated), 0 (live or real), or None where there is no value.

    value: 0 or 1 as a number or text, or a word of GENUINE or POSITIVE in any case. positive: if given, the texts that
    are label 1, in any case; every other value is label 0. Raises BadSource for a value that says neither.
    """
    if value is None or value != value or value == "":  # NaN is how a table says that a number is absent
        return None
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    word = str(int(value) if whole else value).strip().lower()
    if positive:
        return int(word in {name.lower() for name in positive})
    label = 1 if word in POSITIVE or word == "1" else 0 if word in GENUINE or word == "0" else None
    if label is None:
        raise BadSource(
            f"The label {value!r} says neither genuine nor positive; accepted: 0, {', '.join(_GENUINE)}; 1, "
            f"{', '.join(_POSITIVE)}; or name those that are label 1 with positive=NAME, or set label=0, 1, or none."
        )
    return label


def split_of(value: Any) -> Split | None:
    """Return our split for a data set's word, None where there is no value. Raises BadSource for an unknown word."""
    if value is None or value != value or value == "":
        return None
    word = str(value).strip().lower()
    if word not in SPLIT_OF:
        raise BadSource(
            f"The split {value!r} is unknown; known: {', '.join(SPLIT_OF)} (a table with FACEAUTH's test and dev "
            "takes convention=faceauth, and split=none reads no splits)."
        )
    return SPLIT_OF[word]
