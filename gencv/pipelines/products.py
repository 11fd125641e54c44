"""What products a run is given: pictures in files and folders, each under a name that tells it from the others."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa

from gencv.core import storage
from gencv.core.errors import BadInput
from gencv.core.manifest import read_image
from gencv.core.record import picture_id
from gencv.datasets.folder import SUFFIXES, pictures_below

PRODUCTS_SCHEMA = pa.schema([("product", pa.string()), ("uri", pa.string()), ("id", pa.string())])
MAX_NAME_BYTES = 96
"""A file is called by its product and its template, and file systems take 255 bytes."""


def products_in(places: Sequence[str]) -> pa.Table:
    """Return what pictures of products there are in files and folders, as rows of PRODUCTS_SCHEMA, by name.

    A file that cannot be read is a row too. Raises BadInput if a folder is not there or has no picture.
    """
    found: set[str] = set()
    for place in places:
        if storage.suffix_of(place) in SUFFIXES:
            found.add(place)
            continue
        paths = pictures_below(place)
        if not paths:
            raise BadInput(f"{place} holds no pictures of products; known suffixes: {', '.join(SUFFIXES)}.")
        found |= {storage.join(place, path) for path in paths}
    uris = sorted(found)
    rows = []
    # A part is a row: the same products in another order, or in folders that were moved, are the same work.
    for name, uri in sorted(zip(names_of(uris), uris, strict=True)):
        data = read_image(uri)
        rows.append({"product": name, "uri": uri, "id": picture_id(data if isinstance(data, bytes) else b"")})
    return pa.Table.from_pylist(rows, PRODUCTS_SCHEMA)


def names_of(uris: Sequence[str]) -> list[str]:
    """Return what products are called: the ends of their paths, as short as tells them apart, without suffixes.

    Numbers alone say nothing to a reader, so that of such files the folder is named too: backpack-00.
    """
    paths = [storage.path_of(uri).rpartition(".")[0].split("/") for uri in uris]
    least = 1 if all(any(map(str.isalpha, path[-1])) for path in paths) else 2
    ends = ([slug("-".join(path[-count:])) for path in paths] for count in range(least, max(map(len, paths)) + 2))
    return unique(map(shortened, max(ends, key=lambda names: len(set(names)))))


def slug(text: str) -> str:
    """Return a text as one name that any storage takes, and that holds no "--"."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.") or "product"


def shortened(name: str) -> str:
    """Return a name of MAX_NAME_BYTES at most, cut with a digest of the whole."""
    data = name.encode()
    if len(data) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.blake2b(data, digest_size=4).hexdigest()
    return f"{data[: MAX_NAME_BYTES - 9].decode(errors='ignore').rstrip('-.')}-{digest}"


def unique(names: Iterable[str]) -> list[str]:
    """Return names in which every one that comes again has a number, also where that is another's name."""
    seen: Counter[str] = Counter()
    found: dict[str, None] = {}
    for name in names:
        seen[name] += 1
        made = name if seen[name] == 1 else f"{name}-{seen[name]}"
        while made in found:
            seen[name] += 1
            made = f"{name}-{seen[name]}"
        found[made] = None
    return list(found)
