"""One detector's scores in pictures: ROC, confusion, histogram by class, reliability."""

import numpy as np
from matplotlib.figure import Figure

from gencv.core.predictions import Predictions
from gencv.evaluate import metrics
from gencv.evaluate.metrics import Metric
from gencv.evaluate.replicates import NUM_BINS, bins_of_equal_width
from gencv.plots.look import GENUINE, GREY, INK, LINE, POSITIVE, new_figure, say, style

NAMES = ("genuine", "positive")
"""What the two classes are called unless the caller says more: ("real", "generated"), ("live", "spoof")."""
NOTHING = "There are no answered pictures with a label."


def draw_roc(
    predictions: Predictions,
    *,
    threshold: float | None = None,
    auroc: Metric | None = None,
    names: tuple[str, str] = NAMES,
) -> Figure:
    """Draw the ROC, whole and again over FPR on a logarithmic axis, with the operating threshold marked.

    auroc: with its interval, to be written in the figure. The right half is where a detector is used: few false
    positives. It begins at the smallest FPR that so many genuine pictures can show.
    """
    rows = predictions.answered()
    labels, scores = rows.labels.astype(int), rows.scores
    figure = new_figure(height_px=470)
    if len(set(labels.tolist())) < 2:
        say(figure.add_subplot(), f"No ROC: it {metrics.ONE_CLASS}.")
        return figure
    curve = metrics.roc(labels, scores)
    floor = 1 / (labels == 0).sum()
    whole, zoomed = figure.subplots(1, 2)
    for axes in (whole, zoomed):
        seen = curve.fpr > 0 if axes is zoomed else slice(None)  # a logarithm has no place for no false positive
        axes.plot(curve.fpr[seen], curve.tpr[seen], color=POSITIVE, linewidth=1.8)
        style(axes, x=f"false positives among {names[0]}", y=f"{names[1]} that are found", grid="both")
        axes.set_ylim(-0.02, 1.02)
        axes.set_box_aspect(1)
    whole.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
    whole.set_xlim(-0.02, 1.02)
    zoomed.set_xscale("log")
    zoomed.set_xlim(floor, 1)
    chance = np.geomspace(floor, 1, 100)
    zoomed.plot(chance, chance, color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
    area = auroc or metrics.auroc(labels, scores)
    style(whole, title=f"ROC, AUROC {area.text()}", x=whole.get_xlabel(), y=whole.get_ylabel(), grid="both")
    style(zoomed, title="Where false positives are rare", x=zoomed.get_xlabel(), y=zoomed.get_ylabel(), grid="both")
    if threshold is not None:
        counts = metrics.confusion(labels, scores, threshold)
        fpr, tpr = counts.fp / counts.num_genuine, counts.tp / counts.num_positive
        text = f"threshold {threshold:.3f}\nFPR {fpr:.3f}, TPR {tpr:.3f}"
        look = {"color": INK, "markersize": 7, "markerfacecolor": "white", "markeredgewidth": 1.8, "linestyle": ""}
        whole.plot(fpr, tpr, "o", label=text, **look)
        zoomed.plot(max(fpr, floor), tpr, "o", clip_on=False, **look)
        whole.legend(loc="lower right", frameon=False, fontsize=10, labelcolor=INK, handletextpad=0.4)
    return figure


def draw_confusion(predictions: Predictions, threshold: float, *, names: tuple[str, str] = NAMES) -> Figure:
    """Draw the four counts at a threshold, shaded by their share of the true class; no answer is counted wrong."""
    labels, scores, _ = metrics.labelled(predictions, "generator")
    counts = metrics.confusion(labels, scores, threshold)
    table = np.array([[counts.tn, counts.fp], [counts.fn, counts.tp]])
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros((2, 2)), where=totals > 0)
    figure = new_figure(width_px=540, height_px=520)
    axes = style(figure.add_subplot(), title=f"Verdicts at threshold {threshold:.3f}", x="verdict", y="truth")
    for row in range(2):
        for column in range(2):
            colour = GENUINE if row == column else POSITIVE
            patch = axes.fill([column, column + 1, column + 1, column], [row, row, row + 1, row + 1], color=colour)[0]
            patch.set_alpha(0.06 + 0.72 * shares[row, column])
            patch.set_edgecolor("white")
            ink = "white" if shares[row, column] > 0.6 else INK
            axes.text(column + 0.5, row + 0.46, f"{table[row, column]:,}", ha="center", color=ink, fontsize=19)
            axes.text(column + 0.5, row + 0.64, f"{shares[row, column]:.1%}", ha="center", color=ink, fontsize=11)
    axes.set(xlim=(0, 2), ylim=(2, 0), xticks=[0.5, 1.5], yticks=[0.5, 1.5])
    axes.set_xticklabels(names)
    axes.set_yticklabels([f"{name}\n({total:,})" for name, total in zip(names, totals[:, 0], strict=True)])
    axes.tick_params(length=0, labelsize=11)
    for spine in axes.spines.values():
        spine.set_visible(False)
    unanswered = counts.num_unanswered_positive + counts.num_unanswered_genuine
    if unanswered:
        note = f"{unanswered:,} without an answer, counted as wrong"
        axes.set_xlabel(f"verdict\n{note}", fontsize=10.5, color=INK)
    return figure


