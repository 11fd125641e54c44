"""Rows with named columns to records: what tables and hub data sets share.

Which column says what is found by its name (COLUMNS); an option such as label_column=NAME says it where the name is
another. `bytes`, or an `image` with bytes in it as the hub writes it, travels with the record; a path is read later.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadSource, UnknownName
from gencv.core.record import FAMILIES, ImageRecord
from gencv.core.words import label_of, split_of
from gencv.datasets.source import Source

COLUMNS = {
    "image": ("bytes", "image", "path", "image_path", "uri", "file_name", "cropped_image"),
    "label": ("label", "labels", "target_class"),
    "generator": ("generator", "folder"),
    "family": ("family",),
    "group": ("group", "identity", "subject"),
    "split": ("split",),
    "caption": ("caption", "captions"),
}
"""The names by which a column is found, the first one that is there; of `image`, all that are there count."""

OPTIONS = (*(f"{role}_column" for role in COLUMNS), "positive")

Row = Mapping[str, Any]


def find_columns(source: Source, present: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns that say each role of COLUMNS; a role that nobody says is absent.

    Raises BadSource if there is no picture column, or a column that an option names.
    """
    found: dict[str, tuple[str, ...]] = {}
    has = f"it has the columns {', '.join(present)}"
    for role, names in COLUMNS.items():
        chosen = source.options.get(f"{role}_column")
        if chosen is not None and chosen not in present:
            raise BadSource(f"{source} has no column {chosen!r}; {has}.")
        known = (chosen,) if chosen is not None else tuple(name for name in names if name in present)
        if known:
            found[role] = known if role == "image" else known[:1]
    if "image" not in found:
        raise BadSource(
            f"{source} has no column of pictures; {has}, and one of {', '.join(COLUMNS['image'])} is accepted, or "
            "name it with image_column=NAME."
        )
    # `target` is 1 for a real picture in FACEAUTH and 1 for a fake one elsewhere, so it is never guessed at.
    if "target" in present and "label" not in found and "label" not in source.options:
        raise BadSource(
            f"{source} has labels in the column 'target' only, which means opposite things to different "
            "people; say convention=faceauth (1 = real) or label_column=target (1 = fake)."
        )
    return found


def records(
    source: Source,
    rows: Iterable[Row],
    columns: Mapping[str, tuple[str, ...]],
    *,
    folder: str,
    name_of: Callable[[int], str],
    label_text: Callable[[Any], Any] = lambda value: value,
) -> Iterator[ImageRecord]:
    """Yield a record a row, in order.

    folder: what relative paths start from. name_of: the uri of row number i, where the row has bytes and no path.
    label_text: turns a label as it is stored into the word that it stands for. A row without a picture becomes a
    record that nobody can read, so that it is counted and not lost. Raises BadSource, naming the row, for a value that
    cannot be what its column says.
    """
    positive = source.names("positive")
    unseen = {name.lower() for name in positive}
    for index, row in enumerate(rows):
        try:
            data, path = _picture(row, columns["image"])
            label = None
            if "label" in columns and "label" not in source.options:
                value = label_text(row[columns["label"][0]])
                unseen.discard(str(value).lower())
                label = label_of(value, positive)
            split = split_of(_value(row, columns, "split")) if "split" not in source.options else None
        except BadSource as error:
            raise BadSource(f"{source}, row {index}: {error}") from None
        yield ImageRecord(
            uri=absolute(path, folder) if path else name_of(index),
            data=data,
            label=label,
            generator=_text(row, columns, "generator") or "unknown",
            family=_family(_text(row, columns, "family")),
            group=_text(row, columns, "group"),
            split=split,
            caption=_captions(_value(row, columns, "caption")),
        )
    if unseen and "label" in columns and "label" not in source.options:
        raise BadSource(f"{source} has no label {sorted(unseen)[0]!r}, which positive= names; nothing would be 1.")


def absolute(path: str, folder: str) -> str:
    """Return a path as it is if it is absolute or a URI, else from `folder`. Raises BadInput for one with keys."""
    storage.require_no_keys(path)
    if storage.is_uri(path) or path.startswith("/"):
        return path
    joined = storage.join(folder, path)
    return joined if storage.is_uri(joined) else str(Path(joined))


def _picture(row: Row, names: Iterable[str]) -> tuple[bytes | None, str]:
    """Return the bytes and the path of a row's picture, as far as its columns say them."""
    data, path, inner = None, "", ""
    for name in names:
        value = row[name]
        if isinstance(value, bytes):
            data = data or value
        elif isinstance(value, str):
            path = path or value
        elif isinstance(value, dict) and value.keys() <= {"bytes", "path"}:
            data = data or value.get("bytes")
            inner = inner or value.get("path") or ""
        elif value is not None:
            raise BadSource(f"the column {name!r} holds {type(value).__name__}; bytes, a path, or both are accepted.")
    # Beside bytes the hub notes a bare file name that leads nowhere; alone it is the path.
    return data, path or ("" if data else inner)


def _value(row: Row, columns: Mapping[str, tuple[str, ...]], role: str) -> Any:
    return row[columns[role][0]] if role in columns else None


def _text(row: Row, columns: Mapping[str, tuple[str, ...]], role: str) -> str:
    value = _value(row, columns, role)
    return "" if value is None or value != value else str(value)


def _family(name: str) -> str:
    if name and name not in FAMILIES:
        raise UnknownName("family", name, FAMILIES)
    return name or "unknown"


def _captions(value: Any) -> tuple[str, ...]:
    if value is None or value != value:
        return ()
    if isinstance(value, list | tuple):
        return tuple(str(text) for text in value)
    return (str(value),) if value != "" else ()
