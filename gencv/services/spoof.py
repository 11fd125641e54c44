"""Judge files by a detector bundle: what `check` prints, and what the spoof endpoint answers.

    checker = open_checker("/data/runs/bundle")
    lines = checker.check(data)

A file is looked at in two steps, so that a service can put the second of many files into one batch: `examine` decodes,
finds faces, and prepares the pixels; `judge` is the detector and the verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gencv.core.contracts import Judged
from gencv.core.errors import BadImage, BadInput, UnknownName
from gencv.core.record import picture_id
from gencv.evaluate.thresholds import Threshold, threshold_of
from gencv.evaluate.verdicts import judge
from gencv.images.chain import Examined
from gencv.images.decode import Limits, decode
from gencv.images.faces import Face, find_faces
from gencv.models import bundle
from gencv.models.detectors import Detector
from gencv.services.why import EXPLANATIONS, Gallery, open_gallery


@dataclass(frozen=True)
class Subject:
    """A file that is ready to be judged: the whole picture, or some of the faces in it."""

    id: str
    faces: tuple[Face | None, ...]
    """Where they are, in px of the upright picture; (None,) for the picture as a whole."""
    pictures: tuple[Examined, ...]
    """One for each of `faces`."""


@dataclass(frozen=True)
class Checker:
    """A detector, the threshold that decides, and the digest of the bundle that they came from."""

    detector: Detector
    threshold: Threshold
    digest: str
    limits: Limits = field(default_factory=Limits)
    """What a picture may be."""
    gallery: Gallery | None = None
    """Its training pictures, for those nearest to what is judged."""

    @property
    def cuts_faces(self) -> bool:
        """Whether it looks at faces, not at whole pictures."""
        return self.detector.preprocessing is not None and self.detector.preprocessing.crop == "face"

    def examine(self, data: bytes, *, faces: str = "largest", reencode: bool = True) -> Subject:
        """Prepare a file, on a CPU. Raises BadImage or BadInput.

        faces: a key of FACES. reencode: judge three re-encodings too.
        """
        if faces not in FACES:
            raise UnknownName("choice of faces", faces, FACES)
        if faces != "largest" and not self.cuts_faces:
            raise BadInput("This bundle judges whole pictures; leave the choice of faces out.")
        image = decode(data, min_side_px=self.detector.prepare.decode_side_px, limits=self.limits)
        found: tuple[Face | None, ...] = (None,)
        if self.cuts_faces:
            found = tuple(FACES[faces](find_faces(image)))
            if not found:
                raise BadImage("no_face")
        prepare = self.detector.prepare
        return Subject(
            picture_id(data), found, tuple(prepare.examine(image, face=face, reencode=reencode) for face in found)
        )

    def judge(self, subjects: Sequence[Subject]) -> list[list[dict[str, Any]]]:
        """Judge files in one batch; returns the lines of each, one for each of its faces."""
        judged = iter(self.detector.judge_examined([one for subject in subjects for one in subject.pictures]))
        return [[self._line(subject.id, face, next(judged)) for face in subject.faces] for subject in subjects]

    def check(self, data: bytes, *, faces: str = "largest", reencode: bool = True) -> list[dict[str, Any]]:
        """Judge one file. Raises BadImage or BadInput."""
        return self.judge([self.examine(data, faces=faces, reencode=reencode)])[0]

    def explain(self, subject: Subject, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """Say why of each of a file's faces, beside its line. kinds: keys of EXPLANATIONS. Raises NotSupported."""
        return [
            {kind: EXPLANATIONS[kind](self.gallery, self.detector, subject.id, picture.views[0]) for kind in kinds}
            for picture in subject.pictures
        ]

    def _line(self, id: str, face: Face | None, judged: Judged) -> dict[str, Any]:
        detector = self.detector
        verdict = asdict(judge(judged, self.threshold, detector.band, detector.labels, id=id))
        del verdict["uri"]
        line = {"task": detector.task, **verdict, "scores": both(detector.labels, verdict["score"])}
        if detector.kinds:
            line |= kind_of(detector, judged, verdict["label"] == detector.labels[1])
        return line | ({"face": asdict(face)} if face else {})


def open_checker(
    folder: str, *, threshold: str = "eer", device: str = "auto", limits: Limits | None = None, gallery: str = ""
) -> Checker:
    """Open a bundle. Raises BadInput, BrokenBundle, NotSupported, or ModelUnavailable.

    threshold: which of the bundle's. gallery: the embeddings that it was fitted on, for the nearest pictures.
    """
    detector = bundle.load(folder, device=device)
    chosen = threshold_of(detector.thresholds, threshold)
    known = open_gallery(gallery, detector) if gallery else None
    return Checker(detector, chosen, bundle.digest(folder), limits or Limits(), known)


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
