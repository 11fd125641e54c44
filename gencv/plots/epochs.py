"""How a training went, epoch by epoch: losses, accuracies, and the learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gencv.plots.look import GREY, INK, LINE, new_figure, say, style

HALF_PX = 458
"""Two figures of this width stand side by side on a page."""
MANY = 25
"""From so many epochs on, points are not marked."""
NO_EPOCHS = "No epoch was finished."

TRAINING = ("training", GREY, "o", (0, (4, 2)))
VALIDATION = ("validation", "#aa4499", "s", "-")
VALIDATION_AUROC = ("validation AUROC", "#117733", "D", "-")


def draw_losses(history: Sequence[dict[str, Any]], *, width_px: int = HALF_PX) -> Figure:
    """Draw the mean loss a picture in training and validation. history: that of a training, one dict an epoch."""
    figure = new_figure(width_px=width_px, height_px=360)
    axes = style(figure.add_subplot(), title="Loss", x="epoch", grid="y")
    if not history:
        say(axes, NO_EPOCHS)
        return figure
    ends = [
        _line(axes, history, "train_loss", *TRAINING),
        _line(axes, history, "val_loss", *VALIDATION),
    ]
    _axis_of_epochs(axes, history)
    axes.set_ylim(bottom=0)
    _name_ends(axes, ends)
    return figure


def draw_accuracies(history: Sequence[dict[str, Any]], *, width_px: int = HALF_PX) -> Figure:
    """Draw the accuracy in training and validation, and validation's AUROC, its best epoch (which is kept) marked.

    An AUROC that is no number (validation lacks a class) is left out.
    """
    figure = new_figure(width_px=width_px, height_px=360)
    axes = style(figure.add_subplot(), title="Accuracy and AUROC", x="epoch", grid="y")
    if not history:
        say(axes, NO_EPOCHS)
        return figure
    ends = [
        _line(axes, history, "train_accuracy", *TRAINING),
        _line(axes, history, "val_accuracy", *VALIDATION),
        _line(axes, history, "val_auroc", *VALIDATION_AUROC),
    ]
    _axis_of_epochs(axes, history)
    low = axes.dataLim.y0
    axes.set_ylim(low - 0.06 * max(1 - low, 0.01), 1 + 0.03 * max(1 - low, 0.01))
    areas = _values(history, "val_auroc")
    if not np.isfinite(areas).any():
        _remark(axes, "no AUROC: validation lacks a class")
    elif len(history) > 1:
        best = int(np.nanargmax(areas))
        axes.scatter(
            history[best]["epoch"], areas[best], s=120, facecolors="none", edgecolors=INK, clip_on=False, zorder=4
        )
        _remark(axes, f"circle: best AUROC {areas[best]:.3f}, epoch {history[best]['epoch']}")
    _name_ends(axes, ends)
    return figure


def draw_learning_rate(history: Sequence[dict[str, Any]], *, width_px: int = 936) -> Figure:
    """Draw the greatest learning rate of any layer at the end of every epoch."""
    figure = new_figure(width_px=width_px, height_px=230)
    axes = style(figure.add_subplot(), title="Learning rate at the end of an epoch", x="epoch", grid="y")
    if not history:
        say(axes, NO_EPOCHS)
        return figure
    highest = max(epoch["learning_rate"] for epoch in history)
    power = int(np.floor(np.log10(highest))) if highest > 0 else 0
    scaled = [{**epoch, "learning_rate": epoch["learning_rate"] / 10.0**power} for epoch in history]
    _line(axes, scaled, "learning_rate", "", INK, "o", "-")
    _axis_of_epochs(axes, history)
    axes.set_ylim(0, 1.15 * highest / 10.0**power or 1)
    axes.locator_params(axis="y", nbins=4)
    if highest == 0:  # a single epoch of a schedule that ends at 0
        axes.set_yticks([0])
    if power:
        axes.set_ylabel(f"× $10^{{{power}}}$", fontsize=10.5, color=INK)
    return figure


def _values(history: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([epoch[key] for epoch in history], np.float64)


def _line(
    axes: Axes, history: Sequence[dict[str, Any]], key: str, name: str, colour: str, marker: str, dashes: Any
) -> tuple[str, str, float]:
    """Draw one figure of the epochs; return its name, its colour, and where it ends, NaN if it has no point."""
    values = _values(history, key)
    axes.plot(
        [epoch["epoch"] for epoch in history],
        values,
        color=colour,
        linestyle=dashes,
        linewidth=1.8,
        marker=marker if len(history) <= MANY else "",
        markersize=5,
        clip_on=False,
        zorder=3,
    )
    known = values[np.isfinite(values)]
    return name, colour, float(known[-1]) if len(known) else float("nan")


def _axis_of_epochs(axes: Axes, history: Sequence[dict[str, Any]]) -> None:
    first, last = history[0]["epoch"], history[-1]["epoch"]
    pad = 0.5 if first == last else 0.03 * (last - first)
    axes.set_xlim(first - pad, last + pad)
    axes.locator_params(axis="x", integer=True, nbins=min(10, max(1, last - first + 1)))
    if first == last:
        axes.set_xticks([first])


def _remark(axes: Axes, text: str) -> None:
    """Write into the lower right corner, which a figure that rises leaves free."""
    axes.text(
        0.99,
        0.03,
        text,
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=9,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _name_ends(axes: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write the name and last value of every line to its right, moved apart where they would touch."""
    low, high = axes.get_ylim()
    shown = sorted((end for end in ends if np.isfinite(end[2])), key=lambda end: end[2])
    gap = 0.125  # of the height of the axes: two lines of text
    wanted = np.array([(value - low) / (high - low) for _, _, value in shown])
    places = wanted.copy()
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    # Names that were pushed past the top come down again together.
    for k in range(len(places) - 1, -1, -1):
        limit = 1.0 if k == len(places) - 1 else places[k + 1] - gap
        places[k] = min(places[k], limit)
    for (name, colour, value), place, end in zip(shown, places, wanted, strict=True):
        axes.annotate(
            "",
            (1.0, end),
            (1.035, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
        axes.annotate(
            f"{name.replace(' ', chr(10))} {value:.3f}" if " " in name else f"{name}\n{value:.3f}",
            (1.045, place),
            xycoords="axes fraction",
            va="center",
            fontsize=9,
            linespacing=1.05,
            color=colour if colour != GREY else INK,
            annotation_clip=False,
        )
