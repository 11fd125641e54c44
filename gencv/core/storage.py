"""Files by path or URI: a local folder and `s3://` or `gs://` through the same functions.

A local write goes to a hidden neighbour first and is renamed, so that a reader sees a whole file or none; an object
store does the same by itself. A name that begins with a dot is such a neighbour and no reader lists it.
"""

import re
import uuid
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs

from gencv.core.errors import BadInput


def is_uri(location: str) -> bool:
    """Say whether a location names its file system, as `s3://bucket/key` does."""
    return "://" in location


def join(location: str, *names: str) -> str:
    """Append names to a path or URI, before the URI's options if it has any."""
    place, options = _split_options(location)
    return "/".join([place.rstrip("/"), *names]) + options


def open_at(location: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path in it.

    Names in a URI stand as they are, not percent-encoded, so that what a listing gives can be joined and opened again.
    """
    if is_uri(location):
        try:
            place, options = _split_options(location)
            scheme, _, path = place.partition("://")
            found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(f"{scheme}://{quote(path)}{options}")
        except (ValueError, OSError) as error:
            raise BadInput(f"{location!r} is no location that can be opened: {error}") from None
        return found
    return fs.LocalFileSystem(), str(Path(location).absolute())


def exists(location: str) -> bool:
    """Say whether a file or folder is there."""
    system, path = open_at(location)
    return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def names_in(location: str) -> list[str]:
    """Return the sorted names in a folder; an absent folder has none."""
    system, path = open_at(location)
    try:
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except NotADirectoryError:
        raise BadInput(f"{location} is a file; give a folder.") from None
    return sorted(info.base_name for info in found if not info.base_name.startswith("."))


def size_of(location: str) -> int:
    """Return the bytes of all files in a folder and below it."""
    system, path = open_at(location)
    found = system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    return sum(info.size for info in found if info.type == fs.FileType.File)


def read_bytes(location: str) -> bytes:
    """Return a file's bytes. Raises FileNotFoundError or OSError as the file system does."""
    system, path = open_at(location)
    with system.open_input_stream(path) as stream:
        return bytes(stream.read())


def write_bytes(location: str, data: bytes | memoryview) -> None:
    """Write a whole file or nothing. Raises BadInput if the place cannot be written."""
    system, path = open_at(location)
    try:
        system.create_dir(path.rpartition("/")[0], recursive=True)
        if not isinstance(system, fs.LocalFileSystem):
            with system.open_output_stream(path) as stream:
                stream.write(data)
            return
        folder, _, name = path.rpartition("/")
        neighbour = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            with Path(neighbour).open("wb") as file:
                file.write(data)
            Path(neighbour).replace(path)
        finally:
            Path(neighbour).unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{location} cannot be written ({error.strerror or error}); choose a folder that can.") from None


def remove(location: str) -> None:
    """Remove a folder with all that is in it; an absent one is removed already."""
    system, path = open_at(location)
    if exists(location):
        system.delete_dir(path)


def _split_options(location: str) -> tuple[str, str]:
    """Cut the options off a URI: "s3://bucket/a?region=x" -> ("s3://bucket/a", "?region=x")."""
    options = re.search(r"\?\w+=[^/?]*$", location) if is_uri(location) else None
    return (location[: options.start()], options.group()) if options else (location, "")
