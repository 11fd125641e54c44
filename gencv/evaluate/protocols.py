"""The ways in which a detector is tried: what files it is given, and what happened to them on the way.

A protocol says which files are saved anew before anything else: none (native), the positives alone (fakes_aligned), or
all (all_recompressed). A degradation says what comes after it: a tier, from clean to a chain of steps, or one
degradation at one strength. One of each is a cell, and every cell judges the same pictures at the same threshold.

What a cell does to a picture is its version, and cells share versions: a genuine picture is the same file in native
and in fakes_aligned. Everything acts on the decoded picture as it came, before the detector's own preprocessing.

Source: fakes_aligned after DDA (Chen et al. 2025, arXiv:2505.14359), where the fakes get the JPEG that the real
pictures had; all_recompressed after the question of Grommelt et al. 2024, arXiv:2403.17608; the tiers web and hard are
Sieve's (github.com/Phineas1500/sieve); chained after RealChain (arXiv:2512.20937). Choice: the protocol comes first, as
it is about the files that were gathered; the tier is what others do to them later.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gencv.core.errors import BadImage, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.seeds import rng_for, uniform_for
from gencv.images.decode import decode
from gencv.images.degrade import DEGRADATIONS, chain, encode_jpeg, fit, jpeg

RECOMPRESSED_QUALITY = 96
MIN_SIDE_PX = 16
"""A degradation that leaves less than this of a shorter side leaves no picture to judge."""
MAX_SIDE_PX = 16_383
"""What a WebP holds; one limit for every degradation, so that all cells lose the same pictures."""


@dataclass(frozen=True)
class Version:
    """What is done to one picture: saved anew or not, then a key of TIERS, or one of DEGRADATIONS at a strength."""

    is_recompressed: bool
    degradation: str
    strength: float | None = None

    def __call__(self, image: np.ndarray, image_id: str, seed: int) -> np.ndarray:
        """uint8 RGB [H, W, 3], saved anew already if it is to be, -> what it becomes. Raises BadImage.

        What is drawn belongs to the picture and the degradation: a picture has one chain in every protocol.
        """
        before = min(image.shape[:2])
        if max(image.shape[:2]) > MAX_SIDE_PX and self.degradation != CLEAN:
            raise BadImage("too_many_pixels", f"a degradation takes {MAX_SIDE_PX} px a side")
        rng = rng_for(seed, image_id, f"robustness {self.degradation}")
        if self.strength is None:
            made = TIERS[self.degradation](image, rng)
        else:
            made = DEGRADATIONS[self.degradation].function(image, self.strength, rng)
        if (after := min(made.shape[:2])) < min(MIN_SIDE_PX, before):
            raise BadImage("too_small", f"{after} px are left, limit {MIN_SIDE_PX}")
        return made


@dataclass(frozen=True)
class Cell:
    """A protocol and a degradation: one line of the table that says how a detector holds up."""

    protocol: str
    """A key of PROTOCOLS."""
    degradation: str
    """A key of TIERS where there is no strength, else of DEGRADATIONS."""
    strength: float | None = None

    @property
    def name(self) -> str:
        """Name it for people and for keys: "native web", or "native jpeg 75"."""
        strength = "" if self.strength is None else f" {self.strength:g}"
        return f"{self.protocol} {self.degradation}{strength}"

    def version(self, label: int) -> Version:
        """Return what this cell does to a picture of that label."""
        return Version(PROTOCOLS[self.protocol][label], self.degradation, self.strength)


def cells_of(which: str) -> list[Cell]:
    """Return the cells of a key of CHOICES. Raises UnknownName."""
    if which not in CHOICES:
        raise UnknownName("choice of robustness", which, CHOICES)
    return CHOICES[which]()


def versions_of(cells: Iterable[Cell]) -> list[Version]:
    """Return what has to be made for some cells, each once; pictures as they came are judged already."""
    found = dict.fromkeys(cell.version(label) for cell in cells for label in (0, 1))
    return [version for version in found if version != NATIVE_CLEAN]


def make_versions(
    image: np.ndarray, image_id: str, versions: Iterable[Version], seed: int
) -> Iterator[tuple[Version, np.ndarray | BadImage]]:
    """Make the versions of one picture, one in memory at a time, each with what keeps it from being one."""
    again: np.ndarray | None = None
    for version in versions:
        try:
            if version.is_recompressed:
                again = recompress(image) if again is None else again
            yield version, version(again if version.is_recompressed and again is not None else image, image_id, seed)
        except BadImage as bad:
            yield version, bad


def recompress(image: np.ndarray) -> np.ndarray:
    """Save as JPEG of quality 96 and 4:2:0, and decode again. Raises BadImage above MAX_SIDE_PX."""
    if max(image.shape[:2]) > MAX_SIDE_PX:
        raise BadImage("too_many_pixels", f"a degradation takes {MAX_SIDE_PX} px a side")
    return decode(encode_jpeg(image, RECOMPRESSED_QUALITY))


def draw_sample(manifest: Manifest, per_class: int, seed: int) -> Manifest:
    """Draw at most so many readable pictures of each class, in the manifest's order.

    One picture of every group is drawn before a second of any, so that as many groups as can be are there.
    """
    columns = (manifest[name] for name in ("id", "label", "group", "error"))
    places: dict[int, list[tuple[int, float, int]]] = {0: [], 1: []}
    turns: dict[tuple[int, str], int] = {}
    rows = sorted(enumerate(zip(*columns, strict=True)), key=lambda row: uniform_for(seed, row[1][0], "robustness"))
    for row, (image_id, label, group, error) in rows:
        if label in places and error is None:
            name = group or image_id
            turn = turns[label, name] = turns.get((label, name), -1) + 1
            places[label].append((turn, uniform_for(seed, name, "robustness"), row))
    chosen = {row for found in places.values() for _, _, row in sorted(found)[:per_class]}
    return manifest.where([row in chosen for row in range(len(manifest))])


def _clean(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image


def _web(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return jpeg(fit(image, 768), 60, rng)


def _hard(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return jpeg(fit(image, 512), 40, rng)


CLEAN = "clean"
TIERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    CLEAN: _clean,
    "web": _web,
    "hard": _hard,
    "chained": chain,
}
"""By name, mild to severe: as it is; at most 768 px as JPEG 60; at most 512 px as JPEG 40; a chain of 2 to 5 steps."""

PROTOCOLS: dict[str, tuple[bool, bool]] = {
    "native": (False, False),
    "fakes_aligned": (False, True),
    "all_recompressed": (True, True),
}
"""By name: whether genuine pictures are saved anew as JPEG 96, and whether positives are."""

NATIVE = Cell("native", CLEAN)
"""The pictures as they came: what every other cell is measured against."""
NATIVE_CLEAN = NATIVE.version(0)


def _tiers() -> list[Cell]:
    return [Cell(protocol, tier) for protocol in PROTOCOLS for tier in TIERS]


def _all() -> list[Cell]:
    sweeps = [Cell("native", name, strength) for name, way in DEGRADATIONS.items() for strength in way.strengths]
    return [*_tiers(), *sweeps]


CHOICES: dict[str, Callable[[], list[Cell]]] = {"none": list, "tiers": _tiers, "all": _all}
"""By name: no cell, every protocol at every tier, and also every degradation at every strength on native pictures."""
