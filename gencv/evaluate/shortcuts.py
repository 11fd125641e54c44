"""Shortcuts: how well the classes are told apart by what no detector should look at.

A probe takes a few facts of every picture and is judged out of fold. What the *container* probe finds is in the files
alone and can be mended by storing all pictures alike; what the *content* probe finds is in what the pictures show.
Source: Grommelt et al. 2024, arXiv:2403.17608, who found 11 points of accuracy in the format of GenImage's files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gencv.core.findings import Finding, Level
from gencv.evaluate import replicates
from gencv.evaluate.folds import MIN_PICTURES, Enough, enough, fit_trees, out_of_fold
from gencv.evaluate.intervals import bootstrap
from gencv.evaluate.metrics import Metric, auroc, with_interval

WARN_AT = 0.60
"""With 100 pictures of each class an AUROC of no information stays below .58 in 97.5 of 100 cases."""
FAIL_AT = 0.75
"""A detector could be right in two of three cases, whatever it learns of the pictures."""
MAX_CATEGORIES = 30


@dataclass(frozen=True, kw_only=True)
class ProbeKind:
    """Which facts a probe takes, what they are called together, and what is to be done."""

    facts: tuple[str, ...]
    what: str
    remedy: str
    fails: bool
    """Whether it can forbid training: only where the remedy is at hand."""


@dataclass(frozen=True, kw_only=True)
class FactAuroc:
    """How well one fact tells the classes apart by itself, as a probe of one fact, out of fold."""

    fact: str
    auroc: Metric
    genuine: str
    """What is usual in genuine pictures: the most frequent word, or the median."""
    positive: str


@dataclass(frozen=True, kw_only=True)
class GeneratorAuroc:
    """How well a probe tells one generator's pictures from all genuine ones."""

    generator: str
    num_pictures: int
    auroc: Metric


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """What one probe found; no `auroc` where there are too few pictures."""

    probe: str
    counts: Enough
    auroc: Metric
    facts: tuple[FactAuroc, ...] = ()
    """The one that tells most first."""
    generators: tuple[GeneratorAuroc, ...] = ()
    """The one that is told best first."""


def look_for_shortcut(
    probe: str,
    facts: dict[str, list[Any]],
    labels: np.ndarray,
    generators: np.ndarray,
    groups: np.ndarray,
    seed: int = 0,
) -> Shortcut:
    """Judge a probe of PROBES on N labelled pictures.

    facts: by name, N values each: numbers, truths, words, or None; more than the probe takes may be there. labels: 0
    or 1 [N]. generators, groups: str [N].
    """
    kind = PROBES[probe]
    counts = enough(labels, groups)
    if counts.lacking:
        return Shortcut(probe=probe, counts=counts, auroc=Metric(None, reason=counts.lacking))
    scores = _scores(kind.facts, facts, labels, groups, seed)
    single = [judge_fact(name, facts[name], labels, groups, seed) for name in kind.facts]
    genuine = labels == 0
    of_generators = []
    for name in np.unique(generators[~genuine]):
        rows = genuine | (generators == name) & ~genuine
        judged = auroc_by_group(labels[rows], scores[rows], groups[rows], seed)
        num = int((rows & ~genuine).sum())
        of_generators.append(GeneratorAuroc(generator=str(name), num_pictures=num, auroc=judged))
    return Shortcut(
        probe=probe,
        counts=counts,
        auroc=auroc_by_group(labels, scores, groups, seed),
        facts=tuple(sorted(single, key=lambda fact: -(fact.auroc.value or 0))),
        generators=tuple(sorted(of_generators, key=lambda row: -(row.auroc.value or 0))),
    )


