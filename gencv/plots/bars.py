"""Where a detector fails, worst first: one bar a generator, one a source of genuine pictures."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from gencv.evaluate.generators import GeneratorRow
from gencv.plots.look import FAINT, FAMILY_COLOURS, GENUINE, GREY, INK, LINE, new_figure, say, style

MAX_NAME = 32


def draw_generators(rows: Sequence[GeneratorRow], *, names: tuple[str, str] = ("genuine", "positive")) -> Figure:
    """Draw recall with its 95 % interval for each generator, and the false-positive rate of each genuine source."""
    parts = [part for part in ([r for r in rows if not r.is_genuine], [r for r in rows if r.is_genuine]) if part]
    if not parts:
        figure = new_figure(height_px=160)
        say(figure.add_subplot(), "There are no labelled pictures.")
        return figure
    figure = new_figure(height_px=sum(110 + 34 * len(part) for part in parts))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[2 + len(part) for part in parts])
    for axes, part in zip(grid[:, 0], parts, strict=True):
        is_genuine = part[0].is_genuine
        title = f"{names[0]} called {names[1]}, by source" if is_genuine else f"{names[1]} found, by generator"
        style(axes, title=title[0].upper() + title[1:], x="false-positive rate" if is_genuine else "recall", grid="x")
        # An axis to 1 would hide false-positive rates, which are small where a detector is any good.
        highest = max(row.rate.high or row.rate.value or 0.0 for row in part)
        end = min(1.0, max(0.05, highest * 1.25)) if is_genuine else 1.0
        for place, row in enumerate(part):
            value = row.rate.value or 0.0
            colour = GENUINE if is_genuine else FAMILY_COLOURS.get(row.family, GREY)
            axes.barh(place, end, 0.62, color=FAINT)
            axes.barh(place, value, 0.62, color=colour)
            if row.rate.low is not None and row.rate.high is not None:
                axes.plot([row.rate.low, row.rate.high], [place, place], color=INK, linewidth=1.3)
                for edge in (row.rate.low, row.rate.high):
                    axes.plot([edge, edge], [place - 0.13, place + 0.13], color=INK, linewidth=1.3)
            few = "  few groups" if "few groups" in row.rate.reason else ""
            axes.annotate(
                f"{row.rate.text()}{few}",
                (1, place),
                xycoords=("axes fraction", "data"),
                xytext=(10, 0),
                textcoords="offset points",
                va="center",
                fontsize=9.5,
                color=GREY if few else INK,
                annotation_clip=False,
            )
        axes.set(xlim=(0, end), ylim=(len(part) - 0.5, -0.5), yticks=range(len(part)))
        axes.set_yticklabels([_name_of(row) for row in part])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
    return figure


def _name_of(row: GeneratorRow) -> str:
    name = row.name if len(row.name) <= MAX_NAME else f"{row.name[: MAX_NAME - 1]}…"
    family = "" if row.is_genuine or row.family in ("unknown", row.generator) else f"{row.family}, "
    return f"{name}  ({family}{row.num_rows:,})"
