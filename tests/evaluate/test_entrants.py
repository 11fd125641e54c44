"""Only what was judged on the same pictures is compared, and what was left out is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import manifest, terms, write_evaluation

from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.evaluate.entrants import Entrant, read_entrant, same_pictures

PICTURES = manifest(12, split="test", source=["phone", "web"] * 6)
SCORES = np.linspace(0.1, 0.9, 12)


@pytest.fixture
def two(tmp_path: Path) -> list[Entrant]:
    """The same pictures in two orders, with the scores that go with them."""
    order = np.arange(12)[::-1].copy()
    write_evaluation(tmp_path / "a", PICTURES, SCORES, threshold=0.4)
    write_evaluation(tmp_path / "b", Manifest(PICTURES.table.take(order)), SCORES[order])
    return [read_entrant(str(tmp_path / name), name) for name in "ab"]


def test_what_was_written_is_read_and_put_into_one_order(two: list[Entrant]) -> None:
    assert two[0].terms.at == 0.4 and two[0].terms.labels == ("real", "generated")
    (first, second), remarks = same_pictures(two)
    assert remarks == [] and first.predictions.table["id"].to_pylist() == PICTURES["id"]
    np.testing.assert_array_equal(first.predictions.scores, second.predictions.scores)
    assert first.predictions.table["source"] == second.predictions.table["source"]


def test_of_other_pictures_the_common_ones_are_compared_and_it_is_said(two: list[Entrant]) -> None:
    fewer = two[1].rows(np.arange(7))  # the last seven, in reverse
    (first, second), remarks = same_pictures([two[0], fewer])
    assert first.predictions.table["id"].to_pylist() == PICTURES["id"][5:]
    np.testing.assert_array_equal(first.predictions.scores, second.predictions.scores)
    assert remarks == ["Not all judged the same pictures (12 of a, 7 of b); the 7 that all have are compared."]


def with_column(each: Entrant, name: str, value: str) -> Entrant:
    table = each.predictions.table
    table = table.set_column(table.column_names.index(name), name, [[value] * len(table)])
    return replace(each, predictions=replace(each.predictions, table=table))


def test_groups_are_those_that_the_first_names(two: list[Entrant]) -> None:
    (_, second), _ = same_pictures([two[0], with_column(two[1], "group", "x")])
    assert second.predictions.table["group"].to_pylist() == PICTURES["group"]


def test_what_is_less_than_fair_is_said(two: list[Entrant]) -> None:
    other = replace(two[1], terms=terms(name="fpr1", fitted_on="another"))
    _, remarks = same_pictures([two[0], with_column(other, "split", "val")])
    text = " ".join(remarks)
    assert "split val" in text and "a at eer, b at fpr1" in text and "different manifests" in text


def test_what_cannot_be_compared_is_one_sentence(two: list[Entrant]) -> None:
    spoofs = replace(two[1], terms=terms(task="spoof", labels=("live", "spoof")))
    with pytest.raises(BadInput, match=r"a tells generated from real and b spoof from live"):
        same_pictures([two[0], spoofs])
    with pytest.raises(BadInput, match=r"have 6 labelled pictures in common, 6 genuine and 0 positive"):
        same_pictures([two[0], two[1].rows(np.arange(1, 12, 2))])
    table = two[1].predictions.table
    turned = table.set_column(table.column_names.index("label"), "label", [[1 - v for v in table["label"].to_pylist()]])
    with pytest.raises(BadInput, match=r"different labels for 12 of the same pictures"):
        same_pictures([two[0], replace(two[1], predictions=replace(two[1].predictions, table=turned))])


def test_a_folder_that_is_no_finished_evaluation(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no finished evaluation"):
        read_entrant(str(tmp_path), "a")
    write_evaluation(tmp_path / "a", PICTURES, SCORES)
    (tmp_path / "a" / "terms.json").write_text("{}")
    with pytest.raises(BadInput, match="cannot be read"):
        read_entrant(str(tmp_path / "a"), "a")
