"""Where a detector looks, laid over the picture as the network saw it."""

from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np

from gencv.plots.look import GENUINE, GREY, INK, POSITIVE, new_figure, to_png
from gencv.plots.sheets import Tile, draw_tiles

COLOURS = "inferno"
"""Perceptually uniform, so that twice as hot looks twice as hot."""
STRENGTH = 0.62
"""How much of the colour lies over the grey picture."""
SIDE_PX = 224
"""A small network's picture and map are enlarged to at least this side before they are laid over each other."""
COLUMNS = 3


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat [S, S] in [0, 1] over the grey of uint8 RGB [S, S, 3]; returns uint8 [S', S', 3] of SIDE_PX or more."""
    side = max(SIDE_PX, len(pixels))
    grey = cv2.cvtColor(enlarge(pixels, side), cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    hot = cv2.resize(heat, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(grey * (1 - STRENGTH) + colour(hot) * STRENGTH), np.uint8)


def colour(heat: np.ndarray) -> np.ndarray:
    """Return heat in [0, 1] of any shape as RGB in 0..255, float32 [..., 3]."""
    return np.asarray(matplotlib.colormaps[COLOURS](np.clip(heat, 0, 1))[..., :3] * 255, np.float32)


def enlarge(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return a square picture of that side, its pixels repeated: nothing is shown that the network did not see."""
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_NEAREST))


def draw_heat_sheet(
    pictures: Sequence[tuple[np.ndarray, np.ndarray, str]], label: int, *, title: str, width_px: int = 458
) -> bytes:
    """Draw (pixels, heat, caption) as PNG, COLUMNS in a row: each as the network saw it, and beneath it with its heat.

    label: 0 or 1, the class that the frames show.
    """
    frame = (GENUINE, POSITIVE)[label]
    tiles: list[Tile | None] = []
    for start in range(0, len(pictures), COLUMNS):
        row = pictures[start : start + COLUMNS]
        empty = [None] * (COLUMNS - len(row))
        tiles += [*(Tile(enlarge(pixels, max(SIDE_PX, len(pixels))), "", frame) for pixels, _, _ in row), *empty]
        tiles += [*(Tile(overlay(pixels, heat), caption, frame) for pixels, heat, caption in row), *empty]
    return draw_tiles(tiles, COLUMNS, width_px, title, fewest_columns=COLUMNS)


def draw_legend(width_px: int = 458) -> bytes:
    """Draw what the colours mean, as they lie over a middle grey."""
    figure = new_figure(width_px, 64)
    axes = figure.add_subplot()
    bar = colour(np.linspace(0, 1, 256))[None] * STRENGTH + 127 * (1 - STRENGTH)
    axes.imshow(bar.astype(np.uint8), aspect="auto", extent=(0, 1, 0, 1))
    axes.set(yticks=[], xticks=(0, 1))
    first, last = axes.set_xticklabels(["0", "1, the strongest place of its picture"], fontsize=9.5, color=INK)
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.tick_params(colors=GREY, labelcolor=INK, length=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return to_png(figure)
