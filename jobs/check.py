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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gencv.core import storage
from gencv.core.contracts import Judged
from gencv.core.errors import BadImage, BadInput, TooManyBad, UnknownName
from gencv.core.manifest import read_image
from gencv.core.record import picture_id
from gencv.evaluate.thresholds import threshold_of
from gencv.evaluate.verdicts import judge
from gencv.images.decode import decode
from gencv.images.faces import Face, find_faces
from gencv.models import bundle
from gencv.models.detectors import Detector
from gencv.provenance import stamp
from gencv.runs.launch import launch


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
    detector = bundle.load(config.bundle) if config.bundle else None
    threshold = threshold_of(detector.thresholds, config.threshold) if detector else 0.0
    if config.faces != "largest" and not (detector and cuts_faces(detector)):
        raise BadInput(f"{config.bundle or 'No bundle'} judges whole pictures; leave --faces out.")
    told = {"bundle": bundle.digest(config.bundle)} if detector else {}
    num_bad = num_files = 0
    for file in files_of(config.files):
        num_files += 1
        try:
            data = bytes_of(file)
            lines = (
                verdicts(detector, threshold, file, data, config)
                if detector
                else [{"file": file, "id": picture_id(data)}]
            )
            origin = {"provenance": stamp.read(data, image=decode(data)).to_dict()} if config.provenance else {}
            lines = [{**line, "error": None, **origin} for line in lines]
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


def verdicts(detector: Detector, threshold: float, file: str, data: bytes, config: Config) -> list[dict[str, Any]]:
    """Return a line for the picture, or for each of the faces that are judged. Raises BadImage."""
    lines = []
    for face, judged in judge_file(detector, data, config):
        verdict = judge(judged, threshold, detector.band, detector.labels, id=picture_id(data), uri=file)
        line = {"file": file, "task": detector.task, **asdict(verdict), "scores": both(detector.labels, verdict.score)}
        del line["uri"]
        if detector.kinds:
            line |= kind_of(detector, judged, verdict.label == detector.labels[1])
        lines.append(line | ({"face": asdict(face)} if face else {}))
    return lines


def cuts_faces(detector: Detector) -> bool:
    """Say whether a detector looks at faces, not at whole pictures."""
    return detector.preprocessing is not None and detector.preprocessing.crop == "face"


def bytes_of(file: str) -> bytes:
    """Read a file. Raises BadImage."""
    data = read_image(file)
    if isinstance(data, BadImage):
        raise data
    return data


def judge_file(detector: Detector, data: bytes, config: Config) -> list[tuple[Face | None, Judged]]:
    """Return what the detector says of a picture, or of the faces in it. Raises BadImage."""
    image = decode(data, min_side_px=detector.prepare.decode_side_px)
    found: list[Face | None] = [None]
    if cuts_faces(detector):
        found = [*FACES[config.faces](find_faces(image))]
        if not found:
            raise BadImage("no_face")
    return [(face, detector.judge_image(image, face=face, reencode=config.reencode)) for face in found]


def both(labels: tuple[str, str], score: float) -> dict[str, float]:
    """Return the score of either label, best first."""
    found = {labels[1]: score, labels[0]: 1 - score}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def kind_of(detector: Detector, judged: Judged, is_positive: bool) -> dict[str, Any]:
    """Say which kind of positive a picture is, `none` for one that was not called positive."""
    if not is_positive:
        return {"kind": "none", "kind_score": None}
    best = int(judged.kinds[0].argmax())
    return {"kind": detector.kinds[best], "kind_score": float(judged.kinds[0, best])}


FACES: dict[str, Callable[[list[Face]], list[Face]]] = {"largest": lambda faces: faces[:1], "each": list}
"""Which of the faces in a picture get a line, of a list that starts with the largest."""

if __name__ == "__main__":
    launch(main)
