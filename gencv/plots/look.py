"""How every figure looks, in one place: white paper, thin axes, colours that a colour-blind reader can tell apart.

Figures are plain matplotlib objects with their own canvas; nothing touches pyplot or its global state, so that a
service may draw in threads. Sizes are px at 100 dots an inch: a figure of 900 px reads well at 900 px of page.
"""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH_PX = 900
DOTS_PER_INCH = 100

INK = "#1f2933"
GREY = "#7b8794"
LINE = "#cbd2d9"
FAINT = "#eef1f4"
GENUINE = "#0072b2"
POSITIVE = "#d55e00"

FAMILY_COLOURS = {
    "real": GENUINE,
    "gan": "#aa4499",
    "diffusion": POSITIVE,
    "autoregressive": "#b8a020",
    "faceswap": "#117733",
    "inpainting": "#44aa99",
    "print": "#882255",
    "replay": "#cc6677",
    "recapture": "#6a5acd",
    "unknown": GREY,
}
"""A colour for each of `record.FAMILIES`; figures repeat the name or a marker, so that colour is never alone."""

SERIES = ("#d55e00", "#aa4499", "#117733", "#b8a020", "#44aa99", "#882255", "#6a5acd", "#cc6677", "#56b4e9", "#7b8794")
"""Colours for things that have no fixed one, generators for example; none is the blue of genuine pictures."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


def new_figure(width_px: int = WIDTH_PX, height_px: int = 480) -> Figure:
    """Return an empty white figure that lays itself out."""
    size = (width_px / DOTS_PER_INCH, height_px / DOTS_PER_INCH)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.06, hspace=0.08)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: str = "") -> Axes:
    """Give axes the look: two thin spines, small grey ticks, the title at the left. grid: "", "x", "y", or "both"."""
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=GREY, labelcolor=INK, labelsize=9.5, length=3, width=0.8)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=10)
    axes.set_xlabel(x, fontsize=10.5, color=INK, labelpad=6)
    axes.set_ylabel(y, fontsize=10.5, color=INK, labelpad=6)
    if grid:
        axes.grid(axis=grid, color=FAINT, linewidth=0.9)  # type: ignore[arg-type]
        axes.set_axisbelow(True)
    return axes


def say(axes: Axes, text: str) -> None:
    """Write in the middle of axes why there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=11, wrap=True)


def short(name: str, letters: int = 16) -> str:
    """Return a name that takes no more than so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """Return the figure as PNG bytes, the same ones every time: no date and no software version goes in."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
