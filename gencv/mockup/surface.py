"""Where the print area of a template lies in its picture: a quad, or a mesh that bends.

Points are in px of the picture, whose top left corner is (0, 0): the middle of its first pixel lies at (.5, .5). A
surface is float64 [R + 1, C + 1, 2], R x C cells, row by row from the top left corner of the print; a quad is
[2, 2, 2].
Coordinates (u, v) go over the print from (0, 0) at its top left to (1, 1).
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from gencv.core.errors import BadInput


def as_surface(points: Any, width: int, height: int) -> np.ndarray:
    """Return a surface from nested lists, checked to lie in a picture of that size, unfolded and not mirrored.

    Raises BadInput with what is wrong.
    """
    try:
        surface = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        raise BadInput("A surface is rows of points [x, y] in px, every row as long as the others.") from None
    if surface.ndim != 3 or surface.shape[2] != 2 or min(surface.shape[:2]) < 2 or not np.isfinite(surface).all():
        raise BadInput(
            f"A surface of the shape {list(surface.shape)}; rows of points [x, y] in px are accepted, 2 x 2 or more."
        )
    is_quad = surface.shape[:2] == (2, 2)
    name = "quad" if is_quad else "mesh"
    for x, y in surface.reshape(-1, 2):
        if not (0 <= x <= width and 0 <= y <= height):
            raise BadInput(f"The {name} has the point ({x:g}, {y:g}), outside of its picture of {width}x{height} px.")
    turns = _turns(surface)  # at every corner of every cell: above 0 to the right, as the hands of a clock go
    if not (turns > 0).all():
        row, column, _ = np.argwhere(turns <= 0)[0]
        if (turns < 0).all():
            what = "goes around against the clock, so that the print would be mirrored"
        elif is_quad:
            what = "crosses itself" if (turns < 0).sum() == 2 else "has a corner that bends inwards or lies on a side"
        else:
            what = f"folds over itself in the cell of row {row} and column {column}"
        raise BadInput(f"The {name} {what}; give top left, top right, bottom right, bottom left of every cell in turn.")
    return surface


def quad(corners: Any, width: int, height: int) -> np.ndarray:
    """Return a surface of four corners [x, y]: top left, top right, bottom right, bottom left. Raises BadInput."""
    try:
        top_left, top_right, bottom_right, bottom_left = corners
    except (TypeError, ValueError):
        raise BadInput("A quad is four corners [x, y] in px.") from None
    return as_surface([[top_left, top_right], [bottom_left, bottom_right]], width, height)


def outline_of(surface: np.ndarray) -> np.ndarray:
    """Return the corners of a quad in turn, [4, 2]."""
    return surface.reshape(4, 2)[[0, 1, 3, 2]]


def size_of(surface: np.ndarray) -> tuple[float, float]:
    """Return how wide and high a surface is in its picture, in px: the longest of its rows and of its columns."""
    across = np.linalg.norm(np.diff(surface, axis=1), axis=2).sum(axis=1)
    down = np.linalg.norm(np.diff(surface, axis=0), axis=2).sum(axis=0)
    return float(across.max()), float(down.max())


Locate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Places x and y in px, [...] -> u and v, float32 [...]; outside of 0 to 1 nothing is printed."""


