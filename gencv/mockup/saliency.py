"""Which part of a picture is its object, by contrast alone: no weights, so it knows no things, only what stands out.

What is connected to the border by like colours is background; an object differs from that and is not cut by the border.
Source: Zhu et al. 2014, Saliency optimization from robust background detection, on a grid of cells in place of
superpixels, since GrabCut finds the outline afterwards.
"""

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

CELLS = 30
"""Cells along the longer side."""
SIGMA_COLOUR = 10.0
"""CIELAB distance at which two cells begin to differ, as published."""
SIGMA_BORDER = 1.0
SIGMA_PLACE = 0.25
"""Of the picture's longer side."""
SIGMA_MIDDLE = 0.24
"""A photographer puts the product near the middle; the published method has no such leaning, and takes bushes along."""
SMOOTH = 0.1
"""Least weight between neighbours, however they differ."""
CLEAR = 3.0
"""Contrast, in CIELAB, under which nothing stands out."""
COHERENT = 0.3
"""Correlation of neighbouring cells' colours (Moran's I) under which a picture shows no things: noise has 0 to .16,
photographs of products .65 and more."""


def saliency_of(image: np.ndarray) -> np.ndarray | None:
    """Return how much each cell of uint8 RGB [H, W, 3] stands out, float32 [h, w] in 0 to 1; None if nothing does."""
    height, width = image.shape[:2]
    scale = CELLS / max(height, width)
    size = max(4, round(width * scale)), max(4, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    rows, columns = np.mgrid[: size[1], : size[0]]
    places = np.stack([rows.ravel(), columns.ravel()], axis=1) / max(size)
    on_border = ((rows == 0) | (rows == size[1] - 1) | (columns == 0) | (columns == size[0] - 1)).ravel()
    first, second = _neighbours(rows * size[0] + columns, on_border)
    if _coherence(colours, rows.ravel(), columns.ravel(), first, second) < COHERENT:
        return None
    apart = np.linalg.norm(colours[first] - colours[second], axis=1)
    ways = dijkstra(
        coo_array((apart + 1e-6, (first, second)), shape=(len(colours), len(colours))).tocsr(), directed=False
    )
    like = np.exp(-(ways**2) / (2 * SIGMA_COLOUR**2))
    at_border = like[:, on_border].sum(axis=1) / np.sqrt(like.sum(axis=1))
    is_back = 1 - np.exp(-(at_border**2) / (2 * SIGMA_BORDER**2))
    differ, far = cdist(colours, colours), cdist(places, places)
    contrast = (differ * np.exp(-(far**2) / (2 * SIGMA_PLACE**2)) * is_back).sum(axis=1)
    contrast /= np.exp(-(far**2) / (2 * SIGMA_PLACE**2)).sum(axis=1)
    if contrast.max() - contrast.min() < CLEAR:
        return None
    middle = (np.array([rows.max(), columns.max()]) / 2) / max(size)
    contrast = contrast * np.exp(-((places - middle) ** 2).sum(axis=1) / (2 * SIGMA_MIDDLE**2))
    is_front = (contrast - contrast.min()) / (contrast.max() - contrast.min())
    found = _settle(is_front, is_back, first, second, apart)
    return np.asarray(found.reshape(size[1], size[0]), np.float32)


def _coherence(
    colours: np.ndarray, rows: np.ndarray, columns: np.ndarray, first: np.ndarray, second: np.ndarray
) -> float:
    """Return how alike cells are that touch, -1 to 1; the pairs along the border, which do not touch, are left out."""
    touch = np.maximum(np.abs(rows[first] - rows[second]), np.abs(columns[first] - columns[second])) == 1
    away = colours - colours.mean(axis=0)
    alike = (away[first[touch]] * away[second[touch]]).sum(axis=1).mean()
    return float(alike / max((away**2).sum(axis=1).mean(), 1e-9))


def _neighbours(numbers: np.ndarray, on_border: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of cells that touch, and those of the border in turn: the border is one thing."""
    pairs = [(numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:]), (numbers[:-1, :-1], numbers[1:, 1:])]
    pairs.append((numbers[:-1, 1:], numbers[1:, :-1]))
    border = np.flatnonzero(on_border)
    a, b = np.triu_indices(len(border), 1)
    first = np.concatenate([*(one.ravel() for one, _ in pairs), border[a]])
    second = np.concatenate([*(two.ravel() for _, two in pairs), border[b]])
    return first, second


def _settle(
    is_front: np.ndarray, is_back: np.ndarray, first: np.ndarray, second: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Return the smooth map that agrees best with what speaks for the front and for the back: one linear system."""
    count = len(is_front)
    weights = np.exp(-(apart**2) / (2 * SIGMA_COLOUR**2)) + SMOOTH
    matrix = np.zeros((count, count))
    np.add.at(matrix, (first, second), -weights)
    matrix = matrix + matrix.T
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1) + is_front + is_back)
    found = np.linalg.solve(matrix, is_front)
    return np.asarray((found - found.min()) / (found.max() - found.min() + 1e-12))
