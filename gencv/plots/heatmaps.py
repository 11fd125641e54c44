"""Tables of numbers that are also shaded: where a training fails, and which kinds are taken for which."""

from collections.abc import Mapping, Sequence, Set

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gencv.plots.look import FAINT, GENUINE, GREY, INK, POSITIVE, WIDTH_PX, new_figure, say, short, style

MAX_NAME = 24
CELL_PX = 38
WORSE = LinearSegmentedColormap.from_list("worse", ["#ffffff", "#fbe3d2", "#f0a875", POSITIVE])
RIGHT = LinearSegmentedColormap.from_list("right", ["#ffffff", GENUINE])
WRONG = LinearSegmentedColormap.from_list("wrong", ["#ffffff", POSITIVE])


def draw_matrix(
    matrix: Mapping[str, Mapping[str, float]],
    *,
    title: str = "AUROC on each generator",
    seen: Set[tuple[str, str]] = frozenset(),
) -> Figure:
    """Draw the AUROC of every training (across) on every generator (down), the worst generator first.

    matrix: training -> generator -> AUROC; what is missing or NaN is a dash. The redder a cell, the worse; chance (0.5)
    and less is full colour. A box marks the worst generator of every training.
    seen: the (training, generator) that are no test of anything new; they stand in brackets and get no box.
    """
    trainings = list(matrix)
    generators = worst_first(matrix)
    if not generators:
        figure = new_figure(height_px=160)
        say(figure.add_subplot(), "There are no generators to compare on.")
        return figure
    values = np.array([[matrix[name].get(generator, np.nan) for name in trainings] for generator in generators])
    values = values.astype(np.float64)
    figure = new_figure(height_px=170 + CELL_PX * len(generators))
    axes = style(figure.add_subplot(), title=title)
    is_seen = np.array([[(name, generator) in seen for name in trainings] for generator in generators])
    texts = [
        [
            "–" if np.isnan(value) else f"({value:.3f})" if old else f"{value:.3f}"
            for value, old in zip(*row, strict=True)
        ]
        for row in zip(values, is_seen, strict=True)
    ]
    new = np.where(is_seen, np.nan, values)
    worst = {(int(np.nanargmin(new[:, k])), k) for k in range(len(trainings)) if np.isfinite(new[:, k]).any()}
    badness = np.clip((1 - values) / 0.5, 0, 1)
    colours = [[FAINT if np.isnan(bad) else WORSE(bad) for bad in row] for row in badness]
    inks = [["white" if bad > 0.8 else GREY if np.isnan(bad) else INK for bad in row] for row in badness]
    _cells(axes, texts, colours, inks, boxed=worst)
    _name(axes, generators, trainings)
    return figure


def draw_grids(grids: Mapping[str, Mapping[str, Mapping[str, float | None]]], *, chance: float = 0.5) -> Figure:
    """Draw tables of shares side by side: title -> row -> column -> a figure from chance to 1, in the order given.

    The redder a cell, the worse; None is a dash. A box marks the worst cell of each table.
    """
    first = next(iter(grids.values()))
    rows, columns = list(first), list(next(iter(first.values())))
    figure = new_figure(height_px=120 + 56 * len(rows))
    for axes, (title, table) in zip(np.atleast_1d(figure.subplots(1, len(grids))), grids.items(), strict=True):
        values = np.array([[table[row][column] for column in columns] for row in rows], np.float64)
        known = np.isfinite(values)
        worst = {divmod(int(np.nanargmin(values)), len(columns))} if known.any() else set()
        badness = np.clip((1 - values) / (1 - chance), 0, 1)
        _cells(
            style(axes, title=title),
            [["–" if np.isnan(value) else f"{value:.3f}" for value in line] for line in values],
            [[FAINT if np.isnan(bad) else WORSE(bad) for bad in line] for line in badness],
            [["white" if bad > 0.8 else GREY if np.isnan(bad) else INK for bad in line] for line in badness],
            boxed=worst,
        )
        _name(axes, rows if axes is figure.axes[0] else [""] * len(rows), columns)
    return figure


