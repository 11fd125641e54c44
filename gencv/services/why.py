"""Why a verdict came out: where the detector looks, and which of its training pictures lie nearest.

Both are evidence for a person and change no score. What a map means, and does not mean, stands beside it.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput, NotSupported
from gencv.core.manifest import PictureReader
from gencv.evaluate.neighbours import nearest
from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, encode_png, fit
from gencv.models.detectors import Detector, ProbeDetector
from gencv.models.explain import MEANINGS, explain
from gencv.plots.heat import overlay

NUM_NEAREST = 3
"""Of each class."""
THUMBNAIL_PX = 160


@dataclass(frozen=True)
class Gallery:
    """The pictures that a probe was fitted on, in its own space; `open_gallery` reads them."""

    embeddings: Embeddings
    reader: PictureReader

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the training pictures that have a vector, genuine and positive."""
        labels, splits = np.array(self.embeddings.manifest["label"]), np.array(self.embeddings.manifest["split"])
        usable = self.embeddings.good & (splits == "train")
        return np.flatnonzero(usable & (labels == 0)), np.flatnonzero(usable & (labels == 1))

    @cached_property
    def ids(self) -> np.ndarray:
        return np.array(self.embeddings.manifest["id"], dtype=object)

    def nearest(self, id: str, features: np.ndarray, labels: tuple[str, str]) -> dict[str, list[dict[str, Any]]]:
        """Return by label the pictures nearest to features [1, D] of the picture `id`, by cosine, nearest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for label, rows in zip(labels, self.rows, strict=True):
            ids = self.ids[rows]
            near = nearest(features, self.embeddings.vectors[rows], [id], ids, min(NUM_NEAREST, len(rows)))
            found[label] = [
                {"id": ids[place], "cosine": float(cosine), "image": self.thumbnail(int(rows[place]))}
                for place, cosine in zip(near.rows[0], near.cosines[0], strict=True)
                if place >= 0
            ]
        return found

    def thumbnail(self, row: int) -> str:
        image = decode(self.reader.read(row), min_side_px=THUMBNAIL_PX)
        return data_url(encode_jpeg(fit(image, THUMBNAIL_PX), 85), "jpeg")


def open_gallery(folder: str, detector: Detector) -> Gallery:
    """Open what `embed` wrote of a probe's training pictures. Raises NotSupported, or BadInput for another space."""
    if not isinstance(detector, ProbeDetector):
        raise NotSupported("Nearest pictures are those of a probe's embeddings; this detector is a network.")
    embeddings = Embeddings.load(folder)
    if embeddings.space != detector.space:
        raise BadInput(f"{folder} was embedded in another space than the detector's; give what it was fitted on.")
    return Gallery(embeddings, PictureReader(folder))


def attention(detector: Detector, pixels: np.ndarray) -> dict[str, Any]:
    """Return a map over uint8 [S, S, 3], as a detector's `prepare` gives it. Raises NotSupported."""
    found = explain(detector, pixels[None])
    drawn = encode_png(overlay(pixels, found.heat[0]))
    return {"method": found.method, "meaning": MEANINGS[found.method], "image": data_url(drawn, "png")}


def neighbours(gallery: Gallery | None, detector: Detector, id: str, pixels: np.ndarray) -> dict[str, Any]:
    """Return the nearest training pictures of either class. Raises NotSupported where there is no gallery."""
    if gallery is None:
        raise NotSupported("No training pictures are configured for this bundle, so there are no nearest ones.")
    return gallery.nearest(id, detector.judge(pixels[None]).features, detector.labels)


def data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


EXPLANATIONS: dict[str, Callable[[Gallery | None, Detector, str, np.ndarray], dict[str, Any]]] = {
    "attention": lambda gallery, detector, id, pixels: attention(detector, pixels),
    "neighbours": neighbours,
}
"""What may be asked for beside a verdict."""
