"""Train on one, test on another: does what is learnt from some generators hold on those that were never seen?

A training sees the training pictures of its own generators and all genuine ones, is calibrated and gets its threshold
on its own generators' validation pictures and the genuine ones, and then meets the test pictures of every generator.
Each generator alone is one training, all but one are one (the field's leave-one-out), and all together are one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gencv.core.errors import BadInput, UnknownName
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate import metrics
from gencv.evaluate.decision import DecisionSettings, settle
from gencv.evaluate.generators import note_on_groups, statistics_of_keys
from gencv.evaluate.intervals import NUM_REPLICATES, Statistics, percentiles, replicate
from gencv.evaluate.metrics import Metric
from gencv.evaluate.thresholds import THRESHOLDS
from gencv.evaluate.validation import FEW, Validation

Score = Callable[[np.ndarray], np.ndarray]
"""Rows [K] to uncalibrated P(positive) [K]."""
Fit = Callable[[np.ndarray, np.ndarray], Score]
"""Rows to fit on [M] and rows to validate on [V] to what then scores any rows."""

ALL = "all"
BY = ("generator", "family")
"""What tells the trainings apart."""
_GENUINE = "0 genuine"


@dataclass(frozen=True)
class Training:
    """One training: the generators of its positives, and those whose test pictures it is judged on."""

    name: str
    seen: tuple[str, ...]
    judged: tuple[str, ...]
    left_out: str = ""
    """The generator that it leaves out, where it is one of all but one."""


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a training saw, and what its threshold does to genuine test pictures."""

    name: str
    num_train_positive: int
    num_train_genuine: int
    num_val_positive: int
    num_val_genuine: int
    threshold: float
    fpr: Metric
    remark: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How one training does on one generator's test pictures, against all genuine test pictures."""

    training: str
    generator: str
    is_held_out: bool
    """The training saw no picture of this generator, neither to fit nor to calibrate."""
    is_left_out: bool
    """The training saw every other generator."""
    num_pictures: int
    num_groups: int
    auroc: Metric
    recall: Metric
    balanced_accuracy: Metric
    warning: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Every training on every generator: cells with the held-out ones first, and of these the lowest AUROC first."""

    by: str
    threshold: str
    cells: tuple[Cell, ...]
    trainings: tuple[TrainingFacts, ...]
    held_out: Metric
    """Mean AUROC of the held-out cells."""
    left_out: Metric
    """Mean AUROC of the cells whose training saw every other generator."""
    seen: Metric
    """Mean AUROC of the other cells."""
    remarks: tuple[str, ...]

    @property
    def worst(self) -> Cell:
        """Return the held-out cell of the lowest AUROC."""
        return self.cells[0]


def cross(
    rows: Predictions,
    fit: Fit,
    *,
    by: str = "generator",
    threshold: str = "eer",
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> Matrix:
    """Run every training on every generator.

    rows: labelled pictures of all splits; their scores are not read. threshold: a name of THRESHOLDS, set for each
    training on its own validation rows. All cells meet the same bootstrap replicates, in which the groups of every
    generator are drawn apart. Raises UnknownName, and BadInput where the pictures do not allow it.
    """
    if by not in BY:
        raise UnknownName("--by", by, BY)
    if threshold not in THRESHOLDS:
        raise UnknownName("threshold", threshold, THRESHOLDS)
    parts = _Parts(rows, by)
    trainings, remarks = parts.lay_out()
    done = [_run(parts, training, fit, threshold) for training in trainings]
    figures = _Figures(parts, done, num_replicates, seed)
    cells = [figures.cell(training, generator) for training in trainings for generator in training.judged]
    return Matrix(
        by=by,
        threshold=threshold,
        cells=tuple(sorted(cells, key=lambda cell: (not cell.is_held_out, cell.auroc.value or 0.0, cell.training))),
        trainings=tuple(figures.facts(one) for one in done),
        held_out=figures.mean("held out"),
        left_out=figures.mean("left out"),
        seen=figures.mean("seen"),
        remarks=tuple(remarks),
    )


def trainings_of(learnt: Sequence[str], judged: Sequence[str]) -> list[Training]:
    """Lay out the trainings: each generator alone, all but each that is judged, and all.

    learnt: the generators that have training pictures; judged: those that have test pictures. What would be the same
    as another (all but one of two, all of one) is left out.
    """
    found = [Training(name, (name,), tuple(judged)) for name in learnt]
    if len(learnt) > 2:
        for name in sorted({*learnt} & {*judged}):
            others = tuple(other for other in learnt if other != name)
            found.append(Training(f"all but {name}", others, (name,), left_out=name))
    return found if len(learnt) == 1 else [*found, Training(ALL, tuple(learnt), tuple(judged))]


class _Parts:
    """The rows by what they are for. Every column is [N]."""

    def __init__(self, rows: Predictions, by: str) -> None:
        self.predictions, self.by = rows, by
        self.names = rows.column(by).astype(str)
        self.positive = rows.labels == 1
        split = rows.column("split")
        self.train, self.val, self.test = (split == one.value for one in (Split.TRAIN, Split.VAL, Split.TEST))
        self.groups = metrics.clusters(rows)
        self.ids = rows.column("id").astype(str)
        self.tested = np.flatnonzero(self.test)
        mine = self.tested
        self.keys = np.where(self.positive[mine], np.char.add("1 ", self.names[mine]), _GENUINE)
        """str [T]: of each test row, the stratum that it is drawn in."""

    def lay_out(self) -> tuple[list[Training], list[str]]:
        """Return the trainings and what a reader must know of them. Raises BadInput where there are none."""
        for mask, name in ((self.train, "training"), (self.val, "validation"), (self.test, "test")):
            counts = {"genuine": int((mask & ~self.positive).sum()), "positive": int((mask & self.positive).sum())}
            for kind, count in counts.items():
                if not count:
                    raise BadInput(
                        f"There are no {kind} {name} pictures; every training needs both classes in training, "
                        "validation, and test, so make the manifest with --splits that leave some."
                    )
        learnt, tuned, judged = (
            sorted(set(self.names[mask & self.positive].tolist())) for mask in (self.train, self.val, self.test)
        )
        if len({*learnt, *judged}) < 2:
            raise BadInput(
                f"All positives are of one {self.by}, {learnt[0]}; a comparison of training on one and testing on "
                "another needs two at least."
            )
        if lacking := sorted(set(learnt) - set(tuned)):
            raise BadInput(
                f"{lacking[0]} has training pictures and no validation pictures to set its threshold on; make the "
                "manifest with --splits that leave some."
            )
        remarks = [
            f"{', '.join(names)}: {what}."
            for names, what in (
                (sorted(set(judged) - set(learnt)), "tested on only, as there are no training pictures"),
                (sorted(set(learnt) - set(judged)), "trained on only, as there are no test pictures"),
            )
            if names
        ]
        trainings = trainings_of(learnt, judged)
        names = [training.name for training in trainings]
        if repeated := [name for name in learnt if names.count(name) > 1]:
            raise BadInput(
                f"A {self.by} is called {repeated[0]!r}, as is a training on several; give it another name in the "
                "manifest."
            )
        return trainings, remarks

    def rows_of(self, mask: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """int [K]: the genuine rows of a mask, and the positives of some generators."""
        return np.flatnonzero(mask & (~self.positive | np.isin(self.names, list(names))))

    def count(self, rows: np.ndarray) -> tuple[int, int]:
        """Return how many of the rows are genuine and how many are positive."""
        num_positive = int(self.positive[rows].sum())
        return len(rows) - num_positive, num_positive

    def scored(self, rows: np.ndarray, score: Score) -> Predictions:
        """Return the rows, ascending, with their scores."""
        mask = np.zeros(len(self.predictions), bool)
        mask[rows] = True
        return self.predictions.where(mask).rescored(np.asarray(score(rows), np.float64))

    def require_apart(self, seen: np.ndarray, judged: np.ndarray, training: Training) -> None:
        """Raise BadInput if a training saw what it is judged on: a held-out generator, a picture, or a group mate."""
        held_out = set(training.judged) - set(training.seen)
        if met := held_out & set(self.names[seen][self.positive[seen]].tolist()):
            raise BadInput(f"The training on {training.name} saw pictures of {sorted(met)[0]}, which is held out.")
        for what, column in (("picture", self.ids), ("group", self.groups)):
            if both := set(column[seen].tolist()) & set(column[judged].tolist()):
                raise BadInput(
                    f"The training on {training.name} saw {len(both)} {what}s of the test, {sorted(both)[0]!r} for "
                    "example; a group lies in one split only, so make the manifest again."
                )


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A training that has judged: its figures under weights of all test rows [R, T], and what set its threshold."""

    training: Training
    statistics: Statistics
    threshold: float
    remark: str
    num_fitted: tuple[int, int]
    """Genuine pictures and positives."""
    num_val: tuple[int, int]


