"""Train on one, test on another: nothing held out is ever seen, and the figures are those of the metrics."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import SCHEMA, Predictions
from gencv.evaluate import matrix as rooms
from gencv.evaluate import metrics
from gencv.evaluate.matrix import Fit, Matrix, Score, cross, trainings_of

GENERATORS = ("sd15", "progan", "print")
FAMILIES = {"sd15": "diffusion", "progan": "gan", "print": "print", "camera": "real"}
SIZES = {"train": 30, "val": 20, "test": 40}


def table(**changes: dict[str, int]) -> Predictions:
    """Rows of three generators and a camera in every split, two a group. changes: `split={generator: how many}`."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for split, size in SIZES.items():
        for generator in ("camera", *GENERATORS):
            for k in range(changes.get(split, {}).get(generator, size)):
                known = {
                    "id": f"{split} {generator} {k}",
                    "label": int(generator != "camera"),
                    "generator": generator,
                    "family": FAMILIES[generator],
                    "group": f"{split} {generator} {k // 2}",
                    "split": split,
                }
                for name, column in columns.items():
                    column.append(known.get(name))
    return Predictions(pa.table(columns, schema=SCHEMA))


def features_of(rows: Predictions) -> np.ndarray:
    """A direction for each generator, and noise: [N, 3]."""
    names = rows.column("generator")
    far = np.stack([names == name for name in GENERATORS], axis=1) * 4.0
    return np.asarray(far + np.random.default_rng(0).normal(size=far.shape))


class Watched:
    """A judge that knows the directions of the generators that it saw, and keeps which rows it was shown."""

    def __init__(self, rows: Predictions) -> None:
        self.rows, self.features = rows, features_of(rows)
        self.calls: list[dict[str, np.ndarray]] = []

    def __call__(self, fitted: np.ndarray, val: np.ndarray) -> Score:
        names = set(self.rows.column("generator")[fitted]) - {"camera"}
        weights = np.array([name in names for name in GENERATORS], float)
        call = {"fitted": fitted, "val": val}
        self.calls.append(call)

        def score(rows: np.ndarray) -> np.ndarray:
            call.setdefault("judged", rows) if len(rows) != len(val) else None
            return np.asarray(1 / (1 + np.exp(3 - self.features[rows] @ weights)))

        return score


def run(rows: Predictions, fit: Fit | None = None, **how: object) -> Matrix:
    return cross(rows, fit or Watched(rows), num_replicates=50, **how)  # type: ignore[arg-type]


def test_no_training_sees_what_is_held_out_nor_its_group_mates() -> None:
    rows = table()
    watched = Watched(rows)
    run(rows, watched)
    names, splits, groups = rows.column("generator"), rows.column("split"), rows.column("group")
    assert len(watched.calls) == 7
    seen_by = []
    for call in watched.calls:
        assert set(splits[call["fitted"]]) == {"train"} and set(splits[call["val"]]) == {"val"}
        assert set(names[call["fitted"]]) == set(names[call["val"]]), "tuned on what it was trained on, and on no other"
        assert (names[call["fitted"]] == "camera").sum() == SIZES["train"]
        seen = np.concatenate([call["fitted"], call["val"]])
        assert not set(groups[seen]) & set(groups[splits == "test"])
        seen_by.append(tuple(sorted(set(names[seen]) - {"camera"})))
    assert sorted(seen_by, key=lambda seen: (len(seen), seen)) == [
        ("print",),
        ("progan",),
        ("sd15",),
        ("print", "progan"),
        ("print", "sd15"),
        ("progan", "sd15"),
        ("print", "progan", "sd15"),
    ]


def test_cells_come_worst_first_and_the_seen_ones_are_marked() -> None:
    found = run(table())
    held_out = [cell for cell in found.cells if cell.is_held_out]
    assert len(found.cells) == 15 and len(held_out) == 9 and found.cells[:9] == tuple(held_out)
    assert [cell.auroc.value for cell in held_out] == sorted(cell.auroc.value or 0.0 for cell in held_out)
    assert found.worst == found.cells[0]
    for cell in found.cells:
        assert cell.is_held_out == (cell.training not in (cell.generator, "all"))
        assert cell.is_left_out == cell.training.startswith("all but")
        assert cell.auroc.value is not None and (cell.auroc.value > 0.7) != cell.is_held_out
        assert cell.num_pictures == 40 and cell.num_groups == 20 and not cell.warning
    mean = np.mean([cell.auroc.value for cell in held_out])
    assert found.held_out.value == pytest.approx(mean)
    assert found.held_out.low is not None and found.held_out.high is not None
    assert found.held_out.low < mean < found.held_out.high
    assert found.seen.value is not None and found.seen.value > 0.8 > 0.6 > (found.left_out.value or 1.0)


def test_a_cell_is_what_the_metrics_say_of_its_pictures() -> None:
    rows = table()
    watched = Watched(rows)
    found = run(rows, watched)
    facts = found.trainings[0]
    cell = next(one for one in found.cells if one.training == facts.name and one.generator == "print")
    at = rows.column("split") == "test"
    mine = np.flatnonzero(at & np.isin(rows.column("generator"), ["camera", "print"]))
    call = watched.calls[0]
    val = rows.where(np.isin(np.arange(len(rows)), call["val"]))
    score = Watched(rows)(call["fitted"], call["val"])
    decision = rooms.settle(rooms.Validation(val.rescored(score(call["val"])).table), rooms.DecisionSettings())
    judged = decision.rescored(rows.where(np.isin(np.arange(len(rows)), mine)).rescored(score(mine)))
    labels, scores = judged.labels, judged.scores
    assert facts.threshold == decision.thresholds["eer"].value
    assert cell.auroc.value == pytest.approx(metrics.auroc(labels, scores).value)
    assert cell.recall.value == pytest.approx(metrics.recall(labels, scores, facts.threshold).value)
    assert cell.balanced_accuracy.value == pytest.approx(
        metrics.balanced_accuracy(labels, scores, facts.threshold).value
    )
    assert facts.fpr.value == pytest.approx(metrics.bpcer(labels, scores, facts.threshold).value)