def worst_first(matrix: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the generators of a matrix by their mean over the trainings that met them, the lowest first."""
    found: dict[str, list[float]] = {}
    for row in matrix.values():
        for generator, value in row.items():
            found.setdefault(generator, [])
            if value is not None and np.isfinite(value):
                found[generator].append(value)
    means = {name: float(np.mean(values)) if values else np.inf for name, values in found.items()}
    return sorted(means, key=lambda name: (means[name], name))


def draw_kinds(counts: np.ndarray, truths: Sequence[str], kinds: Sequence[str]) -> Figure:
    """Draw which kind (across) positives of each true kind (down) were taken for, shaded by share of the true kind.

    counts: int [len(truths), len(kinds)]. A true kind that is not among `kinds` cannot be told rightly.
    """
    if not len(truths):
        figure = new_figure(height_px=160)
        say(figure.add_subplot(), "No positive picture was called so.")
        return figure
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    cell = min(110, max(46, (WIDTH_PX - 220) // len(kinds)))
    figure = new_figure(width_px=min(WIDTH_PX, 260 + cell * len(kinds)), height_px=160 + 46 * len(truths))
    axes = style(figure.add_subplot(), title="Taken for", y="truth")
    texts, colours, inks = [], [], []
    for row, truth in enumerate(truths):
        filled = [bool(count) for count in counts[row]]
        texts.append([f"{count:,}\n{share:.0%}" for count, share in zip(counts[row], shares[row], strict=True)])
        maps = [RIGHT if kind == truth else WRONG for kind in kinds]
        colours.append([shade(0.06 + 0.8 * share) for shade, share in zip(maps, shares[row], strict=True)])
        inks.append(
            [
                "white" if share > 0.75 else INK if full else GREY
                for share, full in zip(shares[row], filled, strict=True)
            ]
        )
    _cells(axes, texts, colours, inks)
    names = [name if name in kinds else f"{name} (not learnt)" for name in truths]
    _name(axes, names, kinds)
    return figure


def _cells(
    axes: Axes,
    texts: Sequence[Sequence[str]],
    colours: Sequence[Sequence[object]],
    inks: Sequence[Sequence[str]],
    boxed: Set[tuple[int, int]] = frozenset(),
) -> None:
    """Draw a table of coloured cells with their texts."""
    num_columns = len(texts[0])
    size = 10.5 if num_columns <= 10 else 8.5 if num_columns <= 14 else 7
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            x = np.array([column, column + 1, column + 1, column])
            y = np.array([row, row, row + 1, row + 1])
            axes.fill(x, y, color=colours[row][column], edgecolor="white", linewidth=1.5)
            bold = "bold" if (row, column) in boxed else "normal"
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                color=inks[row][column],
                fontsize=size,
                fontweight=bold,
                linespacing=1.1,
            )
    for row, column in sorted(boxed):
        x = np.array([column, column + 1, column + 1, column, column])
        y = np.array([row, row, row + 1, row + 1, row])
        inset = 0.035
        axes.plot(
            np.clip(x, column + inset, column + 1 - inset),
            np.clip(y, row + inset, row + 1 - inset),
            color=INK,
            linewidth=1.6,
            solid_joinstyle="miter",
        )
    axes.set(xlim=(0, num_columns), ylim=(len(texts), 0))


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Write the names of the rows at the left and those of the columns on top, slanted where they are long."""
    axes.set_yticks(np.arange(len(rows)) + 0.5, [short(name, MAX_NAME) for name in rows])
    axes.set_xticks(np.arange(len(columns)) + 0.5, [short(name, MAX_NAME) for name in columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=10)
    room = 90 // max(1, len(columns))  # letters that fit over a column
    if max(len(short(name, MAX_NAME)) for name in columns) > room:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set(ha="left", rotation_mode="anchor")
    for spine in axes.spines.values():
        spine.set_visible(False)
