from typing import Any

import numpy as np
import pytest

from gencv.core.findings import Level
from gencv.evaluate.shortcuts import (
    CONTAINER_FACTS,
    CONTENT_FACTS,
    auroc_by_group,
    encode,
    findings_of,
    judge_fact,
    look_for_shortcut,
)

NUM = 240
LABELS = np.arange(NUM) % 2
GROUPS = np.array([f"g{k // 4}-{label}" for k, label in enumerate(LABELS)])
GENERATORS = np.array(["camera" if label == 0 else ("sd", "gan")[k // 2 % 2] for k, label in enumerate(LABELS)])


def facts(**changed: list[Any]) -> dict[str, list[Any]]:
    """Facts that are the same for all pictures, but for a quality and a look that say nothing."""
    rng = np.random.default_rng(0)
    base: dict[str, list[Any]] = {name: [1] * NUM for name in (*CONTAINER_FACTS, *CONTENT_FACTS)}
    base |= {"format": ["JPEG"] * NUM, "mode": ["RGB"] * NUM, "subsampling": ["4:2:0"] * NUM}
    base["quality"] = rng.integers(70, 96, NUM).tolist()
    base["contrast"] = rng.normal(50, 10, NUM).tolist()
    return {**base, **changed}


def test_files_that_are_alike_tell_nothing() -> None:
    found = look_for_shortcut("container", facts(), LABELS, GENERATORS, GROUPS)
    assert found.auroc.low is not None and found.auroc.high is not None
    assert found.auroc.low <= 0.5 <= found.auroc.high
    assert findings_of(found) == []


def test_a_format_that_tells_the_class_fails_and_is_named() -> None:
    kinds = ["PNG" if label else "JPEG" for label in LABELS]
    found = look_for_shortcut("container", facts(format=kinds), LABELS, GENERATORS, GROUPS)
    (finding,) = findings_of(found)
    assert found.auroc.value == 1 and finding.level == Level.FAIL
    assert found.facts[0].fact == "format" and (found.facts[0].genuine, found.facts[0].positive) == (
        "JPEG (100%)",
        "PNG (100%)",
    )
    assert "format most" in finding.sentence and "preprocess --align" in finding.sentence


def test_a_look_that_tells_the_class_warns_only() -> None:
    found = look_for_shortcut("content", facts(mean_luma=(LABELS * 50).tolist()), LABELS, GENERATORS, GROUPS)
    (finding,) = findings_of(found)
    assert found.auroc.value == 1 and finding.level == Level.WARN and "alignment does not mend" in finding.sentence


def test_the_generator_that_is_told_best_comes_first() -> None:
    sizes = [256 if name == "sd" else 300 + k % 50 for k, name in enumerate(GENERATORS)]
    found = look_for_shortcut("container", facts(width=sizes), LABELS, GENERATORS, GROUPS)
    assert [row.generator for row in found.generators] == ["sd", "gan"]
    assert (found.generators[0].auroc.value or 0) > 0.95 > (found.generators[1].auroc.value or 0)


def test_one_generator_of_several_is_a_warning() -> None:
    labels = np.r_[np.zeros(200, int), np.ones(200, int)]
    generators = np.r_[["camera"] * 200, ["odd"] * 40, ["even"] * 160]
    kinds = ["PNG" if name == "odd" else "JPEG" for name in generators]
    constant = {name: [1] * 400 for name in CONTAINER_FACTS} | {"format": kinds}
    found = look_for_shortcut("container", constant, labels, generators, np.arange(400).astype(str))
    (finding,) = findings_of(found)
    assert found.auroc.value == pytest.approx(0.6, abs=0.02) and finding.level == Level.WARN
    assert "odd" in finding.sentence and "not those of all generators" in finding.sentence


def test_too_few_pictures_give_no_verdict_and_a_warning() -> None:
    few = slice(0, 50)
    cut = {name: values[few] for name, values in facts().items()}
    found = look_for_shortcut("container", cut, LABELS[few], GENERATORS[few], GROUPS[few])
    (finding,) = findings_of(found)
    assert found.auroc.value is None and finding.level == Level.WARN and "25 genuine pictures" in finding.sentence


def test_a_figure_that_a_few_groups_may_give_by_chance_warns_only() -> None:
    groups = np.array([f"{label}{k // 2 % 5}" for k, label in enumerate(LABELS)])
    width = [float(group[1]) + (0.5 if label else 0) for group, label in zip(groups, LABELS, strict=True)]
    found = look_for_shortcut("container", facts(width=width), LABELS, GENERATORS, groups)
    for finding in findings_of(found):
        assert finding.level == Level.WARN or (found.auroc.low or 0) > 0.5


def test_the_interval_is_drawn_by_group() -> None:
    rng = np.random.default_rng(0)
    scores = LABELS * 0.5 + np.repeat(rng.normal(size=NUM // 4), 4)
    by_row = auroc_by_group(LABELS, scores, np.arange(NUM).astype(str))
    by_group = auroc_by_group(LABELS, scores, GROUPS)
    assert by_row.value == by_group.value
    assert by_group.high - by_group.low > by_row.high - by_row.low  # type: ignore[operator]


def test_words_numbers_truths_and_nothing_are_encoded() -> None:
    words, is_code = encode(["b", None, "a", "b"])
    assert is_code and words.tolist() == [2, 0, 1, 2]
    truths, is_code = encode([True, None, False])
    assert not is_code and truths[0] == 1 and np.isnan(truths[1]) and truths[2] == 0
    many, _ = encode([f"word {k}" for k in range(100)] + ["usual"] * 5)
    assert many.max() == 30 and len(set(many)) == 31 and (many[-5:] == many[-1]).all()


def test_a_fact_that_only_one_class_has_tells_it() -> None:
    alone = judge_fact("quality", [90 if label else None for label in LABELS], LABELS, GROUPS)
    assert alone.auroc.value == 1 and (alone.genuine, alone.positive) == ("none", "90")