def locate(surface: np.ndarray) -> Locate:
    """Return what finds the coordinates of places.

    A quad is seen in perspective: one homography. Each cell of a mesh has its own; they are drawn into a table once.
    """
    if surface.shape[:2] == (2, 2):
        matrix = _homography(surface, (0, 1), (0, 1))
        return lambda x, y: _through(matrix, x, y)
    table, corner, fine = _table(surface)

    def look_up(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across, down = (((at - low) * fine - 0.5).astype(np.float32) for at, low in zip((x, y), corner, strict=True))
        found = cv2.remap(table, across, down, cv2.INTER_LINEAR, borderValue=(-1, -1))
        return found[..., 0], found[..., 1]

    return look_up


LOOK_UP = 4
"""Places of a mesh's table of coordinates in a px; fewer where it would be longer than TABLE_PX."""
TABLE_PX = 8192
REACH = 0.25
"""How far, in cells, a mesh goes on beyond its border: the border itself must be found to a part of a px."""


def _table(surface: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw every cell into a table of coordinates, float32 [H, W, 2].

    Returns it, the place of its corner in px, and how many places of it there are in a px.
    """
    rows, columns = (size - 1 for size in surface.shape[:2])
    grown = _grow(_grow(surface).swapaxes(0, 1)).swapaxes(0, 1)
    us, vs = _stops(columns), _stops(rows)
    corner = np.floor(grown.min(axis=(0, 1))) - 1
    size = np.ceil(grown.max(axis=(0, 1)) - corner + 1)
    fine = min(LOOK_UP, TABLE_PX / size.max())
    width, height = np.ceil(size * fine).astype(int)
    table = np.full((height, width, 2), -1, np.float32)
    places = (grown - corner) * fine - 0.5  # px of the table, by the middle of each
    for row in range(rows + 2):
        for column in range(columns + 2):
            cell = places[row : row + 2, column : column + 2]
            # One more px all around: neighbours must overlap, or a crack would open between them.
            left, top = np.maximum(np.floor(cell.min(axis=(0, 1))).astype(int) - 1, 0)
            right, bottom = np.ceil(cell.max(axis=(0, 1))).astype(int) + 2
            part = table[top:bottom, left:right]
            outline = (outline_of(cell) - (left, top)).round().astype(np.int32)
            filled = np.zeros(part.shape[:2], np.uint8)
            cv2.fillConvexPoly(filled, outline, 1)
            matrix = _homography(cell - (left, top), us[column : column + 2], vs[row : row + 2])
            inside = np.nonzero(filled)
            part[inside] = np.stack(_through(matrix, inside[1], inside[0]), axis=-1)
    return table, corner, fine


def _stops(count: int) -> np.ndarray:
    return np.array([-REACH, *range(count + 1), count + REACH]) / count


def _grow(surface: np.ndarray) -> np.ndarray:
    """Add a row at either end, REACH beyond it on the straight line."""
    first = surface[:1] + REACH * (surface[:1] - surface[1:2])
    last = surface[-1:] + REACH * (surface[-1:] - surface[-2:-1])
    return np.concatenate([first, surface, last])


def _homography(cell: np.ndarray, us: Any, vs: Any) -> np.ndarray:
    """Return the matrix from places to coordinates that takes the corners of a cell [2, 2, 2] to those of us x vs.

    Its last row is above 0 on the cell's side of the horizon.
    """
    aims = np.array([[us[0], vs[0]], [us[1], vs[0]], [us[1], vs[1]], [us[0], vs[1]]], np.float32)
    corners = outline_of(cell)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), aims)
    return np.asarray(matrix * np.sign(matrix[2] @ (*corners.mean(axis=0), 1)))


def _through(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apply a homography. What lies behind the horizon is -1."""
    right, down, depth = ((row[0] * x + row[1] * y + row[2]).astype(np.float32) for row in matrix)
    ahead = depth > 1e-9
    safe = np.where(ahead, depth, np.float32(1))
    return np.where(ahead, right / safe, np.float32(-1)), np.where(ahead, down / safe, np.float32(-1))


def _turns(surface: np.ndarray) -> np.ndarray:
    """Return the cross products of the sides that meet at each corner of each cell, [R, C, 4]."""
    corners = np.stack([surface[:-1, :-1], surface[:-1, 1:], surface[1:, 1:], surface[1:, :-1]], axis=2)
    sides = np.roll(corners, -1, axis=2) - corners
    before = np.roll(sides, 1, axis=2)
    return np.asarray(before[..., 0] * sides[..., 1] - before[..., 1] * sides[..., 0])
