"""The pages of fine-tuning: what they say, and that nothing odd in a training breaks them."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import manifest_of, texts_of, write_pictures
from matplotlib.figure import Figure

from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate.decision import Decision
from gencv.evaluate.evaluation import Terms, figures_of
from gencv.evaluate.kinds import kinds_result
from gencv.evaluate.thresholds import Threshold
from gencv.plots.epochs import draw_accuracies, draw_learning_rate, draw_losses
from gencv.plots.heatmaps import draw_kinds, draw_matrix, worst_first
from gencv.plots.look import to_png
from gencv.plots.training import TrainingRow, comparison_report, finetune_report, seen_in
from gencv.runs.report import Report

LABELS = ("real", "generated")
NAN = float("nan")
RECIPE = {"network": "tiny-vit", "kinds": "family", "learning_rate": 5e-5, "freeze": (), "augmentation": {"flip": True}}
COUNTS = {
    "rows": 500,
    "bad": {"corrupt": 10},
    "split": {"train": 500},
    "label": {"0": 294, "1": 196},
    "family": {"real": 294, "diffusion": 196},
    "generator": {"camera": 294, "flux-ours": 196},
    "source": {"paint": 490},
}
MATRIX = {"first": {"glide": 0.61, "sd15": 0.99}, "second": {"glide": 0.72, "sd15": 0.95, "adm": NAN}}


@dataclass(frozen=True)
class FakeCosts:
    """What a page asks of a training's costs, without torch."""

    device: str = "abacus"
    images_per_s: float = 589.3
    seconds_per_epoch: float = 42.3
    waited_fraction: float = 0.046
    parameters: int = 23_516_000
    trainable: int = 22_100_000
    flops_per_image: float = 8.2e9
    peak_memory_mib: float = 9_120.0
    achieved_share: float = 0.0117


def history(num_epochs: int, **facts: Any) -> list[dict[str, Any]]:
    return [
        {
            "epoch": number,
            "train_loss": 0.7 / number,
            "train_accuracy": 1 - 0.4 / number,
            "learning_rate": 1e-4 * (num_epochs - number) / num_epochs,
            "pictures": 1_000,
            "bad": 0,
            "seconds": 30.0,
            "val_seconds": 6.0,
            "waited_s": 1.5,
            "micro_batch": 0,
            "workers": 2,
            "val_loss": 0.6 / number + 0.1,
            "val_accuracy": 0.9 - 0.3 / number,
            "val_auroc": 0.95 - 0.3 / number,
            **facts,
        }
        for number in range(1, num_epochs + 1)
    ]


def judge(manifest: Manifest, kinds: Sequence[str | None]) -> Predictions:
    """Score everything rightly but the first generated picture and one that gives no answer."""
    labels = manifest["label"]
    scores: list[float | None] = [0.9 if label else 0.1 for label in labels]
    scores[labels.index(1)] = 0.2
    scores[-1] = None
    said = {"score": scores, "kind": kinds, "kind_score": [0.8] * len(labels), "error": [None] * len(labels)}
    said["error"][-1] = "corrupt"
    return Predictions.of(manifest.table, pa.table({**said, "kind": pa.array(kinds, pa.string())}))


