"""The pages of a comparison: the headline first, the worst before the rest, and nothing that must be guessed."""

import io
import warnings

import numpy as np
from PIL import Image

from gencv.core.manifest import Manifest
from gencv.evaluate.comparison import Difference, McNemar, Pair, compare
from gencv.evaluate.entrants import Entrant
from gencv.evaluate.matrix import Cell, Matrix, TrainingFacts
from gencv.evaluate.metrics import Metric
from gencv.plots.compare import MAX_CELLS, MAX_DRAWN, detectors_report, draw_differences, matrix_report
from gencv.plots.heatmaps import draw_matrix
from gencv.plots.look import to_png


def cell(training: str, generator: str, auroc: float, **facts: object) -> Cell:
    figure = Metric(auroc, auroc - 0.05, auroc + 0.05)
    known = {"is_held_out": training != generator, "is_left_out": False, "num_pictures": 40, "num_groups": 40}
    known |= {"auroc": figure, "recall": figure, "balanced_accuracy": figure, "warning": "", **facts}
    return Cell(training=training, generator=generator, **known)  # type: ignore[arg-type]


def matrix_of(cells: list[Cell]) -> Matrix:
    names = dict.fromkeys(one.training for one in cells)
    counts = dict.fromkeys(("num_train_positive", "num_train_genuine", "num_val_positive", "num_val_genuine"), 9)
    facts = [TrainingFacts(name=name, threshold=0.5, fpr=Metric(0.1), remark="", **counts) for name in names]
    return Matrix(
        by="generator",
        threshold="eer",
        cells=tuple(cells),
        trainings=tuple(facts),
        held_out=Metric(0.71, 0.66, 0.76),
        left_out=Metric(None),
        seen=Metric(0.9),
        remarks=("gan <b>: tested on only.",),
    )


def test_the_page_of_a_matrix_starts_with_what_was_held_out() -> None:
    cells = [cell("sd", "gan", 0.61, warning="too few: 12 test pictures, 30 needed"), cell("gan", "sd", 0.81)]
    page = matrix_report("T", matrix_of([*cells, cell("gan", "gan", 0.95)])).html()
    assert page.index("the worst is AUROC 0.610 [0.560, 0.660], trained on sd, tested on gan") < page.index("<nav")
    assert "0.660 to 0.760; 2 cells" in page and "All but one, mean AUROC" not in page
    assert page.index("Held out: the training never saw") < page.index("Seen in training, so no test")
    assert "gan &lt;b&gt;: tested on only." in page and "gan: too few test pictures" in page


def test_a_page_shows_the_worst_of_very_many_cells() -> None:
    cells = [cell("one", f"g{k}", 0.5 + k / 1000) for k in range(MAX_CELLS + 5)]
    page = matrix_report("T", matrix_of(cells)).html()
    assert f"The worst {MAX_CELLS} of {MAX_CELLS + 5}; all stand in compare.json." in page
    assert f"Shown are the worst {MAX_DRAWN} of {MAX_CELLS + 5}." in page
    assert f"<td>g{MAX_CELLS - 1}</td>" in page and f"<td>g{MAX_CELLS}</td>" not in page


def test_seen_cells_stand_in_brackets_and_get_no_box() -> None:
    figure = draw_matrix({"a": {"a": 0.4, "b": 0.7}, "b": {"a": 0.6, "b": 0.3}}, seen={("a", "a"), ("b", "b")})
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(texts) == {"(0.400)", "0.700", "0.600", "(0.300)"}
    assert {text for text, drawn in texts.items() if drawn.get_fontweight() == "bold"} == {"0.700", "0.600"}


def entrants(predictions_of: list[np.ndarray]) -> list[Entrant]:
    import pyarrow as pa
    from fakes import manifest, terms

    from gencv.core.predictions import Predictions

    num = len(predictions_of[0])
    rows: Manifest = manifest(
        num,
        split="test",
        generator=["camera", "sd", "camera", "gan"] * (num // 4),
        source=["web", "web", "album", "album"] * (num // 4),
    )
    return [
        Entrant(
            name=f"d{k}",
            terms=terms(),
            predictions=Predictions.of(rows.table, pa.table({"score": scores, "error": rows.table["error"]})),
        )
        for k, scores in enumerate(predictions_of)
    ]


def test_the_page_of_detectors_has_the_verdict_first_and_every_source() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(80) % 2
    scores = [np.clip(truth * gap + rng.uniform(0, 1, 80) * (1 - gap), 0, 1) for gap in (0.6, 0.1)]
    comparison = compare(entrants(scores), remarks=["Not all judged the same pictures <i>."])
    page = detectors_report("T", comparison, ("real", "generated")).html()
    assert page.index("d0 is better than d1: AUROC +") < page.index("<nav")
    assert "pictures &lt;i&gt;" in page and "knows nothing of groups" in page
    failures = page[page.index('id="section-2"') : page.index('id="section-3"')]
    for name in ("sd", "gan", "camera of web", "camera of album"):
        assert f"<td>{name}</td>" in failures
    assert "Share of real pictures called generated, by source, worst first" in failures
    for title in ("Accuracy", "F1", "Precision", "Recall", "McNemar p"):
        assert title in page


def test_differences_draw_without_a_warning_whatever_they_are() -> None:
    told = [
        Difference(value=0.03, low=0.01, high=0.05, p=0.01, p_holm=0.02),
        Difference(value=0.0, low=0.0, high=0.0, p=1.0, p_holm=1.0),
        Difference(value=None, reason="one class"),
    ]
    chance = McNemar(only_first=0, only_second=0, p=1.0)
    pairs = [Pair(first="a", second="b", differences={"auroc": each}, mcnemar=chance) for each in told]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for some in (pairs, pairs[1:2], pairs[2:]):
            png = to_png(draw_differences(some), dpi=50)
            assert np.asarray(Image.open(io.BytesIO(png)).convert("L")).std() > 1
