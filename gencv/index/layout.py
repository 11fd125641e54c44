"""Where an index lies, what its rows are, and how it is opened without a surprise.

An index is a folder with `table.lance`, a table as LanceDB opens it too (`lancedb.connect(FOLDER)`, table "table").
Everything here goes through Lance's own package: LanceDB's has no way to commit what many workers wrote.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import lance
import pyarrow as pa
from pyarrow import fs

from gencv.core import storage
from gencv.core.embeddings import Space
from gencv.core.errors import BadInput, BrokenIndex, GencvError, Gone

TABLE = "table.lance"
FACTS = b"gencv"
"""The key of the table's own metadata that holds the space."""
MAGIC = b"LANC"
"""The last bytes of each of Lance's files."""
SAID = ("uri", "caption", "width", "height", "label", "generator", "family", "source", "split")
"""What is said of a picture: columns of a manifest that a row of the index has too."""
POSTED = "posted:"
"""How the uri of a picture begins that came without a manifest; its id follows. Nothing lies there."""


def row_schema(space: Space) -> pa.Schema:
    """Return the schema of an index's rows; its metadata holds the space."""
    columns = [
        ("id", pa.string()),
        ("digest", pa.string()),  # of all that the row says but its thumbnail, which the id tells
        ("uri", pa.string()),
        ("caption", pa.list_(pa.string())),
        ("vector", pa.list_(pa.float32(), space.dim)),  # of norm 1
        ("thumbnail", pa.binary()),  # JPEG, longer side 256 px at most
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("label", pa.int8()),
        ("generator", pa.string()),
        ("family", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
    ]
    return pa.schema(columns, metadata={FACTS: json.dumps({"space": space.to_dict()})})


def row_digests(rows: pa.Table) -> dict[str, str]:
    """Return, by id, a digest of all that a row of an index says of each picture of a manifest.

    The vector is not in it: the id names the picture's bytes, and the index's space all that is done to them.
    """
    said = (one for some in rows.select(["id", *SAID]).to_batches(max_chunksize=4096) for one in some.to_pylist())
    return {one["id"]: hashlib.blake2b(json.dumps(one).encode(), digest_size=8).hexdigest() for one in said}


def table_path(folder: str) -> str:
    """Return where the table lies; a URI keeps its options."""
    return storage.join(folder, TABLE)


def lance_address(location: str) -> dict[str, Any]:
    """Return {"uri", "storage_options"} as Lance takes a location, of which Arrow's options are part."""
    if not storage.is_uri(location):
        return {"uri": location, "storage_options": None}
    given = {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}
    options: dict[str, str] = {}
    if "region" in given:
        options["aws_region"] = given["region"]
    if endpoint := given.get("endpoint_override"):
        scheme = given.get("scheme", "https")
        options["aws_endpoint"] = endpoint if storage.is_uri(endpoint) else f"{scheme}://{endpoint}"
        options["allow_http"] = str(options["aws_endpoint"].startswith("http://")).lower()
    scheme, _, path = location.partition("?")[0].partition("://")
    return {"uri": f"{scheme}://{quote(path)}", "storage_options": options or None}


def open_table(folder: str, version: int | None = None) -> lance.LanceDataset | None:
    """Open an index at its newest version, or at a given one; None if there is no index.

    Raises BrokenIndex with the name of a file that is gone, cut, or unreadable, and Gone where a version is not there.
    """
    place = table_path(folder)
    if not storage.names_in(storage.join(place, "_versions")):
        # Killed within its first commit, a writer leaves data and a transaction on version 0; more was a table once.
        transactions = storage.names_in(storage.join(place, "_transactions"))
        if storage.exists(storage.join(place, "_indices")) or any(not name.startswith("0-") for name in transactions):
            raise BrokenIndex(f"{storage.join(place, '_versions')} is empty: {folder} is damaged; index anew.")
        return None
    try:
        table = lance.dataset(**lance_address(place))
    except BaseException as error:  # a damaged file may end in a panic of Lance, which is no Exception
        manifest = _newest_manifest(place)
        if storage.is_uri(folder) and _is_whole(*storage.open_at(manifest)):
            raise _unreachable(error, folder) from None
        raise _broken(error, manifest) from None
    if version is not None and version != table.version:
        if version not in {known["version"] for known in table.versions()}:
            raise Gone(
                f"Version {version} of the index is not there; the newest is {table.version}, and older ones stay for "
                "an hour."
            )
        table = table.checkout_version(version)
    if damaged := missing_file(table, place):
        raise BrokenIndex(f"{damaged}: the index in {folder} is damaged; index anew into a new folder.")
    return table


def space_of(table: lance.LanceDataset, folder: str) -> Space:
    """Return the space that a table's vectors live in. Raises BadInput if no index of ours wrote it."""
    try:
        return Space.from_dict(json.loads((table.schema.metadata or {})[FACTS])["space"])
    except (KeyError, ValueError, TypeError):
        raise BadInput(f"{table_path(folder)} is a table of something else; give the folder of an index.") from None


def check_space(table: lance.LanceDataset, space: Space, folder: str) -> None:
    """Raise BadInput if vectors of `space` do not belong into a table."""
    theirs = space_of(table, folder)
    if theirs != space:
        raise BadInput(
            f"The index in {folder} is in the space of {theirs.encoder} ({theirs.digest()}), and the vectors are in "
            f"that of {space.encoder} ({space.digest()}); two spaces never mix, so index into a new folder."
        )


@contextmanager
def reading(table: lance.LanceDataset, folder: str) -> Iterator[None]:
    """Turn what Lance raises at a damaged file into BrokenIndex that names the file."""
    try:
        yield
    except (GencvError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # see open_table
        if type(error) is ValueError:  # what was asked is at fault; the errors of damage are others or below it
            raise
        place = table_path(folder)
        damaged = missing_file(table, place) or damaged_index(place) or unreadable_file(table, place)
        raise (_broken(error, damaged) if damaged else _unreachable(error, folder)) from None


def missing_file(table: lance.LanceDataset, place: str) -> str | None:
    """Return the first file of a version that is not there or not of its size, with what is wrong; one listing."""
    sizes = storage.sizes_in(storage.join(place, "data"))
    for fragment in table.get_fragments():
        for file in fragment.metadata.files:
            size = sizes.get(str(file.path))
            where = storage.join(place, "data", str(file.path))
            if size is None:
                return f"{where} is gone"
            if file.file_size_bytes and size != file.file_size_bytes:
                return f"{where} has {size} bytes instead of {file.file_size_bytes}"
    return None


def unreadable_file(table: lance.LanceDataset, place: str) -> str | None:
    """Return the first data file that cannot be read; reads them all."""
    for fragment in table.get_fragments():
        try:
            for _ in fragment.to_batches():
                pass
        except BaseException:  # see open_table
            return storage.join(place, "data", str(fragment.metadata.files[0].path)) + " cannot be read"
    return None


def damaged_index(place: str) -> str | None:
    """Return the first index file that does not end as Lance's files do."""
    system, path = storage.open_at(storage.join(place, "_indices"))
    for info in system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True)):
        of_lance = info.type == fs.FileType.File and info.extension in ("lance", "idx")
        if of_lance and not _is_whole(system, info.path):
            return f"{info.path} cannot be read"
    return None


def _is_whole(system: fs.FileSystem, path: str) -> bool:
    with system.open_input_file(path) as file:
        size = file.size()
        return bool(size >= len(MAGIC) and file.read_at(len(MAGIC), size - len(MAGIC)) == MAGIC)


def _newest_manifest(place: str) -> str:
    """Return the manifest that Lance opens first: names count down, so that the newest sorts first."""
    return storage.join(place, "_versions", storage.names_in(storage.join(place, "_versions"))[0])


def _unreachable(error: BaseException, folder: str) -> BaseException:
    """Return what is raised where nothing is damaged, but files or a store do not answer as they should."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    return BadInput(f"The index in {folder} cannot be read just now ({first_line(error)}).")


def _broken(error: BaseException, where: str) -> BaseException:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    return BrokenIndex(f"{where}: the index is damaged, index anew into a new folder ({first_line(error)}).")


def is_conflict(error: OSError) -> bool:
    """Say whether Lance refused a commit because another one came first."""
    return any(words in first_line(error).lower() for words in ("conflict", "already exists"))


def first_line(error: BaseException) -> str:
    """Return the beginning of what an error says: Lance goes on with places in its own source."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
