"""Where pictures come from: one reader a kind of source, and the options that every kind takes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import TypeVar

from gencv.core.errors import BadSource, UnknownName
from gencv.core.record import FAMILIES, ImageRecord, family_of
from gencv.core.seeds import uniform_for
from gencv.core.words import SPLIT_OF
from gencv.datasets import coco, folder, history, hub, starter, table
from gencv.datasets.source import Source, parse_source

T = TypeVar("T")
__all__ = ["SOURCES", "Source", "parse_source", "read_source"]


def read_source(text: str) -> Iterator[ImageRecord]:
    """Yield the pictures of `KIND:LOCATION?key=value&...` in an order that never changes.

    Every kind takes these options; what they say goes before what the source says:
    label=0|1|none, generator=NAME, family=NAME of FAMILIES (of the positives, where the source itself says which they
    are), source=NAME; split=train|val|test fixes the split of all,
    split=none reads no splits; free=train (or train,val) leaves the source's own train rows free, so that a val split
    can be drawn from them beside an official test set; fraction=0..1 is a random subset, the same one every time;
    limit=N stops after N pictures in order, so it is for trying out. The other options stand in each kind's module.
    Raises UnknownName for an unknown kind, option, or family, and BadSource for a source without pictures.
    """
    source = parse_source(text)
    if source.kind not in SOURCES:
        raise UnknownName("kind of source", source.kind, SOURCES)
    records = _complete(source, SOURCES[source.kind](source))
    # The first picture is read here, so that a mistake shows at the call and not in a loop far away.
    first = next(records, None)
    if first is None:
        raise BadSource(f"{source} gives no pictures; look at the location, at fraction=, and at the splits it reads.")
    return chain([first], records)


def _complete(source: Source, records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
    """Apply the common options to what a reader found."""
    options = dict(source.options)
    if options.get("label") == OWN_LABELS.get(source.kind, ""):
        del options["label"]
    label = _choice(source, "label", options.get("label", "none"), {"0": 0, "1": 1, "none": None})
    split = _choice(source, "split", options.get("split", "none"), {**SPLIT_OF, "none": None})
    free = {_choice(source, "free", name, SPLIT_OF) for name in source.names("free")}
    fraction = _fraction(source)
    limit = source.integer("limit", 0, 1) if "limit" in options else None
    family = options.get("family")
    if family is not None and family not in FAMILIES:
        raise UnknownName("family", family, FAMILIES)

    def complete(record: ImageRecord) -> ImageRecord:
        known = label if "label" in options else record.label
        # What made the positives of a source that has both classes did not make its genuine pictures.
        is_meant = "label" in options or known != 0
        generator = options.get("generator", record.generator) if is_meant else record.generator
        if generator == "unknown" and known == 0:
            generator = "camera"
        found = record.family if record.family != "unknown" else "real" if known == 0 else family_of(generator)
        own_split = split if "split" in options else None if record.split in free else record.split
        return replace(
            record,
            label=known,
            generator=generator,
            family=family if family and is_meant else found,
            source=source.name,
            split=own_split,
        )

    kept = (record for record in records if fraction == 1 or uniform_for(0, record.uri) < fraction)
    return map(complete, islice(kept, limit))


def _choice(source: Source, name: str, value: str, choices: Mapping[str, T]) -> T:
    if value not in choices:
        raise BadSource(f"{source} says {name}={value}; known: {', '.join(choices)}.")
    return choices[value]


def _fraction(source: Source) -> float:
    text = source.options.get("fraction", "1")
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if not 0 < fraction <= 1:
        raise BadSource(f"{source} says fraction={text}; give a number above 0 and up to 1.")
    return fraction


SOURCES: dict[str, Callable[[Source], Iterator[ImageRecord]]] = {
    "folder": folder.read,
    "table": table.read,
    "coco": coco.read,
    "hf": hub.read,
    "starter": starter.read,
    "history": history.read,
}

OWN_LABELS: dict[str, str] = {"history": history.CORRECTED}
"""What label= says, beside 0, 1, and none, by the kinds that have a word of their own: the source's labels count."""
