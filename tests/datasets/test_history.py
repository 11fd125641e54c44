"""Corrected pictures, as a source of the next training set."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gencv.core.errors import BadSource, UnknownName
from gencv.core.manifest import read_image
from gencv.core.record import picture_id
from gencv.datasets.sources import read_source
from gencv.history.ledger import open_ledger
from gencv.history.schema import Feedback, Verdict

Jpeg = Callable[[int], bytes]


def source(url: str, options: str = "") -> str:
    return f"history:{url}?{options}"


@pytest.fixture
def history(history_url: str, tmp_path: Path, jpeg: Jpeg) -> str:
    """Pictures 0 to 3, of which 0, 1, and one that was not kept were corrected."""
    ledger = open_ledger(history_url, keep_pictures=str(tmp_path / "kept"))
    pictures = {picture_id(jpeg(number)): jpeg(number) for number in range(4)}
    common = {"bundle": "b", "digest": "d", "task": "spoof", "score": 0.9, "threshold_id": "eer"}
    ledger.write([Verdict(picture_id=id, label="spoof", **common) for id in pictures], pictures)
    first, second, *_ = pictures
    said = ((first, "spoof"), (first, "live"), (second, "fake"), ("0" * 32, "real"))
    ledger.write([Feedback(picture_id=id, label=label) for id, label in said])
    ledger.close()
    return history_url


@pytest.mark.parametrize("options", ["", "label=corrected"])
def test_the_last_label_of_people_counts_and_no_verdict_does(history: str, options: str, jpeg: Jpeg) -> None:
    found = {record.uri.rpartition("/")[2]: record for record in read_source(source(history, options))}
    first, second = picture_id(jpeg(0)), picture_id(jpeg(1))
    assert {uri: record.label for uri, record in found.items()} == {first: 0, second: 1, f"history:{'0' * 32}": 0}
    assert read_image(found[first].uri) == jpeg(0)
    assert (found[first].generator, found[first].group, found[first].split) == ("camera", "", None)


def test_what_was_not_kept_is_a_row_that_says_so(history: str) -> None:
    absent = next(record for record in read_source(source(history)) if record.uri.startswith("history:"))
    assert str(read_image(absent.uri)) == "the file is not there"


@pytest.mark.parametrize(("said", "label"), [("none", None), ("1", 1)])
def test_all_that_were_kept(history: str, said: str, label: int | None) -> None:
    records = list(read_source(source(history, f"label={said}&source=service")))
    assert [(record.label, record.source) for record in records] == [(label, "service")] * 4


def test_other_words_are_refused(history: str, tmp_path: Path, jpeg: Jpeg) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    for text in (source(history, "label=verdict"), f"folder:{tmp_path}?label=corrected"):
        with pytest.raises(BadSource, match="known: 0, 1, none"):
            read_source(text)
    with pytest.raises(UnknownName, match="option of history: sources"):
        read_source(source(history, "positive=a"))


def test_a_history_without_corrections_gives_no_pictures(history_url: str) -> None:
    open_ledger(history_url).close()
    with pytest.raises(BadSource, match="no pictures"):
        read_source(source(history_url))
