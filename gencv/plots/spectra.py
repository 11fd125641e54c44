"""Mean power spectra: a panel for each generator, and their radial profiles in one plot."""

from collections.abc import Collection, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gencv.core.spectra import MeanSpectrum
from gencv.plots.look import GENUINE, GREY, INK, LINE, SERIES, WIDTH_PX, new_figure, say, short, style

PANELS_PER_ROW = 4
PANEL_PX = 205
PROFILE_PX = 400
MAX_LINES = 10
BLUES = (GENUINE, "#56b4e9", "#004b73", "#7fb8d8")
FREQUENCY = "frequency, cycles a pixel"
COLOURS = "magma"
NOTHING = "No picture is as large as the square."


def draw_spectra(means: Mapping[str, MeanSpectrum], *, title: str = "") -> Figure:
    """Draw the mean spectrum of every generator as a panel, all in one scale of dB, zero frequency in the middle."""
    rows = -(-len(means) // PANELS_PER_ROW)
    columns = min(PANELS_PER_ROW, max(len(means), 2))
    if not means:
        return nothing()
    figure = new_figure(110 + columns * PANEL_PX, 64 + rows * (PANEL_PX + 14))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    grid = figure.subplots(rows, columns, squeeze=False)
    values = np.stack([mean.mean_power for mean in means.values()])
    # One picture's lowest or brightest dots would leave all others in one colour.
    low, high = np.percentile(values, (0.5, 99.95))
    drawn = None
    for axes, (name, mean) in zip(grid.flat, means.items(), strict=False):
        style(axes)
        side = len(mean.power)
        edge = 0.5 + 0.5 / side
        drawn = axes.imshow(
            mean.mean_power, cmap=matplotlib.colormaps[COLOURS], vmin=low, vmax=high, extent=(-edge, edge, edge, -edge)
        )
        axes.set_title(f"{short(name)} ({mean.count:,})", fontsize=10, color=INK, loc="left")
        axes.set(xticks=(-0.5, 0, 0.5), yticks=(-0.5, 0, 0.5))
        axes.tick_params(labelsize=8)
    for axes in grid.flat[len(means) :]:
        axes.set_axis_off()
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=grid, shrink=0.9 if rows == 1 else 0.6, pad=0.02)
    bar.set_label("power, dB", fontsize=9.5, color=INK)
    bar.ax.tick_params(labelsize=8.5, colors=GREY, labelcolor=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def draw_profiles(means: Mapping[str, MeanSpectrum], genuine: Collection[str], *, width_px: int = 458) -> Figure:
    """Draw the radial profiles of all generators, in bands of two standard errors over pictures to either side."""
    if not means:
        return nothing(width_px)
    figure = new_figure(width_px, PROFILE_PX)
    axes = style(figure.add_subplot(), title="Radial profile", x=FREQUENCY, y="power, dB", grid="both")
    for name, look in looks(means, genuine).items():
        mean = means[name]
        band(axes, mean, mean.mean_profile, mean.standard_error, look, f"{short(name)} ({mean.count:,})")
    axes.legend(loc="upper right", frameon=False, fontsize=9.5, labelcolor=INK)
    return figure


def draw_differences(means: Mapping[str, MeanSpectrum], genuine: Collection[str], *, width_px: int = 458) -> Figure:
    """Draw the radial profiles of `draw_profiles`, each less that of all genuine pictures together."""
    real = sum_of([means[name] for name in means if name in genuine])
    if real is None:
        return nothing(width_px, "There are no genuine pictures to compare with.")
    figure = new_figure(width_px, PROFILE_PX)
    axes = style(
        figure.add_subplot(), title="Less that of genuine pictures", x=FREQUENCY, y="difference, dB", grid="both"
    )
    axes.axhline(0, color=LINE, linewidth=1)
    for name, look in looks(means, genuine).items():
        mean = means[name]
        if name not in genuine or real.count > mean.count:  # the only genuine ones are what is compared with
            error = np.hypot(mean.standard_error, real.standard_error)
            band(axes, mean, mean.mean_profile - real.mean_profile, error, look, "")
    return figure


def looks(means: Mapping[str, MeanSpectrum], genuine: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the line of each generator that is drawn, genuine ones first, then by their number of pictures."""
    shown = sorted(means, key=lambda name: (name not in genuine, -means[name].count, name))[:MAX_LINES]
    blues, others = iter(BLUES), iter(SERIES)
    dashes = ("-", (0, (5, 2)), (0, (1, 1.3)))
    return {
        name: {
            "color": next(blues, GREY) if name in genuine else next(others),
            "linestyle": dashes[place // 4 % 3],
            "linewidth": 1.7,
        }
        for place, name in enumerate(shown)
    }


def band(axes: Axes, mean: MeanSpectrum, y: np.ndarray, error: np.ndarray, look: dict[str, Any], label: str) -> None:
    """Draw a line over frequencies, without the first ring (the mean brightness), and two standard errors around it."""
    x = np.arange(len(y)) / len(mean.power)
    axes.plot(x[1:], y[1:], label=label, **look)
    axes.set_xlim(0, 0.5)
    if np.isfinite(error).all():
        low, high = y - 2 * error, y + 2 * error
        axes.fill_between(x[1:], low[1:], high[1:], color=look["color"], alpha=0.16, linewidth=0)


def sum_of(means: list[MeanSpectrum]) -> MeanSpectrum | None:
    """Return all of them as one, None for none."""
    total = None
    for mean in means:
        total = mean if total is None else total + mean
    return total


def nothing(width_px: int = WIDTH_PX, why: str = NOTHING) -> Figure:
    figure = new_figure(width_px, 140)
    say(figure.add_subplot(), why)
    return figure
