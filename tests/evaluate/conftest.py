"""Predictions to measure: drawn from two bells of known distance, with generators of known difficulty."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gencv.core.predictions import SCHEMA, Predictions
from gencv.evaluate.validation import Validation


def make_predictions(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    generators: list[str] | None = None,
    sources: list[str] | None = None,
    groups: list[str | None] | None = None,
    split: str = "val",
    **said: list[Any],
) -> Predictions:
    """Wrap plain columns; a NaN score becomes a picture without an answer."""
    num = len(labels)
    generators = generators or ["camera" if label == 0 else "sd15" for label in labels]
    columns = {
        "id": [f"id{k}" for k in range(num)],
        "uri": [f"{k}.png" for k in range(num)],
        "label": [None if label < 0 else int(label) for label in labels],
        "generator": generators,
        "family": ["real" if label == 0 else "diffusion" for label in labels],
        "source": sources or [None] * num,
        "group": groups or [None] * num,
        "split": [split] * num,
        "score": [None if np.isnan(score) else float(score) for score in scores],
        "error": ["corrupt" if np.isnan(score) else None for score in scores],
        **said,
    }
    kind = Validation if split == "val" and num else Predictions
    return kind(pa.table({name: columns.get(name, [None] * num) for name in SCHEMA.names}, schema=SCHEMA))


@pytest.fixture(scope="session")
def predictions() -> Callable[..., Predictions]:
    return make_predictions


@pytest.fixture
def drawn() -> Callable[..., Predictions]:
    """`drawn(num, seed, split)`: well separated scores in groups of four, with glide the hard generator."""

    def draw(num: int = 2_000, seed: int = 0, split: str = "val") -> Predictions:
        rng = np.random.default_rng(seed)
        labels = np.arange(num) % 2
        names = rng.choice(["sd15", "progan", "glide"], num)
        generators = ["camera" if label == 0 else str(name) for label, name in zip(labels, names, strict=True)]
        logits = rng.normal((labels * 2 - 1) * 2.0 - 3.0 * ((labels == 1) & (names == "glide")), 1.0)
        groups: list[str | None] = [f"g{k // 8}-{label}" for k, label in enumerate(labels)]
        return make_predictions(labels, 1 / (1 + np.exp(-logits)), generators=generators, groups=groups, split=split)

    return draw
