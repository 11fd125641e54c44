"""Pictures as points on a plane, coloured by what made them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gencv.core.errors import BadInput
from gencv.plots.look import FAMILY_COLOURS, GENUINE, GREY, INK, MARKERS, SERIES, WIDTH_PX, new_figure, short, style

NARROW_PX = 640
MAX_NAMES = 12
"""Names in the legend; the rarer ones are drawn together as "other"."""


def draw_map(
    points: np.ndarray,
    names: Sequence[str],
    *,
    title: str = "",
    genuine: Sequence[str] = ("real",),
    width_px: int = WIDTH_PX,
    num_names: int = 0,
) -> Figure:
    """Draw points [N, 2] with one colour and marker a name: family, generator, or any other text a picture has.

    genuine: names drawn in the blue of genuine pictures. width_px: under NARROW_PX the legend stands beneath the map,
    and has room for `num_names` at least, so that maps beside each other are of one height.
    Raises BadInput if there are not as many names as points.
    """
    if len(points) != len(names):
        raise BadInput(f"A map takes one name a point; these are {len(names)} names for {len(points)} points.")
    known, counts = np.unique(np.asarray(names, dtype=str), return_counts=True)
    ranked = [str(known[k]) for k in np.lexsort((known, -counts))]
    shown = ranked[:] if len(ranked) <= MAX_NAMES else ranked[: MAX_NAMES - 1]
    labels = np.array([name if name in shown else "other" for name in map(str, names)], dtype=str)
    shown.sort(key=lambda name: name not in genuine)  # so that they have one marker in every map
    groups = shown if len(shown) == len(ranked) else [*shown, "other"]
    colours = _colours_of(groups, genuine)

    narrow = width_px < NARROW_PX
    height = width_px + 44 + 21 * -(-min(MAX_NAMES, max(num_names, len(groups))) // 2) if narrow else 640
    figure = new_figure(width_px, height)
    axes = figure.add_subplot()
    style(axes, title=title)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    # The points of all groups go down in one mixed order, so that no group hides under the next.
    size = float(np.clip(14_000 / max(1, len(points)), 9, 46)) * (0.6 if narrow else 1)
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
        label = f"{short(name) if narrow else name} ({int((labels == name).sum()):,})"
        axes.scatter([], [], s=46, color=colours[name], marker=MARKERS[k % len(MARKERS)], label=label)
    if groups:
        look: dict[str, Any] = {"frameon": False, "fontsize": 10, "labelcolor": INK}
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        if narrow:
            place = {
                "loc": "upper left",
                "bbox_to_anchor": (0.0, 0.0),
                "ncols": 2,
                "columnspacing": 0.8,
                "handletextpad": 0.2,
            }
        axes.legend(**place, **look)
    return figure


def _colours_of(names: Sequence[str], genuine: Sequence[str]) -> dict[str, str]:
    """Return the fixed colours if every name is a family, else one of SERIES each."""
    if set(names) <= {*FAMILY_COLOURS, "other"}:
        return {name: FAMILY_COLOURS.get(name, GREY) for name in names}
    free = [name for name in names if name not in genuine and name != "other"]
    colours = {name: SERIES[k % len(SERIES)] for k, name in enumerate(free)}
    return {name: GENUINE if name in genuine else colours.get(name, GREY) for name in names}
