"""Every figure on ordinary data and on the data that breaks figures; what they say is read from their texts."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from fakes import texts_of
from matplotlib.figure import Figure
from PIL import Image

from gencv.core.errors import BadInput
from gencv.core.predictions import SCHEMA, Predictions
from gencv.core.record import FAMILIES
from gencv.evaluate.generators import per_generator
from gencv.evaluate.metrics import Metric
from gencv.plots import look
from gencv.plots.bars import draw_generators
from gencv.plots.curves import draw_confusion, draw_histogram, draw_reliability, draw_roc
from gencv.plots.look import to_png
from gencv.plots.maps import MAX_NAMES, draw_map

NAMES = ("real", "generated")


def make_predictions(num: int, one_class: bool = False) -> Predictions:
    rng = np.random.default_rng(0)
    labels = np.zeros(num, int) if one_class else np.arange(num) % 2
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.15), 0, 1)
    columns = {
        "id": [str(k) for k in range(num)],
        "label": labels.tolist(),
        "generator": ["camera" if label == 0 else f"generator {k % 5}" for k, label in enumerate(labels)],
        "family": ["real" if label == 0 else "gan" for label in labels],
        "score": [None if k % 50 == 49 else float(score) for k, score in enumerate(scores)],
    }
    return Predictions(pa.table({name: columns.get(name, [None] * num) for name in SCHEMA.names}, schema=SCHEMA))


CURVES: dict[str, Callable[[Predictions], Figure]] = {
    "roc": lambda rows: draw_roc(rows, threshold=0.5, names=NAMES),
    "confusion": lambda rows: draw_confusion(rows, 0.5, names=NAMES),
    "histogram": lambda rows: draw_histogram(rows, threshold=0.9, names=NAMES),
    "reliability": lambda rows: draw_reliability(rows, names=NAMES),
    "generators": lambda rows: draw_generators(per_generator(rows, 0.5, num_replicates=20), names=NAMES),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(
    "rows", [make_predictions(400), make_predictions(3), make_predictions(20, True), make_predictions(0)]
)
def test_figures_draw_without_a_warning_whatever_the_rows(name: str, rows: Predictions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = to_png(CURVES[name](rows), dpi=50)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    assert pixels.std() > 1, "the figure is not blank"


@pytest.mark.parametrize("name", CURVES)
def test_the_same_rows_give_the_same_bytes(name: str) -> None:
    rows = make_predictions(200)
    png = to_png(CURVES[name](rows), dpi=50)
    assert png == to_png(CURVES[name](rows), dpi=50)
    assert Image.open(io.BytesIO(png)).info.keys() <= {"dpi"}


def test_the_roc_says_auroc_threshold_and_rates() -> None:
    figure = draw_roc(make_predictions(400), threshold=0.5, auroc=Metric(0.9, 0.85, 0.95), names=NAMES)
    texts = texts_of(figure)
    assert "AUROC 0.900 [0.850, 0.950]" in texts and "threshold 0.500" in texts and "FPR" in texts
    assert "both classes" in texts_of(draw_roc(make_predictions(20, True)))


def test_the_confusion_shows_counts_of_every_labelled_row() -> None:
    texts = texts_of(draw_confusion(make_predictions(400), 0.5, names=NAMES))
    assert "real\n(200)" in texts and "8 without an answer" in texts


def test_generators_stand_worst_first_with_their_intervals() -> None:
    rows = per_generator(make_predictions(400), 0.5, num_replicates=50)
    figure = draw_generators(rows, names=NAMES)
    labels = [label.get_text().split("  ")[0] for label in figure.axes[0].get_yticklabels()]
    assert labels == [row.generator for row in rows if not row.is_genuine]
    assert rows[0].rate.text() in texts_of(figure)


def test_a_map_names_what_is_common_and_gathers_the_rest() -> None:
    rng = np.random.default_rng(0)
    names = [f"generator {k}" for k in range(20) for _ in range(20 - k)]
    texts = texts_of(draw_map(rng.normal(size=(len(names), 2)), names, title="All"))
    assert "generator 0 (20)" in texts and "other (" in texts and "generator 19" not in texts
    assert texts.count("generator") == MAX_NAMES - 1
    assert "real (1)" in texts_of(draw_map(np.zeros((1, 2)), ["real"]))
    to_png(draw_map(np.zeros((0, 2)), []), dpi=50)
    with pytest.raises(BadInput, match="2 names for 3 points"):
        draw_map(np.zeros((3, 2)), ["a", "b"])


def test_every_family_has_its_own_colour() -> None:
    assert set(look.FAMILY_COLOURS) == set(FAMILIES)
    assert len(set(look.FAMILY_COLOURS.values())) == len(FAMILIES)
