"""Judge files: one verdict a line, as JSON.

    python jobs/check.py photo.heic scans/*.png --bundle /data/runs/bundle

Runs without Ray. A file that cannot be judged is a line with an error code, and the others still get their verdict.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gencv.core import storage
from gencv.core.errors import BadImage, BadInput, TooManyBad
from gencv.core.manifest import read_image
from gencv.evaluate.calibration import judge, threshold_of
from gencv.images.decode import decode
from gencv.images.hashing import digest
from gencv.models import bundle
from gencv.models.detectors import ProbeDetector
from gencv.runs.launch import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Pictures, or folders of pictures."""
    bundle: str
    """Folder written by probe."""
    threshold: str = "eer"
    """Which of the bundle's thresholds decides."""
    max_bad_fraction: float = 0.05
    """Exit with 2, after all lines, if more than this share of the files cannot be judged."""

    def __post_init__(self) -> None:
        if not self.files:
            raise BadInput("Give at least one file or folder.")


def main(config: Config) -> None:
    detector = bundle.load(config.bundle)
    threshold = threshold_of(detector.thresholds, config.threshold)
    identity = bundle.digest(config.bundle)
    num_bad = num_files = 0
    for file in files_of(config.files):
        num_files += 1
        line: dict[str, Any] = {"file": file}
        try:
            score, image_id = score_file(detector, file)
            verdict = judge(score, threshold, detector.labels, id=image_id, uri=file)
            line |= {"task": detector.task, **asdict(verdict), "error": None}
            del line["uri"]
        except BadImage as bad:
            num_bad += 1
            line |= {"error": bad.code, "detail": str(bad)}
        print(json.dumps({**line, "bundle": identity}), flush=True)
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


def score_file(detector: ProbeDetector, file: str) -> tuple[float, str]:
    """Return P(positive) and the id of a file. Raises BadImage."""
    data = read_image(file)
    if isinstance(data, BadImage):
        raise data
    return detector.score_image(decode(data, min_side_px=detector.prepare.decode_side_px)), digest(data)


if __name__ == "__main__":
    launch(main)
