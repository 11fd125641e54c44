"""The page of a visualisation: maps of features, where a detector looks, what a verdict lies near, mean spectra."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gencv.core.manifest import Manifest
from gencv.core.spectra import Spectra
from gencv.evaluate.examples import EXAMPLES
from gencv.evaluate.neighbours import Neighbours
from gencv.evaluate.projection import TITLES, Projection
from gencv.plots.heat import draw_heat_sheet, draw_legend, enlarge, overlay
from gencv.plots.look import GENUINE, POSITIVE, to_png
from gencv.plots.maps import draw_map
from gencv.plots.pages import pictures_of
from gencv.plots.sheets import Tile, draw_tiles
from gencv.plots.spectra import MAX_LINES, draw_differences, draw_profiles, draw_spectra
from gencv.runs.report import Report

HALF_PX, THIRD_PX = 458, 298
"""Two sheets, or three maps, of this width stand side by side; on a phone each has a row of its own."""
GREY_PICTURE = np.full((64, 64, 3), 200, np.uint8)
"""Stands for a picture that cannot be read any more."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Where a detector looks in some pictures: rows of the manifest, and what it saw of each."""

    method: str
    """What made the maps, or "" where there are none."""
    meaning: str
    """How to read a map; without maps, why there are none."""
    rows: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    """By label and one of EXAMPLES."""
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    """uint8 [S, S, 3] by row, as the network saw it."""
    heat: dict[int, np.ndarray] = field(default_factory=dict)
    """float32 [S, S] in [0, 1] by row."""
    tokens: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    """Like `heat`, by row and by the token that a rollout ends in."""


@dataclass(frozen=True, kw_only=True)
class Why:
    """The training pictures nearest to some pictures: by label, row by row with `rows` of the judged manifest."""

    training: Manifest
    rows: list[int]
    found: dict[int, Neighbours]


@dataclass(frozen=True, kw_only=True)
class Network:
    """All that is shown of one detector, or of one encoder's embeddings; rows are those of the judged manifest."""

    name: str
    labels: tuple[str, str]
    projection: Projection | None
    scores: np.ndarray | None = None
    """float64 [N], NaN without an answer."""
    threshold: float = 0.5
    looked: Looked | None = None
    why: Why | None = None

    def called(self, row: int) -> str:
        assert self.scores is not None
        return self.labels[int(self.scores[row] >= self.threshold)]


def to_json(network: Network, manifest: Manifest) -> dict[str, Any]:
    """Return what visualise.json holds of one network."""
    ids, looked, why, projection = manifest["id"], network.looked, network.why, network.projection
    taught = why.training["id"] if why else []
    return {
        "name": network.name,
        "map": None
        if projection is None
        else [
            {"id": ids[row], "x": round(float(x), 4), "y": round(float(y), 4)}
            for row, (x, y) in zip(projection.rows, projection.points, strict=True)
        ],
        "threshold": network.threshold if network.scores is not None else None,
        "method": looked.method if looked else None,
        "examples": [
            {"label": label, "kind": kind, "id": ids[row], "score": float(network.scores[row])}
            for (label, kind), rows in (looked.rows if looked else {}).items()
            for row in rows
            if network.scores is not None
        ],
        "neighbours": None
        if why is None
        else [
            {
                "id": ids[row],
                **{
                    name: [
                        {"id": taught[int(one)], "cosine": round(float(cosine), 5)}
                        for one, cosine in zip(
                            why.found[label].rows[place], why.found[label].cosines[place], strict=True
                        )
                        if one >= 0
                    ]
                    for label, name in enumerate(("genuine", "positive"))
                },
            }
            for place, row in enumerate(why.rows)
        ],
    }


def visualise_report(
    manifest: Manifest,
    networks: Sequence[Network],
    spectra: Spectra | None,
    *,
    what: str,
    colour: Sequence[str],
    method: str,
) -> Report:
    """Show everything that was made. what: which pictures these are; method: how features are laid out on a plane."""
    title = f"Inside {networks[0].name}" if len(networks) == 1 else f"Inside {len(networks)} detectors"
    report = Report(title, what)
    report.headline("Pictures", len(manifest), f"{len(set(manifest['generator']))} generators")
    for network in networks:
        if network.looked is not None:
            report.headline(network.name, network.looked.method or "no map", "where it looks")
    if spectra is not None:
        report.headline("Spectra", f"{spectra.side_px} px", "square from the middle, never resized")
    add_maps(report, manifest, networks, colour, method)
    for network in networks:
        add_looked(report, manifest, network, len(networks) > 1)
        add_why(report, manifest, network, len(networks) > 1)
    if spectra is not None:
        add_spectra(report, manifest, spectra)
    return report