@pytest.fixture(scope="module")
def test_rows(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    paths = write_pictures(tmp_path_factory.mktemp("pictures"), 24)
    generators = [["camera <&>", "progan", "camera <&>", "sd15"][k % 4] for k in range(24)]
    families = [["real", "gan", "real", "diffusion"][k % 4] for k in range(24)]
    return manifest_of(paths, generator=generators, family=families, split="test")


def page_of(rows: Manifest, **facts: Any) -> str:
    told = judge(rows, ["gan"] * len(rows))
    threshold = Threshold("eer", 0.5, 0.01, 0.02, 100, 100)
    band = Band(error_rate=0.05, lower=0.3, upper=0.6)
    terms = Terms(
        title="A <training> & more",
        task="generated",
        labels=LABELS,
        split=Split.TEST,
        threshold=threshold,
        calibrator=Calibrator(),
        band=band,
        kinds=facts.pop("kinds", ()),
        num_replicates=20,
    )
    known: dict[str, Any] = {
        "recipe": RECIPE,
        "history": history(4),
        "efficiency": FakeCosts(),
        "decision": Decision(
            Calibrator(kind="platt", num_genuine=9, num_positive=9),
            {"eer": threshold, "fpr1": Threshold("fpr1", None, None, None, 9, 9, "too few")},
            band,
        ),
        "manifest": rows,
        "counts": COUNTS,
    }
    return finetune_report(figures_of(told, None, terms), **{**known, **facts}).html()


@pytest.fixture(scope="module")
def page(test_rows: Manifest) -> str:
    """The page of a training whose second head learnt one of the two families."""
    return page_of(test_rows, kinds=("gan",))


def test_the_page_of_a_training_has_what_a_reader_asks_for(page: str) -> None:
    for figure in ("loss", "accuracy", "learning rate", "ROC", "confusion matrix", "generators", "mistakes", "kinds"):
        assert f'alt="{figure}"' in page, figure
    for words in ("Balanced accuracy", "Equal error rate", "95 % interval", "Accuracy per GFLOP", "589.3", "9,120 MiB"):
        assert words in page, words
    assert "On 2 × abacus." in page and "2.4 min" in page and "1.2%" in page
    assert "9 genuine and 9 positive validation pictures, 30 of each needed" in page
    assert "How sure it is" in page and "Uncertain, of all answered" in page and "at most 5.0% of either class" in page
    assert "too few" in page and "24 pictures of the test split, 1 of them without an answer" in page
    assert "<td>learning_rate</td><td>5e-05</td>" in page


def test_what_was_trained_on_is_listed_by_generator_and_source(page: str) -> None:
    assert "500 pictures (500 train). 10 could not be read." in page
    assert '<td>flux-ours</td><td class="number">196</td><td class="number">40.0%</td>' in page
    assert "<td>paint</td>" in page and "trained on 500 pictures of 1 family and genuine ones" in page


def test_names_are_escaped(page: str) -> None:
    assert "A &lt;training&gt; &amp; more" in page and "camera &lt;&amp;&gt;" in page
    assert "<training>" not in page and "camera <&>" not in page


def test_one_epoch_without_kinds_and_without_a_validation_auroc_has_a_page(test_rows: Manifest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = page_of(test_rows, history=history(1, val_auroc=NAN, val_loss=NAN))
    assert "1 epoch<" in html and "Of the only epoch." in html
    assert "Which kind it is" not in html and 'alt="kinds"' not in html
    line, times = re.findall(r"<tr><td[^>]*>1</td>.*</tr>", html)
    assert re.findall(r">([^<]+)</td>", times) == ["1", "1,000", "0", "33.3", "30.0", "1.5", "6.0"]
    assert re.findall(r">([^<]+)</td>", line)[3:6] == ["–", "0.600", "–"]


def test_kinds_are_judged_among_positives_that_were_called_so(test_rows: Manifest) -> None:
    told = judge(test_rows, ["gan" if family == "gan" else "diffusion" for family in test_rows["family"]])
    found = kinds_result(told, 0.5, ("diffusion", "gan"))
    assert found.truths == ("diffusion", "gan") and found.totals == (6, 6)
    assert found.counts.tolist() == [[5, 0], [0, 5]], "one gan was called real, one diffusion gave no answer"
    assert found.accuracy.value == 1.0 and found.accuracy.low is not None

    wrong = kinds_result(judge(test_rows, ["gan"] * 24), 0.5, ("diffusion", "gan"))
    assert wrong.accuracy.value == 0.5 and wrong.counts.tolist() == [[0, 5], [0, 5]]


def test_kinds_that_were_not_learnt_are_shown_and_not_counted(test_rows: Manifest, page: str) -> None:
    found = kinds_result(judge(test_rows, ["gan"] * 24), 0.5, ("gan",))
    assert found.truths == ("gan", "diffusion") and found.accuracy.value == 1.0
    assert "Not among what the detector learnt: diffusion." in page
    nothing = kinds_result(judge(test_rows, ["gan"] * 24), 0.95, ("print",))
    assert nothing.accuracy.value is None and nothing.counts.sum() == 0


DRAWINGS: dict[str, Callable[[list[dict[str, Any]]], Figure]] = {
    "losses": draw_losses,
    "accuracies": draw_accuracies,
    "learning rate": draw_learning_rate,
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize(
    "epochs", [history(5), history(1), history(60), history(3, val_auroc=NAN, val_loss=NAN, val_accuracy=NAN), []]
)
def test_epochs_draw_without_a_warning(name: str, epochs: list[dict[str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(to_png(DRAWINGS[name](epochs), dpi=50)) > 500


def test_curves_say_where_they_end_and_which_epoch_was_best() -> None:
    epochs = history(4)
    epochs[1]["val_auroc"] = 0.987
    texts = texts_of(draw_accuracies(epochs))
    assert "best AUROC 0.987, epoch 2" in texts and "training\n0.900" in texts and "AUROC 0.875" in texts
    assert "lacks a class" in texts_of(draw_accuracies(history(4, val_auroc=NAN)))
    assert "10^{-5}" in texts_of(draw_learning_rate(history(4)))


def test_names_at_the_ends_of_curves_do_not_touch() -> None:
    figure = draw_accuracies(history(3, val_accuracy=0.9, val_auroc=0.9, train_accuracy=0.9))
    figure.canvas.draw()
    names = [t for t in figure.axes[0].texts if t.get_text().endswith("0.900")]
    boxes = sorted((t.get_window_extent() for t in names), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_the_matrix_shows_every_number_and_boxes_the_worst_of_a_training() -> None:
    figure = draw_matrix(MATRIX)
    shown = {text.get_text(): text.get_fontweight() for text in figure.axes[0].texts}
    assert shown["0.610"] == shown["0.720"] == "bold" and shown["0.990"] == "normal" and "–" in shown
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == worst_first(MATRIX)
    assert worst_first(MATRIX) == ["glide", "sd15", "adm"]


@pytest.mark.parametrize(
    "matrix",
    [{}, {"a": {}}, {"a": {"g": NAN}}, {f"training {k}": {f"g{j}": 0.4 for j in range(15)} for k in range(12)}],
)
def test_a_matrix_of_any_size_draws_without_a_warning(matrix: dict[str, dict[str, float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_png(draw_matrix(matrix), dpi=50)


def test_kinds_draw_for_many_and_for_none() -> None:
    names = [f"generator {k}" for k in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_png(draw_kinds(np.eye(20, dtype=int), names, names), dpi=50)
        to_png(draw_kinds(np.zeros((0, 2), int), [], ["a", "b"]), dpi=50)
        texts = texts_of(draw_kinds(np.array([[3, 1], [0, 0]]), ["a", "c"], ["a", "b"]))
    assert "3\n75%" in texts and "c (not learnt)" in texts


def row(name: str, **facts: Any) -> TrainingRow:
    known: dict[str, Any] = {
        "name": name,
        "network": "tiny-vit",
        "trained_on": "starter",
        "auroc": "0.900 [0.880, 0.920]",
        "accuracy": 0.85,
        "f1": 0.84,
        "precision": 0.83,
        "recall": 0.85,
        "eer": 0.12,
        "images_per_s": 800.0,
        "parameters": 5_000_000,
        "gflops": 0.5,
        "seconds": 120.0,
    }
    return TrainingRow(**{**known, **facts})  # type: ignore[typeddict-item]


def test_a_comparison_names_the_best_and_the_hardest_generator() -> None:
    rows = [row("first"), row("second <b>", auroc="0.950 [0.930, 0.970]", images_per_s=90.0, gflops=5.0)]
    html = comparison_report("Two trainings", rows, MATRIX).html()
    assert html.index("second &lt;b&gt;") < html.index("<td>first</td>"), "best AUROC first"
    assert "The hardest generator is glide: mean AUROC 0.665, at best 0.720 by second." in html
    assert "The lowest figure of all is 0.610, of first on glide." in html
    assert 'alt="AUROC of each training on each generator"' in html
    assert '<td class="number">1.7</td><td class="number">0.425</td>' in html


def test_what_a_training_of_one_generator_saw_is_in_brackets() -> None:
    rows = [row("all", trained_on="all"), row("sd", trained_on="sd15")]
    assert seen_in(rows) == {("all", "sd15"), ("sd", "sd15")}
    assert seen_in([row("baseline", trained_on="all"), row("finetuned", trained_on="all")]) == set()
    matrix = {"all": {"sd15": 0.9, "glide": 0.8}, "sd": {"sd15": 0.7, "glide": 0.75}}
    html = comparison_report("Two", rows, matrix).html()
    assert "but for those in brackets, which it was trained on." in html


def test_a_comparison_stands_without_a_matrix_or_figures() -> None:
    html = comparison_report("One", [row("only", auroc="–", accuracy=None, f1=None, eer=None)]).html()
    assert "What carries over" not in html
    assert isinstance(comparison_report("None", []), Report)
