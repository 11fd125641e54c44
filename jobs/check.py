"""Judge files: one verdict a line, as JSON.

    python jobs/check.py photo.heic scans/*.png --bundle /data/runs/bundle
    python jobs/check.py photo.heic

Runs without Ray. A file that cannot be judged is a line with an error code, and the others still get their verdict. A
bundle that was fitted on faces judges the largest one, or with --faces each gives every face its line. A picture whose
score settles nothing, whose verdict would not survive being saved again, or that is unlike what the detector was
measured on has the label `uncertain` and its `reasons`. Beside the score stands `provenance`: what the file says of
where it comes from (docs/provenance.md). It is evidence for a person, and changes neither score nor label. Without a
bundle a line has that alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gencv.core import storage
from gencv.core.errors import BadImage, BadInput, TooManyBad, UnknownName
from gencv.core.manifest import read_image
from gencv.core.record import picture_id
from gencv.images.decode import decode
from gencv.provenance import stamp
from gencv.runs.launch import launch
from gencv.services.spoof import FACES, open_checker


@dataclass(frozen=True, kw_only=True)
class Config:
    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Pictures, or folders of pictures."""
    bundle: str = ""
    """Folder written by probe or finetune; default: none, provenance alone."""
    threshold: str = "eer"
    """Which of the bundle's thresholds decides."""
    faces: str = "largest"
    """Which faces are judged by a bundle that was fitted on faces: a key of FACES. A line has the box that was judged,
    in px of the upright picture."""
    provenance: bool = True
    """Read the parameters, credentials, and watermark in each file."""
    reencode: bool = True
    """Judge three re-encodings of each picture too: a verdict that they turn is uncertain."""
    max_bad_fraction: float = 0.05
    """Exit with 2, after all lines, if more than this share of the files cannot be judged."""

    def __post_init__(self) -> None:
        if not self.files:
            raise BadInput("Give at least one file or folder.")
        if not self.bundle and not self.provenance:
            raise BadInput("Without --bundle there is provenance alone; give a bundle, or leave --no-provenance out.")
        if self.faces not in FACES:
            raise UnknownName("choice of faces", self.faces, FACES)


def main(config: Config) -> None:
    checker = open_checker(config.bundle, threshold=config.threshold) if config.bundle else None
    if config.faces != "largest" and not (checker and checker.cuts_faces):
        raise BadInput(f"{config.bundle or 'No bundle'} judges whole pictures; leave --faces out.")
    told = {"bundle": checker.digest} if checker else {}
    num_bad = num_files = 0
    for file in files_of(config.files):
        num_files += 1
        try:
            data = bytes_of(file)
            lines = (
                checker.check(data, faces=config.faces, reencode=config.reencode)
                if checker
                else [{"id": picture_id(data)}]
            )
            origin = {"provenance": stamp.read(data, image=decode(data)).to_dict()} if config.provenance else {}
            lines = [{"file": file, **line, "error": None, **origin} for line in lines]
        except BadImage as bad:
            num_bad += 1
            lines = [{"file": file, "error": bad.code, "detail": str(bad)}]
        for line in lines:
            print(json.dumps({**line, **told}), flush=True)
    if num_files == 0:
        raise BadInput(f"There are no files in {', '.join(config.files)}.")
    if num_bad > config.max_bad_fraction * num_files:
        raise TooManyBad(f"{num_bad} of {num_files} files could not be judged; their lines say why.")


def files_of(places: tuple[str, ...]) -> Iterator[str]:
    """Yield files, and the files in folders."""
    for place in places:
        if not storage.is_uri(place) and Path(place).is_dir():
            yield from (str(path) for path in sorted(Path(place).rglob("*")) if path.is_file() and path.name[0] != ".")
        else:
            yield place


def bytes_of(file: str) -> bytes:
    """Read a file. Raises BadImage."""
    data = read_image(file)
    if isinstance(data, BadImage):
        raise data
    return data


if __name__ == "__main__":
    launch(main)