def draw_histogram(
    predictions: Predictions, *, threshold: float | None = None, names: tuple[str, str] = NAMES
) -> Figure:
    """Draw how scores spread in each class, as shares of the class in 40 bins, positives above, genuine below."""
    rows = predictions.answered()
    labels, scores = rows.labels, rows.scores
    figure = new_figure(height_px=400)
    axes = style(figure.add_subplot(), title="Scores by class", x="score", y="share of the class", grid="y")
    if not len(rows):
        say(axes, NOTHING)
        return figure
    edges = np.linspace(0, 1, 41)
    for label, sign, colour in ((1, 1, POSITIVE), (0, -1, GENUINE)):
        mine = scores[labels == label]
        share = np.histogram(mine, edges)[0] / max(1, len(mine))
        axes.bar(edges[:-1], sign * share, 1 / 40, align="edge", color=colour, edgecolor="white", linewidth=0.6)
        # Each name stands in the corner that its class seldom fills: few positives score low, few genuine ones high.
        left, top = (0.012, 0.97) if label else (0.988, 0.03)
        axes.text(
            left,
            top,
            f"{names[label]}, {len(mine):,}",
            transform=axes.transAxes,
            ha="left" if label else "right",
            va="top" if label else "bottom",
            color=colour,
            fontsize=11,
            fontweight="bold",
        )
    reach = max(abs(limit) for limit in axes.get_ylim()) * 1.1
    axes.set(xlim=(0, 1), ylim=(-reach, reach))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0%}")
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.set_title(f"threshold {threshold:.3f}", loc="right", fontsize=10, color=INK)
    return figure


def draw_reliability(predictions: Predictions, *, names: tuple[str, str] = NAMES) -> Figure:
    """Draw the share of positives against the mean score in 15 bins of equal width, and how many rows each holds.

    A calibrated detector lies on the diagonal. Source: Guo et al. 2017, arXiv:1706.04599.
    """
    rows = predictions.answered()
    labels, scores = rows.labels.astype(int), rows.scores
    figure = new_figure(width_px=540, height_px=520)
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    if not len(rows):
        say(upper, NOTHING)
        lower.set_axis_off()
        return figure
    bins = bins_of_equal_width(scores)
    counts = np.bincount(bins, minlength=NUM_BINS)
    filled = counts > 0
    means = np.bincount(bins, scores, NUM_BINS)[filled] / counts[filled]
    shares = np.bincount(bins, labels, NUM_BINS)[filled] / counts[filled]
    title = f"Calibration, ECE {metrics.ece(labels, scores).text()}"
    style(upper, title=title, y=f"share that is {names[1]}", grid="both")
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    upper.vlines(means, means, shares, color=POSITIVE, linewidth=5, alpha=0.22)
    upper.plot(means, shares, "-o", color=POSITIVE, linewidth=1.6, markersize=5)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    style(lower, x="score", y="pictures", grid="y")
    lower.bar((np.arange(NUM_BINS) + 0.5) / NUM_BINS, counts, 0.9 / NUM_BINS, color=GREY)
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lower.locator_params(axis="y", nbins=3, integer=True)
    return figure
