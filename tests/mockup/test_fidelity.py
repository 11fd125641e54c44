"""Figures of fidelity: CIEDE2000 as published, and prints whose figures are known."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from gencv.mockup.fidelity import Fidelity, colour_difference, compare_print, compare_scene, interior_of, widened

SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""The test pairs of Sharma, Wu, Dalal 2005, The CIEDE2000 color-difference formula: L a b, L a b, difference."""


def test_the_formula_gives_the_published_differences() -> None:
    table = np.array([line.split() for line in SHARMA.strip().splitlines()], float)
    assert len(table) == 34
    assert np.abs(deltaE_ciede2000(table[:, :3], table[:, 3:6]) - table[:, 6]).max() < 1e-4


def test_white_and_black_are_a_hundred_apart() -> None:
    white, black = np.full((1, 3), 255, np.uint8), np.zeros((1, 3), np.uint8)
    assert colour_difference(white, black) == pytest.approx([100], abs=1e-3)
    assert colour_difference(white, white) == pytest.approx([0])


def test_colour_is_compared_where_ink_is_alone() -> None:
    ideal = np.full((8, 8, 3), 100, np.uint8)
    shifted = ideal.copy()
    shifted[:, 4:] = 255
    alpha = np.ones((8, 8), np.float32)
    alpha[:, 4:] = 0.5
    assert compare_print(shifted, ideal, alpha, coverage=1.0, dpi=300).colour_shift == 0
    nothing = compare_print(shifted, ideal, 0 * alpha, coverage=0.0, dpi=300)
    assert nothing == Fidelity(coverage=0.0, dpi=300)


def test_half_of_the_contrast_is_half_of_the_edges() -> None:
    ideal = np.zeros((16, 16, 3), np.uint8)
    ideal[:, 8:] = 200
    whole = np.ones((16, 16), np.float32)
    found = compare_print(ideal // 2, ideal, whole, coverage=1.0, dpi=300)
    assert found.sharpness == pytest.approx(0.5)
    flat = compare_print(ideal, np.full_like(ideal, 9), whole, coverage=1.0, dpi=300)
    assert flat.sharpness is None, "without edges there are none to keep"


def test_a_scene_is_the_product_inside_and_its_ideal_at_the_edge() -> None:
    alpha = np.zeros((32, 32), np.float32)
    alpha[8:24, 8:24] = 1
    alpha[8, 8:24] = 0.5
    product, ideal = np.full((2, 32, 32, 3), (90, 120, 150), np.uint8)
    ideal[alpha == 0] = 200
    inner = interior_of(alpha)
    assert inner.sum() == 12 * 11 and not inner[10].any(), "two px away from the edge, and from where it is soft"
    same = compare_scene(ideal, product, alpha, ideal, growth=0.03)
    assert same == Fidelity(colour_shift=0.0, interior_difference=0, halo=0.0, growth=0.03)
    fringe = ideal.copy()
    fringe[widened(alpha > 0, 1) & (alpha == 0)] = 0
    found = compare_scene(fringe, product, alpha, ideal, growth=0.0)
    assert found.halo is not None and found.halo > 10 and found.interior_difference == 0 and found.colour_shift == 0
    touched = ideal.copy()
    touched[16, 16, 1] += 7
    found = compare_scene(touched, product, alpha, ideal, growth=0.0)
    assert found.interior_difference == 7 and found.halo == 0 and found.colour_shift and found.colour_shift < 0.1


def test_of_a_product_without_an_inside_nothing_is_compared() -> None:
    image = np.full((16, 16, 3), 90, np.uint8)
    thin, glass = np.zeros((2, 16, 16), np.float32)
    thin[8], glass[:] = 1, 0.94
    for alpha in (thin, glass):
        assert compare_scene(image, image, alpha, image, growth=None) == Fidelity(halo=0.0)
