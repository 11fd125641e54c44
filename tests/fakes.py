"""Things that tests make: pictures, manifests, and an encoder that a person can predict."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.calibrator import Calibrator
from gencv.core.embeddings import SPACE, VECTORS, Space, vector_column, vector_schema
from gencv.core.manifest import SCHEMA, Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split, picture_id

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gencv.evaluate.evaluation import Terms
    from gencv.models.probes import Labelled


def rows(count: int, **columns: Any) -> pa.Table:
    """Make `count` manifest rows; a column is one value for all rows, or a list."""
    base: dict[str, Any] = {
        "id": [f"{index:032x}" for index in range(count)],
        "uri": [f"/pictures/{index}.jpg" for index in range(count)],
        "label": [index % 2 for index in range(count)],
        "generator": ["sd" if index % 2 else "camera" for index in range(count)],
        "family": ["diffusion" if index % 2 else "real" for index in range(count)],
        "source": "test",
        "group": [f"g{index}" for index in range(count)],
        "split": "train",
        "caption": [[]] * count,
    }
    base.update(columns)
    full = {name: value if isinstance(value, list) else [value] * count for name, value in base.items()}
    return pa.Table.from_pylist([{name: value[i] for name, value in full.items()} for i in range(count)], SCHEMA)


def manifest(count: int, **columns: Any) -> Manifest:
    return Manifest(rows(count, **columns))


def picture(seed: int, width: int = 96, height: int = 72) -> np.ndarray:
    """Make a smooth picture with some texture, uint8 RGB [H, W, 3], another one for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 32
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-3, 3, (3, 3))]
    return np.clip(np.stack(waves, -1) * 80 + 128 + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int, *, first: int = 0, size: tuple[int, int] = (96, 72)) -> list[Path]:
    """Write `count` JPEG pictures."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.jpg" for index in range(first, first + count)]
    for index, path in enumerate(paths, first):
        Image.fromarray(picture(index, *size)).save(path, quality=90)
    return paths


def manifest_of(paths: list[Path], **columns: Any) -> Manifest:
    """Make a manifest of files that stay where they are."""
    ids = [picture_id(path.read_bytes()) for path in paths]
    return manifest(len(paths), id=ids, uri=[str(path) for path in paths], **columns)


def write_embeddings(of: Manifest, vectors: np.ndarray, folder: Path, *, weights: str = "w") -> None:
    """Write vectors [N, D] of a manifest as `embed` does."""
    of.save(str(folder))
    columns = {"id": of["id"], "vector": vector_column(vectors)}
    schema = vector_schema(vectors.shape[1])
    table = pa.table({name: columns.get(name, [None] * len(of)) for name in schema.names}, schema)
    tables.write_table(table, tables.part_path(str(folder / VECTORS), 0))
    space = Space(encoder="fake", weights=weights, dim=vectors.shape[1], transform={})
    storage.write_bytes(str(folder / SPACE), json.dumps(space.to_dict()).encode())


def terms(*, threshold: float = 0.5, name: str = "eer", **facts: Any) -> "Terms":
    """Make the terms of an evaluation at some threshold."""
    from gencv.evaluate.evaluation import Terms
    from gencv.evaluate.thresholds import Threshold

    known: dict[str, Any] = {
        "title": "t",
        "task": "generated",
        "labels": ("real", "generated"),
        "split": Split.TEST,
        "threshold": Threshold(name, threshold, 0.1, 0.1, 50, 50),
        "calibrator": Calibrator(prior=0.5),
        "band": None,
        "fitted_on": "m",
    }
    return Terms(**{**known, **facts})


def write_evaluation(folder: Path, of: Manifest, scores: np.ndarray, **facts: Any) -> None:
    """Write scores [N] of a manifest as `evaluate` leaves them. facts: what `terms` takes."""
    of.save(str(folder))
    answers = pa.table({"score": pa.array(scores, mask=np.isnan(scores)), "error": of.table["error"]})
    tables.write_table(Predictions.of(of.table, answers).table, str(folder / "predictions.parquet"))
    terms(**facts).save(str(folder))
    (folder / "metrics.json").write_text("{}")


def blobs(count: int, seed: int, *, gap: float = 0.5) -> "Labelled":
    """Two noisy directions on the unit sphere, 32-d."""
    from gencv.models.probes import Labelled

    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int8)
    vectors = rng.normal(size=(count, 32)).astype(np.float32)
    vectors[:, 0] += (labels * 2 - 1) * gap * 4
    return Labelled(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels)


def texts_of(figure: "Figure") -> str:
    """Return all that is written in a figure, a text a line."""
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
