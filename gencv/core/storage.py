"""Files by path or URI: a local folder and `s3://` or `gs://` through the same functions.

A local write goes to a hidden neighbour first and is renamed, so that a reader sees a whole file or none; an object
store does the same by itself. A name that begins with a dot is such a neighbour and no reader lists it.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs

from gencv.core.errors import BadInput

SECRET = re.compile(r"://[^/:?\s]*:(?!\d{1,5}(?:[/?]|$))|[?&](?:access_key|secret_key|session_token)=")
"""What tells a URI with access keys: a colon before its bucket that stands before no port, or an option."""


def is_uri(location: str) -> bool:
    """Say whether a location names its file system, as `s3://bucket/key` does."""
    return "://" in location


def join(location: str, *names: str) -> str:
    """Append names to a path or URI, before the URI's options if it has any."""
    place, options = _split_options(location)
    return "/".join([place.rstrip("/"), *names]) + options


def suffix_of(location: str) -> str:
    """Return how a file's name ends, in small letters: "s3://bucket/A.JPG?region=x" -> ".jpg"; "" for no ending."""
    return Path(path_of(location)).suffix.lower()


def path_of(location: str) -> str:
    """Return a location without a URI's options: "s3://bucket/a.jpg?region=x" -> "s3://bucket/a.jpg"."""
    return _split_options(location)[0]


def require_no_keys(location: str) -> None:
    """Raise BadInput, which does not repeat it, for a URI that holds access keys.

    A location stands in config.json, manifests, reports, error sentences, and Ray's logs, so no key can stand in it.
    """
    if SECRET.search(location):
        raise BadInput(
            "A URI with access keys is not accepted, as URIs are written into runs and logs; leave them out, and set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on every node, or let the machines' own role decide. The "
            "password of a database comes from PGPASSWORD or ~/.pgpass."
        )


def open_at(location: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path in it.

    Names in a URI stand as they are, not percent-encoded, so that what a listing gives can be joined and opened again.
    Raises BadInput for what is no location, or holds access keys.
    """
    if is_uri(location):
        require_no_keys(location)
        try:
            place, options = _split_options(location)
            scheme, _, path = place.partition("://")
            found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(f"{scheme}://{quote(path)}{options}")
        except (ValueError, OSError) as error:
            raise BadInput(f"{location!r} is no location that can be opened: {error}") from None
        return found
    return fs.LocalFileSystem(), str(Path(location).absolute())


def exists(location: str) -> bool:
    """Say whether a file or folder is there. Raises BadInput where nobody answers or nothing may be read."""
    system, path = open_at(location)
    with _reaching(location):
        return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def names_in(location: str) -> list[str]:
    """Return the sorted names in a folder; an absent folder has none. Raises BadInput as `sizes_in` does."""
    return sorted(sizes_in(location))


def sizes_in(location: str) -> dict[str, int]:
    """Return the bytes of each name in a folder, 0 for a folder; an absent folder has none.

    Raises BadInput for a file or a bucket that is not there, and where nobody answers or nothing may be read.
    """
    system, path = open_at(location)
    with _reaching(location):
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        bucket = path.partition("/")[0]  # "" where the path is absolute, in a file system
        if not found and bucket and system.get_file_info(bucket).type == fs.FileType.NotFound:
            raise BadInput(f"{location} is in no bucket that is there; create {bucket} first, or name another.")
    return {info.base_name: info.size or 0 for info in found if not info.base_name.startswith(".")}


def size_of(location: str) -> int:
    """Return the bytes of all files in a folder and below it."""
    system, path = open_at(location)
    with _reaching(location):
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
        raise BadInput(f"{location} cannot be written ({_reason(error)}); choose a folder that can.") from None


def remove(location: str) -> None:
    """Remove a folder with all that is in it; an absent one is removed already."""
    system, path = open_at(location)
    if exists(location):
        with _reaching(location):
            system.delete_dir(path)


def remove_file(location: str) -> None:
    """Remove a file; an absent one is removed already."""
    system, path = open_at(location)
    if exists(location):
        with _reaching(location):
            system.delete_file(path)


@contextmanager
def _reaching(location: str) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError:
        raise BadInput(f"{location} is a file; give a folder.") from None
    except OSError as error:
        raise BadInput(f"{location} cannot be reached ({_reason(error)}).") from None


def _reason(error: OSError) -> str:
    """Return the first line of what a file system says of an error."""
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[0]


def _split_options(location: str) -> tuple[str, str]:
    """Cut the options off a URI: "s3://bucket/a?region=x" -> ("s3://bucket/a", "?region=x")."""
    options = re.search(r"\?\w+=[^/?]*$", location) if is_uri(location) else None
    return (location[: options.start()], options.group()) if options else (location, "")
