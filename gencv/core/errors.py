"""Every error that gencv raises on purpose.

    GencvError                a person can mend it; its text is one sentence that says how
    ├── BadImage              these bytes are no picture that we accept; `code` says which of IMAGE_FAULTS
    ├── BadInput              a folder, file, column, or option that is not as it must be
    │   ├── UnknownName       a choice that does not exist: what was asked for, and what there is
    │   ├── BadSource         a --source that cannot be read as pictures with labels
    │   ├── NotFound          a picture that an index does not hold
    │   ├── Gone              a version of an index that was there once
    │   ├── InUse             an index that another writer is at; the same again later
    │   ├── KeyReused         a key by which something else was asked for before
    │   └── RunConflict       --out holds a run that was made in another way
    ├── ModelUnavailable      weights that cannot be had here, and the folder to put them in
    ├── BrokenBundle          a detector bundle that is incomplete or does not give its golden scores
    ├── BrokenIndex           a search index with a file that is gone or damaged
    ├── HistoryUnavailable    a ledger whose database cannot be reached just now
    ├── TrainingFailed        a training that cannot go on; its last good checkpoint is kept
    ├── NotSupported          this encoder or detector cannot do that
    ├── ContentFiltered       a picture that a painter does not show, for what it is asked for or what came of it
    ├── QueueFull             as much work waits as may; the same again later
    ├── OutOfMemory           a picture that does not fit into memory, alone and in tiles
    ├── TooManyBad            more pictures failed than --max-bad-fraction allows
    ├── NotReproduced         figures of a finished run that do not follow from its tables; exit code 1
    └── AuditFailed           data that would teach a shortcut or leaks; exit code 3, so that scripts can tell

Programming mistakes are asserts. All arguments go to `super().__init__`, so that an error survives pickling on its
way back from a Ray worker.
"""

from collections.abc import Iterable

IMAGE_FAULTS = {
    "missing": "the file is not there",
    "unreadable": "the file cannot be opened",
    "changed": "the file has changed since the manifest was made",
    "empty": "the file has no bytes",
    "not_an_image": "the bytes are no JPEG, PNG, WebP, BMP, GIF, TIFF, HEIF, or AVIF",
    "truncated": "the picture breaks off before its end",
    "corrupt": "the picture is damaged",
    "too_many_bytes": "the file is larger than the limit",
    "too_many_pixels": "the picture has more pixels than the limit",
    "too_small": "the picture is smaller than the limit",
    "no_face": "no face was found in the picture",
}


class GencvError(Exception):
    """Something that a person can mend; the text says what was wrong and what is accepted."""

    exit_code = 2
    """What a job that ends by this error returns to the shell."""


class BadImage(GencvError):
    """Bytes that are no acceptable picture. `code` is a key of IMAGE_FAULTS, stable and free of addresses."""

    def __init__(self, code: str, detail: str = "") -> None:
        assert code in IMAGE_FAULTS, code
        super().__init__(code, detail)

    @property
    def code(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        code, detail = self.args
        return f"{IMAGE_FAULTS[code]} ({detail})" if detail else IMAGE_FAULTS[code]


class BadInput(GencvError):
    """An input that is not as it must be; the sentence says what is accepted."""


class UnknownName(BadInput):
    """A choice that does not exist: what was asked for, and what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(sorted(known)))

    def __str__(self) -> str:
        kind, name, known = self.args
        return f"Unknown {kind} {name!r}; known: {', '.join(known)}."


class BadSource(BadInput):
    """A source of pictures that cannot be read."""


class NotFound(BadInput):
    """A picture that is asked for by its id, and that an index does not hold."""


class Gone(BadInput):
    """A version of an index that is not there, or no longer."""


class InUse(BadInput):
    """An index that another writer is changing; the same may be tried again."""


class KeyReused(BadInput):
    """A key that makes a request safe to repeat, and came with another request before."""


class RunConflict(BadInput):
    """The output folder holds a run that was made in another way."""


class ModelUnavailable(GencvError):
    """Weights that cannot be had here, and where to put them."""


class BrokenBundle(GencvError):
    """A detector bundle that is incomplete, was changed, or does not give its golden scores on this machine."""


class BrokenIndex(GencvError):
    """A search index of which a file is gone or damaged; the sentence names the file."""


class HistoryUnavailable(GencvError):
    """The ledger of what was said and made, whose database does not answer just now."""


class TrainingFailed(GencvError):
    """A training that cannot go on: where it stopped and what may help. Its last good checkpoint is kept."""


class NotSupported(GencvError):
    """This encoder or detector cannot do what was asked."""


class ContentFiltered(GencvError):
    """A picture that a painter refused to paint, or painted and does not show."""


class QueueFull(GencvError):
    """As much work waits as may; the same may be tried again."""


class OutOfMemory(GencvError):
    """A picture that does not fit into memory, even alone and decoded in tiles."""


class TooManyBad(GencvError):
    """More pictures failed than the job allows; everything else is finished and saved."""


class NotReproduced(GencvError):
    """A finished run whose tables give other figures than it wrote down."""

    exit_code = 1


class AuditFailed(GencvError):
    """An audit that is finished and written, of data that a detector must not be trained or judged on as it is."""

    exit_code = 3