def test_what_a_training_saw_is_counted() -> None:
    found = run(table(train={"camera": 26, "sd15": 24, "print": 22}, val={"camera": 18, "sd15": 16, "print": 12}))
    facts = {one.name: one for one in found.trainings}
    assert {
        name: (one.num_train_genuine, one.num_train_positive) for name, one in facts.items() if " " not in name
    } == {
        "print": (26, 22),
        "progan": (26, 30),
        "sd15": (26, 24),
        "all": (26, 76),
    }
    assert (facts["print"].num_val_genuine, facts["print"].num_val_positive) == (18, 12)
    assert (facts["all but print"].num_val_genuine, facts["all but print"].num_val_positive) == (18, 36)


def test_few_groups_of_genuine_pictures_make_what_rests_on_them_unreliable() -> None:
    cell = run(table(test={"camera": 10})).cells[0]
    for metric in (cell.auroc, cell.balanced_accuracy):
        assert metric.reason == "unreliable: few groups (5)"
    assert "few groups" not in cell.recall.reason and cell.num_groups == 20


@pytest.mark.parametrize("name", ["all", "all but sd15"])
def test_a_generator_called_like_a_training_on_several_is_refused(name: str) -> None:
    rows = table()
    names = [name if one == "print" else one for one in rows.column("generator")]
    with pytest.raises(BadInput, match=f"A generator is called '{name}', as is a training on several"):
        run(rows.filled(generator=names))


def test_families_are_trained_on_and_held_out_whole() -> None:
    rows = table()
    names = ["print" if name == "gan" else name for name in rows.column("family")]
    place = rows.table.column_names.index("family")
    watched = Watched(Predictions(rows.table.set_column(place, "family", [names])))
    found = run(watched.rows, watched, by="family")
    assert {cell.generator for cell in found.cells} == {"diffusion", "print"} and found.by == "family"
    seen = set(rows.column("generator")[watched.calls[1]["fitted"]])
    assert seen == {"camera", "print", "progan"}


def test_few_test_pictures_are_shown_with_a_warning() -> None:
    found = run(table(test={"print": 29}))
    warned = {cell.generator: cell.warning for cell in found.cells}
    assert warned == {"sd15": "", "progan": "", "print": "too few: 29 test pictures, 30 needed"}


def test_a_generator_without_training_or_test_pictures_is_only_half_there() -> None:
    found = run(table(train={"print": 0}, val={"print": 0}, test={"progan": 0}))
    assert {cell.generator for cell in found.cells} == {"sd15", "print"}
    assert [facts.name for facts in found.trainings] == ["progan", "sd15", "all"]
    assert found.remarks == (
        "print: tested on only, as there are no training pictures.",
        "progan: trained on only, as there are no test pictures.",
    )
    assert {cell.training for cell in found.cells if cell.generator == "print" and cell.is_held_out} == {
        "progan",
        "sd15",
        "all",
    }


def test_no_two_trainings_are_the_same() -> None:
    assert [training.name for training in trainings_of(["a"], ["a", "b"])] == ["a"]
    assert [training.name for training in trainings_of(["a", "b"], ["a", "b"])] == ["a", "b", "all"]
    assert [training.name for training in trainings_of(["a", "b", "c"], ["a", "d"])] == [
        "a",
        "b",
        "c",
        "all but a",
        "all",
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({split: {"progan": 0, "print": 0} for split in SIZES}, "All positives are of one generator, sd15"),
        ({"val": dict.fromkeys(("camera", *GENERATORS), 0)}, "no genuine validation pictures"),
        ({"val": {"print": 0}}, "print has training pictures and no validation pictures"),
        ({"test": {"camera": 0}}, "no genuine test pictures"),
        ({split: dict.fromkeys(GENERATORS, 0) for split in SIZES}, "no positive training pictures"),
    ],
)
def test_what_cannot_be_crossed_is_one_sentence(changes: dict[str, dict[str, int]], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(table(**changes))


def test_a_group_or_a_picture_on_both_sides_is_refused() -> None:
    rows = table()
    for column in ("group", "id"):
        values = rows.column(column).tolist()
        values[-1] = values[0]  # a print of the test, and a genuine training picture
        place = rows.table.column_names.index(column)
        with pytest.raises(BadInput, match="of the test"):
            run(Predictions(rows.table.set_column(place, column, [values])))


def test_a_training_that_saw_a_held_out_generator_is_refused() -> None:
    parts = rooms._Parts(table(), "generator")
    (training, *_), _ = parts.lay_out()
    judged = parts.rows_of(parts.test, training.judged)
    parts.require_apart(parts.rows_of(parts.train, training.seen), judged, training)
    with pytest.raises(BadInput, match=r"saw pictures of progan, which is held out"):
        parts.require_apart(parts.rows_of(parts.train, ("print", "progan")), judged, training)
    parts.require_apart(
        parts.rows_of(parts.train, ("print", "progan")), judged, replace(training, seen=("print", "progan"))
    )


def test_unknown_words_and_a_threshold_that_cannot_be_set() -> None:
    with pytest.raises(UnknownName, match="family, generator"):
        run(table(), by="source")
    with pytest.raises(UnknownName, match="balanced"):
        run(table(), threshold="f1")
    with pytest.raises(BadInput, match=r"gets no threshold fpr1: too_few"):
        run(table(), threshold="fpr1")