def _run(parts: _Parts, training: Training, fit: Fit, threshold: str) -> _Done:
    """Fit, calibrate, set the threshold, and judge, each on its own rows. Raises BadInput."""
    fitted, val = (parts.rows_of(mask, training.seen) for mask in (parts.train, parts.val))
    judged = parts.rows_of(parts.test, training.judged)
    parts.require_apart(np.concatenate([fitted, val]), judged, training)
    score = fit(fitted, val)
    decision = settle(Validation(parts.scored(val, score).table), DecisionSettings())
    chosen = decision.thresholds[threshold]
    if chosen.value is None:
        raise BadInput(
            f"The training on {training.name} gets no threshold {threshold}: {chosen.reason}; choose another "
            "--threshold, or give it more validation pictures."
        )
    scores = decision.rescored(parts.scored(judged, score)).scores
    return _Done(
        training=training,
        statistics=_statistics_of(training, scores, chosen.value, parts.keys, np.isin(parts.tested, judged)),
        threshold=chosen.value,
        remark=chosen.reason,
        num_fitted=parts.count(fitted),
        num_val=parts.count(val),
    )


class _Figures:
    """All figures of all trainings, with intervals from one bootstrap."""

    def __init__(self, parts: _Parts, done: Sequence[_Done], num_replicates: int, seed: int) -> None:
        keys, groups = parts.keys, parts.groups[parts.tested]
        statistics = _together(done)
        self.points = {name: float(value[0]) for name, value in statistics(np.ones((1, len(keys)))).items()}
        self.replicates = replicate(statistics, groups, keys, num_replicates=num_replicates, seed=seed)
        self.num_rows = {str(key): int((keys == key).sum()) for key in np.unique(keys)}
        self.num_groups = {key: len(np.unique(groups[keys == key])) for key in self.num_rows}

    def cell(self, training: Training, generator: str) -> Cell:
        key, place = f"1 {generator}", f"{training.name}\n{generator}"
        num = self.num_rows[key]
        return Cell(
            training=training.name,
            generator=generator,
            is_held_out=generator not in training.seen,
            is_left_out=generator == training.left_out,
            num_pictures=num,
            num_groups=self.num_groups[key],
            auroc=self._metric(f"auroc\n{place}", key, _GENUINE),
            recall=self._metric(f"recall\n{place}", key),
            balanced_accuracy=self._metric(f"balanced\n{place}", key, _GENUINE),
            warning=f"too few: {num} test pictures, {FEW} needed" if num < FEW else "",
        )

    def facts(self, one: _Done) -> TrainingFacts:
        return TrainingFacts(
            name=one.training.name,
            num_train_genuine=one.num_fitted[0],
            num_train_positive=one.num_fitted[1],
            num_val_genuine=one.num_val[0],
            num_val_positive=one.num_val[1],
            threshold=one.threshold,
            fpr=self._metric(f"fpr\n{one.training.name}", _GENUINE),
            remark=one.remark,
        )

    def mean(self, name: str) -> Metric:
        """Return a mean of AUROCs, with nothing in it if there is no such cell."""
        return self._metric(name) if name in self.points else Metric(None)

    def _metric(self, name: str, *keys: str) -> Metric:
        """Return a figure that rests on the pictures of some strata; on those of one alone it is a rate."""
        fewest = min((self.num_groups[key] for key in keys), default=0)
        interval = replace(percentiles(self.replicates[name], fewest), note=note_on_groups(fewest) if keys else "")
        return metrics.with_interval(Metric(self.points[name]), interval, fewest if len(keys) == 1 else 0)


