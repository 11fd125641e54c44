"""Pictures that a service judged and kept, with what people said of them (docs/history.md).

    history:sqlite:////data/history.db                        those that somebody labelled, with the last label of each
    history:postgresql://gencv@db.internal/gencv?label=none   all that were kept, not labelled

Options beside the common ones: label=corrected, which is what it does without. A verdict is never a label: what a
detector said of a picture is no truth to train the next one on. A corrected picture that was not kept becomes a row
that cannot be read (`missing`), so that it is counted.
"""

from collections.abc import Iterator

from gencv.core.errors import BadInput, BadSource, HistoryUnavailable
from gencv.core.record import ImageRecord
from gencv.core.words import label_of
from gencv.datasets.source import Source

CORRECTED = "corrected"


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the pictures in the order of their ids. Raises BadSource if there is no history, or none that answers."""
    # The drivers of databases are not needed by those who train on folders.
    from gencv.history.ledger import open_ledger

    source.accept()
    by_people = source.options.get("label", CORRECTED) == CORRECTED
    try:
        ledger = open_ledger(source.location, create=False)
        try:
            found = list(ledger.kept_pictures(corrected=by_people))
        finally:
            ledger.close()
    except (BadInput, HistoryUnavailable) as error:
        raise BadSource(f"{source} cannot be read: {error}") from None
    for id, place, label in found:
        yield ImageRecord(uri=place or f"history:{id}", label=label_of(label))
