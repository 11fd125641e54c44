"""Pictures in folders, labelled by the names of the folders above them.

    folder:/data/ForenSynths/test          progan/airplane/0_real, progan/airplane/1_fake ...
    folder:/data/faces?positive=masks      any two or more class folders; `masks` is label 1
    folder:s3://bucket/photos?label=0      no class folders

Options beside the common ones: positive=NAME[,NAME] names the folders that are label 1, all others being label 0;
group=folder makes the folder that a picture lies in (its path below the location) its group, for one folder a person;
group=stem makes it the file name up to its last "_" or "-", for files such as 0042_03.jpg.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pyarrow import fs

from gencv.core import storage
from gencv.core.errors import BadSource
from gencv.core.record import ImageRecord, Split, family_of
from gencv.core.words import GENUINE, POSITIVE, SPLIT_OF
from gencv.datasets.source import Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the pictures below a folder or URI, sorted by path; other suffixes and hidden files are passed over.

    A folder name anywhere on the way gives the label (words.GENUINE, words.POSITIVE) or the split (words.SPLIT_OF).
    The generator of a positive picture is the first folder above its label folder that is no split; else a folder
    below it whose name is a known generator; else, with positive=, the label folder's own name.
    Raises BadSource if the folder is not there, has no pictures, or its names say labels or splits of some pictures
    only: a guess would label silently.
    """
    source.accept("positive", "group")
    paths = pictures_below(source.root)
    if not paths:
        raise BadSource(f"{source.root} holds no pictures; known suffixes: {', '.join(SUFFIXES)}.")
    positive = source.names("positive")
    folders = [path.split("/")[:-1] for path in paths]
    _check_positive(source, folders)
    places = [_place(source, parts, positive) for parts in folders]
    _check_complete(source, paths, places)
    for path, place in zip(paths, places, strict=True):
        yield ImageRecord(
            uri=storage.join(source.root, path),
            label=place.label,
            generator=place.generator,
            split=place.split,
            group=group_of(source, path),
        )


@dataclass(frozen=True)
class _Place:
    """What the folders above a picture say."""

    label: int | None
    generator: str
    split: Split | None


def pictures_below(root: str) -> list[str]:
    """Return the sorted paths, relative to `root`, of the pictures below a folder or URI.

    Raises BadSource if `root` is no folder that can be listed.
    """
    system, base = storage.open_at(root)
    try:
        kind = system.get_file_info(base).type
        if kind != fs.FileType.Directory:
            state = "is not there" if kind == fs.FileType.NotFound else "is a file"
            raise BadSource(f"{root} {state}; give a folder of pictures.")
        found = system.get_file_info(fs.FileSelector(base, recursive=True))
        paths = [info.path[len(base.rstrip("/")) + 1 :] for info in found if info.type == fs.FileType.File]
    except UnicodeDecodeError:
        raise BadSource(f"{root} holds a file whose name is no UTF-8; rename it.") from None
    except OSError as error:
        raise BadSource(f"{root} cannot be listed: {error}") from None
    return sorted(path for path in paths if path.lower().endswith(SUFFIXES) and not re.search(r"(^|/)\.", path))


def group_of(source: Source, path: str) -> str:
    """Return what `group=` makes of a picture's relative path: its folder, its stem, or "" where none is asked for.

    Raises BadSource for another value of `group=`.
    """
    rule = source.options.get("group", "")
    parent, _, file = path.rpartition("/")
    stem = file.rpartition(".")[0]
    if rule not in ("", "folder", "stem"):
        raise BadSource(f"{source} says group={rule}; known: folder, stem.")
    return parent if rule == "folder" else re.sub(r"[_-][^_-]*$", "", stem) if rule == "stem" else ""


def _place(source: Source, parts: list[str], positive: tuple[str, ...]) -> _Place:
    lower = [part.lower() for part in parts]
    split = next((SPLIT_OF[part] for part in lower if part in SPLIT_OF), None)
    if positive:
        at = next((index for index, part in enumerate(parts) if part in positive), None)
        return _Place(int(at is not None), _generator(parts, at, parts[at]) if at is not None else "unknown", split)
    marks = [index for index, part in enumerate(lower) if part in GENUINE or part in POSITIVE]
    labels = {int(lower[index] in POSITIVE) for index in marks}
    if "label" in source.options:
        labels = {int(source.options["label"])} if source.options["label"] in ("0", "1") else set()
    if len(labels) > 1:
        raise BadSource(
            f"{'/'.join(parts)} in {source.root} names both a genuine and a positive folder; "
            "say which is label 1 with positive=NAME."
        )
    if labels != {1}:
        return _Place(0 if labels else None, "unknown", split)
    return _Place(1, _generator(parts, marks[0] if marks else None, "unknown"), split)


def _generator(parts: list[str], at: int | None, default: str) -> str:
    """Return the generator of a positive picture whose label is said by folder number `at`."""
    if at is None:
        return default
    above = [part for part in parts[:at] if part.lower() not in SPLIT_OF]
    below = [part for part in parts[at + 1 :] if family_of(part) != "unknown"]
    # A word such as "fake" says what a picture is, not what made it.
    return (*above, *below, "unknown" if default.lower() in POSITIVE else default)[0]


def _check_positive(source: Source, folders: list[list[str]]) -> None:
    """Raise BadSource if `positive=` names a folder that is not there: all pictures would be label 0."""
    positive = source.names("positive")
    if positive and "label" in source.options:
        raise BadSource(f"{source} says both label= and positive=; say one.")
    present = {part for parts in folders for part in parts}
    absent = [name for name in positive if name not in present]
    if absent:
        raise BadSource(f"{source.root} has no folder {absent[0]!r} above a picture; it has {_some(present)}.")


def _check_complete(source: Source, paths: list[str], places: list[_Place]) -> None:
    """Raise BadSource if labels are missing, or splits are said of some pictures only."""
    if "label" not in source.options and any(place.label is None for place in places):
        unsaid = [path for path, place in zip(paths, places, strict=True) if place.label is None]
        names = {path.split("/")[-2] for path in unsaid if "/" in path}
        where = f"in the folders {_some(names)}" if names else "that lie in it directly"
        raise BadSource(
            f"{source.root} says no label for pictures {where}; "
            "name the folders that are spoof or generated with positive=NAME,NAME, or set label=0, 1, or none for all."
        )
    with_split = {place.split is not None for place in places}
    if "split" not in source.options and len(with_split) > 1:
        odd = next(path for path, place in zip(paths, places, strict=True) if place.split is None)
        raise BadSource(
            f"{source.root} has folders named after splits, but {odd} lies in none; set split=train, val, or test for "
            "all, or split=none to read no splits."
        )


def _some(names: set[str]) -> str:
    """Return at most twelve names for a sentence."""
    listed = sorted(names)
    return ", ".join(listed[:12]) + (f", and {len(listed) - 12} more" if len(listed) > 12 else "")
