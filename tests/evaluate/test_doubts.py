import numpy as np
from fakes import blobs

from gencv.core.findings import Level
from gencv.evaluate.doubts import DOUBT_BELOW, doubt_labels, findings_of


def test_turned_labels_are_found_and_the_worst_comes_first() -> None:
    drawn = blobs(400, 0, gap=3.0)
    turned = np.array([10, 77, 200, 333])
    labels = drawn.labels.astype(int)
    labels[turned] = 1 - labels[turned]
    doubts = doubt_labels(drawn.vectors, labels, np.arange(400).astype(str))
    assert set(turned) <= set(doubts.rows) and len(doubts.rows) < 12
    assert (np.diff(doubts.own) >= 0).all() and doubts.own.max() < DOUBT_BELOW
    (finding,) = findings_of(doubts, [f"{row}.jpg" for row in range(400)])
    assert finding.level == Level.WARN and finding.examples[0] == f"{doubts.rows[0]}.jpg"


def test_twins_of_a_wrong_label_do_not_vouch_for_it() -> None:
    drawn = blobs(200, 1, gap=3.0)
    vectors, labels, groups = drawn.vectors.copy(), drawn.labels.astype(int), np.arange(200)
    vectors[20:24], groups[20:24], labels[20:24] = vectors[20], 20, 1 - labels[20]
    doubts = doubt_labels(vectors, labels, groups.astype(str))
    assert {20, 21, 22, 23} <= set(doubts.rows)


def test_clean_and_few_labels() -> None:
    drawn = blobs(200, 2, gap=6.0)
    doubts = doubt_labels(drawn.vectors, drawn.labels.astype(int), np.arange(200).astype(str))
    assert findings_of(doubts, ["x"] * 200) == [] and doubts.auroc.value == 1
    few = doubt_labels(drawn.vectors[:20], drawn.labels[:20].astype(int), np.arange(20).astype(str))
    assert "no verdict on the labels" in findings_of(few, ["x"] * 20)[0].sentence