def add_maps(
    report: Report, manifest: Manifest, networks: Sequence[Network], colour: Sequence[str], method: str
) -> None:
    """Add a map of features for each network, once for each way to colour it."""
    report.section(
        "The features on a plane",
        f"{TITLES[method]} of what the last layer of each network sees. Near points are alike to it. How far apart two "
        "clusters lie, how large they are, and how the plane is turned mean nothing.",
    )
    width = THIRD_PX if len(colour) > 2 else HALF_PX
    for network in networks:
        projection = network.projection
        if projection is None:
            report.note(f"{network.name}: fewer than three pictures have features, so there is no map.")
            continue
        ways = {name: COLOURS[name](manifest, network.labels) for name in colour}
        chosen = {name: [words[row] for row in projection.rows] for name, (words, _) in ways.items()}
        most = max(len(set(words)) for words in chosen.values())
        pictures = {}
        for name, (_, genuine) in ways.items():
            look: dict[str, Any] = {"genuine": genuine, "width_px": width, "num_names": most}
            figure = draw_map(projection.points, chosen[name], title=f"By {name}", **look)
            pictures[f"{network.name}, by {name}"] = to_png(figure)
        report.figures(pictures, f"{network.name}: {len(projection.rows):,} pictures.")


def add_looked(report: Report, manifest: Manifest, network: Network, several: bool) -> None:
    """Add the maps of where a detector looks, in its surest, wrong, and uncertain pictures of either class."""
    looked = network.looked
    if looked is None:
        return
    report.section(f"Where {network.name} looks" if several else "Where it looks", looked.meaning)
    if not looked.method:
        return
    report.figures(
        {"legend": draw_legend(HALF_PX)},
        "Each picture as the network saw it, and beneath it with its map; then what it "
        "is called, its score, and its generator.",
    )
    for kind in EXAMPLES:
        sheets = {}
        for label, name in enumerate(network.labels):
            rows = [row for row in looked.rows[label, kind] if row in looked.heat]
            tiles = [(looked.pixels[row], looked.heat[row], caption(manifest, network, row)) for row in rows]
            if tiles:
                sheets[f"{name}, {kind}"] = draw_heat_sheet(tiles, label, title=f"{name.capitalize()}, {kind}")
        if sheets:
            report.figures(sheets)
        else:
            report.note(f"There are none that are {kind}.")
    if looked.tokens:
        add_tokens(report, manifest, network, looked)


def add_tokens(report: Report, manifest: Manifest, network: Network, looked: Looked) -> None:
    """Add the maps of each token that the verdict is read from, and their mean."""
    tiles: list[Tile | None] = []
    names = list(next(iter(looked.tokens.values())))
    for row, tokens in list(looked.tokens.items())[:4]:
        side = len(overlay(looked.pixels[row], looked.heat[row]))
        frame = {0: GENUINE, 1: POSITIVE}.get(manifest["label"][row], "")
        tiles.append(Tile(enlarge(looked.pixels[row], side), caption(manifest, network, row), frame))
        tiles += [Tile(overlay(looked.pixels[row], tokens[name]), name.removesuffix(" token")) for name in names]
        tiles.append(Tile(overlay(looked.pixels[row], looked.heat[row]), "their mean"))
    sheet = draw_tiles(tiles, 2 + len(names), HALF_PX, "By token")
    report.figures({"maps by token": sheet}, "The verdict is the mean of two heads, and each reads a token of its own.")