def judge_fact(name: str, values: list[Any], labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> FactAuroc:
    """Judge one fact by itself; without an interval, as there are many of them and they are only ranked."""
    scores = _scores((name,), {name: values}, labels, groups, seed)
    usual = [_usual([value for value, own in zip(values, labels, strict=True) if own == label]) for label in (0, 1)]
    return FactAuroc(fact=name, auroc=auroc(labels, scores), genuine=usual[0], positive=usual[1])


def auroc_by_group(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, seed: int = 0) -> Metric:
    """Return the AUROC with its 95 % interval by bootstrap over groups; scores may be NaN."""
    metric = auroc(labels, scores)
    if metric.value is None:
        return metric
    tables = replicates.ranking_tables(labels, scores)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = tables(weights)
        return {"auroc": replicates.auroc(found["tp"], found["fp"])}

    return with_interval(metric, bootstrap(statistics, groups, labels, seed=seed)["auroc"])


def findings_of(shortcut: Shortcut) -> list[Finding]:
    """Say what a probe found, in sentences."""
    kind, metric = PROBES[shortcut.probe], shortcut.auroc
    if metric.value is None:
        sentence = f"There is no verdict on the {shortcut.probe} of the pictures: {metric.reason}."
        return [Finding(level=Level.WARN, part="shortcuts", sentence=sentence)]
    found = []
    if metric.value > WARN_AT:
        # In a few groups such a figure comes by chance: then a person must look, and nothing is forbidden.
        is_sure = metric.low is not None and metric.low > 0.5
        level = Level.FAIL if kind.fails and metric.value > FAIL_AT and is_sure else Level.WARN
        most = ", ".join(fact.fact for fact in shortcut.facts[:3] if (fact.auroc.value or 0) > WARN_AT)
        sentence = (
            f"{kind.what} tells the classes apart with an AUROC of {metric.text()}"
            f"{f' ({most} most)' if most else ''}; {kind.remedy}."
        )
        found.append(Finding(level=level, part="shortcuts", sentence=sentence, weight=metric.value))
    worst = [
        row for row in shortcut.generators if (row.auroc.value or 0) > FAIL_AT and row.num_pictures >= MIN_PICTURES
    ]
    if worst and metric.value <= FAIL_AT:
        sentence = (
            f"{kind.what} tells the pictures of {worst[0].generator} from the genuine ones with an AUROC of "
            f"{worst[0].auroc.text()}, though not those of all generators; {kind.remedy}."
        )
        found.append(Finding(level=Level.WARN, part="shortcuts", sentence=sentence, weight=worst[0].auroc.value or 0))
    return found


def encode(values: Sequence[Any]) -> tuple[np.ndarray, bool]:
    """Return facts as float64 [N], NaN for None, and whether they are codes of categories.

    Words are numbered in their order; from the MAX_CATEGORIES-th most frequent on, all rare ones share a number.
    """
    if not any(isinstance(value, str) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values]), False
    words = np.array(["" if value is None else value for value in values])
    names, counts = np.unique(words, return_counts=True)
    kept = sorted(names[np.argsort(-counts, kind="stable")][:MAX_CATEGORIES].tolist())
    code = {name: float(number) for number, name in enumerate(kept)}
    return np.array([code.get(word, float(MAX_CATEGORIES)) for word in words.tolist()]), True


def _scores(
    names: Sequence[str], facts: dict[str, list[Any]], labels: np.ndarray, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Score by the facts that differ at all; where none does, every picture is as likely."""
    encoded = [encode(facts[name]) for name in names]
    telling = [(column, is_code) for column, is_code in encoded if len(np.unique(column)) > 1]
    if not telling:
        return np.full(len(labels), 0.5)
    features = np.stack([column for column, _ in telling], axis=1)
    codes = [place for place, (_, is_code) in enumerate(telling) if is_code]
    return out_of_fold(features, labels, groups, fit_trees(codes), seed)


def _usual(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    if isinstance(known[0], bool | str):
        words = [{True: "yes", False: "no"}.get(value, str(value)) for value in known]
        word = max(sorted(set(words)), key=words.count)
        return f"{word} ({words.count(word) / len(values):.0%})"
    median = float(np.median(known))
    return f"{median:,.0f}" if abs(median) >= 100 else f"{median:.4g}"


CONTAINER_FACTS = (
    "format",
    "mode",
    "width",
    "height",
    "aspect",
    "quality",
    "standard_tables",
    "luma_step",
    "chroma_step",
    "subsampling",
    "progressive",
    "standard_huffman",
    "has_exif",
    "has_icc",
    "metadata_bytes",
)
CONTENT_FACTS = ("mean_luma", "contrast", "colourfulness", "reference_bytes")

PROBES = {
    "container": ProbeKind(
        facts=CONTAINER_FACTS,
        what="What the files are, without a look at the pictures,",
        remedy="store both classes alike with `preprocess --align` and train on that",
        fails=True,
    ),
    "content": ProbeKind(
        facts=CONTENT_FACTS,
        what="The mere look of the pictures at equal size (light, contrast, colour, detail)",
        remedy="alignment does not mend that, genuine pictures of the same subjects do",
        fails=False,
    ),
}
"""Every shortcut that is looked for, by the facts that a picture has of it."""
