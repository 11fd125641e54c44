"""Pictures as points on a plane, coloured by what made them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gencv.core.errors import BadInput
from gencv.plots.look import FAMILY_COLOURS, GENUINE, GREY, MARKERS, SERIES, new_figure, style

MAX_NAMES = 12
"""Names in the legend; the rarer ones are drawn together as "other"."""


def draw_map(
    points: np.ndarray, names: Sequence[str], *, title: str = "", genuine: Sequence[str] = ("real",)
) -> Figure:
    """Draw points [N, 2] with one colour and marker a name: family, generator, or any other text a picture has.

    genuine: names drawn in the blue of genuine pictures. Raises BadInput if there are not as many names as points.
    """
    if len(points) != len(names):
        raise BadInput(f"A map takes one name a point; these are {len(names)} names for {len(points)} points.")
    known, counts = np.unique(np.asarray(names, dtype=str), return_counts=True)
    ranked = [str(known[k]) for k in np.lexsort((known, -counts))]
    shown = ranked if len(ranked) <= MAX_NAMES else ranked[: MAX_NAMES - 1]
    labels = np.array([name if name in shown else "other" for name in map(str, names)], dtype=str)
    groups = shown if len(shown) == len(ranked) else [*shown, "other"]
    colours = _colours_of(groups, genuine)

    figure = new_figure(height_px=640)
    axes = figure.add_subplot()
    style(axes, title=title)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    # The points of all groups go down in one mixed order, so that no group hides under the next.
    size = float(np.clip(14_000 / max(1, len(points)), 9, 46))
    for chunk in np.array_split(np.random.default_rng(0).permutation(len(points)), min(40, max(1, len(points)))):
        for k, name in enumerate(groups):
            mine = chunk[labels[chunk] == name]
            if len(mine):
                axes.scatter(
                    points[mine, 0],
                    points[mine, 1],
                    s=size,
                    marker=MARKERS[k % len(MARKERS)],
                    facecolors=colours[name],
                    edgecolors="white",
                    linewidths=0.3,
                    alpha=0.85,
                )
    for k, name in enumerate(groups):
        label = f"{name} ({int((labels == name).sum()):,})"
        axes.scatter([], [], s=46, color=colours[name], marker=MARKERS[k % len(MARKERS)], label=label)
    if groups:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=10, labelcolor="#1f2933")
    return figure


def _colours_of(names: Sequence[str], genuine: Sequence[str]) -> dict[str, str]:
    """Return the fixed colours if every name is a family, else one of SERIES each."""
    if set(names) <= {*FAMILY_COLOURS, "other"}:
        return {name: FAMILY_COLOURS.get(name, GREY) for name in names}
    free = [name for name in names if name not in genuine and name != "other"]
    colours = {name: SERIES[k % len(SERIES)] for k, name in enumerate(free)}
    return {name: GENUINE if name in genuine else colours.get(name, GREY) for name in names}
