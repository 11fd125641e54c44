"""Quads and meshes: what is refused, and that coordinates are those of the geometry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencv.core.errors import BadInput
from gencv.mockup.surface import as_surface, locate, quad, size_of

SQUARE = [(10, 10), (90, 10), (90, 90), (10, 90)]


@pytest.mark.parametrize(
    ("corners", "says"),
    [
        ([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]], "crosses itself"),
        ([SQUARE[1], SQUARE[0], SQUARE[2], SQUARE[3]], "crosses itself"),
        (SQUARE[::-1], "mirrored"),
        ([(10, 10), (90, 10), (40, 40), (10, 90)], "bends inwards"),
        ([(10, 10), (90, 10), (50, 10), (10, 90)], "lies on a side"),
        ([(-1, 10), *SQUARE[1:]], "outside of its picture of 100x100 px"),
        ([(10, 10), (90, 10), (101, 90), (10, 90)], "(101, 90)"),
        ([(10, 10), (90, 10), (90, 90)], "four corners"),
        (None, "four corners"),
        ([("a", 10), *SQUARE[1:]], "rows of points"),
        ([(float("nan"), 10), *SQUARE[1:]], "2 x 2 or more"),
    ],
)
def test_a_quad_that_cannot_be_is_one_sentence(corners: object, says: str) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]+\.$") as caught:
        quad(corners, 100, 100)
    assert says in str(caught.value)


def test_a_mesh_that_folds_names_its_cell() -> None:
    mesh = [[(x, y) for x in (10, 40, 70)] for y in (10, 40, 70)]
    mesh[1][1] = (75, 40)
    with pytest.raises(BadInput, match="folds over itself in the cell of row 0 and column 1"):
        as_surface(mesh, 100, 100)
    with pytest.raises(BadInput, match="every row as long"):
        as_surface([mesh[0], mesh[1][:2]], 100, 100)


@st.composite
def quads(draw: st.DrawFn) -> np.ndarray:
    """A square whose corners are moved by less than half of what would turn one inwards."""
    moves = draw(st.lists(st.floats(-14, 14), min_size=8, max_size=8))
    return np.array(SQUARE, float) + np.reshape(moves, (4, 2)) - np.sign(np.array(SQUARE, float) - 50) * 6


@given(quads())
def test_corners_have_the_coordinates_of_the_print(corners: np.ndarray) -> None:
    find = locate(quad(np.clip(corners, 0, 100), 100, 100))
    u, v = find(*np.clip(corners, 0, 100).T)
    assert np.abs(u - [0, 1, 1, 0]).max() < 1e-3 and np.abs(v - [0, 0, 1, 1]).max() < 1e-3


@given(quads(), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_lines_stay_lines_under_a_quad(corners: np.ndarray, first: float, second: float) -> None:
    """A homography keeps a point on the diagonal on it, from (0, 0) to (1, 1)."""
    corners = np.clip(corners, 0, 100)
    find = locate(quad(corners, 100, 100))
    way = corners[0] + np.array([[first], [second]]) * (corners[2] - corners[0])
    u, v = find(*way.T)
    assert np.abs(u - v).max() < 1e-3


def test_beyond_the_horizon_nothing_is_printed() -> None:
    find = locate(quad([(40, 50), (60, 50), (100, 90), (0, 90)], 100, 100))  # its sides meet at y = 40
    u, v = find(np.array([50.0, 50.0]), np.array([60.0, 20.0]))
    assert 0 < u[0] < 1 and 0 < v[0] < 1 and not (0 <= u[1] <= 1 and 0 <= v[1] <= 1)


def test_a_mesh_of_a_plane_is_that_plane_without_cracks() -> None:
    mesh = np.stack(np.meshgrid(np.linspace(10, 90, 6), np.linspace(20, 60, 4)), axis=-1)
    x, y = np.meshgrid(np.arange(10.1, 90, 0.37), np.arange(20.1, 60, 0.37))
    u, v = locate(as_surface(mesh, 100, 100))(x, y)
    assert np.abs(u - (x - 10) / 80).max() < 2e-3 and np.abs(v - (y - 20) / 40).max() < 2e-3


def test_a_cylinder_is_narrow_at_its_sides() -> None:
    turns = np.radians(np.linspace(-80, 80, 33))
    mesh = [[(50 + 40 * np.sin(turn), y) for turn in turns] for y in (10, 90)]
    x = np.linspace(12, 88, 200)
    u, _ = locate(as_surface(mesh, 100, 100))(x, np.full_like(x, 50.0))
    assert np.abs(u - (np.degrees(np.arcsin((x - 50) / 40)) + 80) / 160).max() < 5e-3


def test_size_is_that_of_the_longest_way() -> None:
    assert size_of(quad([(0, 0), (30, 0), (50, 40), (0, 40)], 100, 100)) == pytest.approx((50, np.hypot(20, 40)))