def _statistics_of(
    training: Training, scores: np.ndarray, threshold: float, keys: np.ndarray, judged: np.ndarray
) -> Statistics:
    """Return a function from weights of all test rows [R, T] to the figures of one training; judged: bool [T]."""
    mine = keys[judged]
    labels = (mine != _GENUINE).astype(int)
    statistics = statistics_of_keys(labels, scores, mine, np.unique(mine), threshold)

    def named(weights: np.ndarray) -> dict[str, np.ndarray]:
        values = statistics(weights[:, judged])
        fpr = values[f"rate {_GENUINE}"]
        found = {f"fpr\n{training.name}": fpr}
        for generator in training.judged:
            place, recall = f"{training.name}\n{generator}", values[f"rate 1 {generator}"]
            found |= {f"auroc\n{place}": values[f"auroc 1 {generator}"], f"recall\n{place}": recall}
            found[f"balanced\n{place}"] = (recall + 1 - fpr) / 2
        return found

    return named


def _together(done: Sequence[_Done]) -> Statistics:
    """Join the figures of all trainings, and add the means of their AUROCs."""
    places: dict[str, list[str]] = {"held out": [], "left out": [], "seen": []}
    for training in (one.training for one in done):
        for generator in training.judged:
            name = f"auroc\n{training.name}\n{generator}"
            places["seen" if generator in training.seen else "held out"].append(name)
            places["left out"] += [name] * (generator == training.left_out)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for one in done:
            found |= one.statistics(weights)
        return found | {name: np.mean([found[one] for one in cells], axis=0) for name, cells in places.items() if cells}

    return statistics