def add_why(report: Report, manifest: Manifest, network: Network, several: bool) -> None:
    """Add, for some pictures, the training pictures of either class that lie nearest in the detector's features."""
    why = network.why
    if why is None:
        return
    report.section(
        f"What the verdicts of {network.name} lie near" if several else "What its verdicts lie near",
        "Mistakes first, then uncertain verdicts; beneath each picture stands what it is called. Beside it are the "
        f"nearest training pictures, {network.labels[0]} above and {network.labels[1]} beneath, with the cosine of the "
        "detector's features; frames show the true class. Nearness is a hint at what a verdict rests on, and no proof.",
    )
    sheets = {}
    labels, uris, generators = manifest["label"], manifest["uri"], why.training["generator"]
    shown = dict(zip(why.rows, or_grey(pictures_of(manifest, why.rows)), strict=True))
    for place, row in enumerate(why.rows):
        first = Tile(shown[row], caption(manifest, network, row), (GENUINE, POSITIVE)[labels[row]])
        tiles: list[Tile | None] = []
        for other, found in why.found.items():
            near, cosines = found.rows[place], found.cosines[place]
            there = [int(one) for one in near if one >= 0]
            images = or_grey(pictures_of(why.training, there))
            tiles += [first if other == 0 else None]
            tiles += [
                Tile(image, f"cosine {cosine:.3f}\n{generators[one]}", (GENUINE, POSITIVE)[other])
                for image, cosine, one in zip(images, cosines, there, strict=False)
            ]
            tiles += [None] * (len(near) - len(there))
        sheets[f"neighbours of {uris[row]}"] = draw_tiles(tiles, 1 + found.rows.shape[1], HALF_PX)
    report.figures(sheets)


def add_spectra(report: Report, manifest: Manifest, spectra: Spectra) -> None:
    """Add the mean spectra of every generator, and their radial profiles."""
    genuine = genuine_of(manifest)
    small = ", ".join(f"{count:,} of {name}" for name, count in sorted(spectra.num_small.items()))
    report.section(
        "Mean spectra",
        f"The mean of the log-power spectra of a square of {spectra.side_px} px from the middle of each picture, not "
        "resized, under a Hann window. A generator that repeats a pattern draws dots or a grid; one that smooths lacks "
        "high frequencies.\n\nThe figures also show what was done to the files. Dots at multiples of 1/8 are "
        "the blocks of JPEG, and pictures that were enlarged lack high frequencies, whoever made them. Compare "
        "generators whose files were treated alike.",
    )
    if small:
        report.note(f"Smaller than the square, and left out: {small}.")
    others = len(spectra.by_signal["luma"]) - MAX_LINES
    unseen = f" The {others} generators of the fewest pictures stand in visualise.json." if others > 0 else ""
    names = {signal: ordered(means, genuine) for signal, means in spectra.by_signal.items()}
    report.figures(
        {"residual spectra": to_png(draw_spectra(names["residual"], title="Residual: luma less its 3 × 3 median"))},
        "Frequencies in cycles a pixel, zero in the middle. The residual sets the content aside.",
    )
    report.figures(
        {
            "radial profiles": to_png(draw_profiles(names["luma"], genuine, width_px=HALF_PX)),
            "differences": to_png(draw_differences(names["luma"], genuine, width_px=HALF_PX)),
        },
        "The mean over rings of equal frequency, of luma itself. Bands are two standard errors over pictures to either "
        f"side; pictures of one group are not independent, so the true ones are wider.{unseen}",
    )


def genuine_of(manifest: Manifest) -> list[str]:
    """Return the generators all of whose labelled pictures are genuine, by name."""
    pairs = set(zip(manifest["generator"], manifest["label"], strict=True))
    return sorted({name for name, label in pairs if label == 0} - {name for name, label in pairs if label == 1})


def ordered(means: Mapping, genuine: Sequence[str]) -> dict:
    """Return what there is by generator, genuine ones first, then by name."""
    return {name: means[name] for name in sorted(means, key=lambda name: (name not in genuine, name))}


def caption(manifest: Manifest, network: Network, row: int) -> str:
    assert network.scores is not None
    return f"{network.called(row)}\nscore {network.scores[row]:.3f}\n{manifest['generator'][row]}"


def or_grey(images: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    return [GREY_PICTURE if image is None else image for image in images]


def by_class(manifest: Manifest, labels: tuple[str, str]) -> tuple[list[str], list[str]]:
    names = [labels[label] if label in (0, 1) else "not labelled" for label in manifest["label"]]
    return names, [labels[0]]


def by_family(manifest: Manifest, labels: tuple[str, str]) -> tuple[list[str], list[str]]:
    return [str(name) for name in manifest["family"]], ["real"]


def by_generator(manifest: Manifest, labels: tuple[str, str]) -> tuple[list[str], list[str]]:
    return [str(name) for name in manifest["generator"]], genuine_of(manifest)


COLOURS: dict[str, Callable[[Manifest, tuple[str, str]], tuple[list[str], list[str]]]] = {
    "class": by_class,
    "family": by_family,
    "generator": by_generator,
}
"""What points are coloured by: manifest, names of the classes -> a name for each row, and which names are genuine."""
