"""A small spoof data set that needs no download: crops of photographs that Python packages ship, half of them attacked.

    starter:                       all photographs, 16 crops each, as print, replay, and recapture in turn
    starter:?crops=4&size=128&attacks=print,replay&seed=1

It is there so that every path can be tried; the photographs are few, so what is learned from them says little.
Every genuine crop has its attacked twin: same content, same size, same JPEG quality, so that nothing but the attack
tells them apart; both are of one group, the photograph.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np

from gencv.core.errors import BadSource, UnknownName
from gencv.core.record import ImageRecord, family_of
from gencv.core.seeds import rng_for
from gencv.datasets.source import Source
from gencv.images.attacks import ATTACKS, MIN_SIDE_PX, attack
from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg
from gencv.images.transform import resize

QUALITIES = (75, 96)
"""JPEG qualities from and below which one is drawn for each pair."""

SCALES = (0.6, 1.0)
"""Sides of a crop, as shares of the photograph's shorter side."""


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the crops: each genuine one, `starter:coffee#03`, and then its attacked twin, `starter:coffee#03/print`.

    Options beside the common ones: crops=N a photograph, size=N px a side, attacks=NAME[,NAME] of images.attacks, in
    rotation, so that they are balanced; seed=N. Raises UnknownName for another attack.
    """
    source.accept("crops", "size", "attacks", "seed")
    if source.location:
        raise BadSource(f"{source} has a location; the photographs come with the packages, so write starter: alone.")
    attacks = source.names("attacks") or ("print", "replay", "recapture")
    for name in attacks:
        if name not in ATTACKS:
            raise UnknownName("attack", name, ATTACKS)
    num_crops, size_px = source.integer("crops", 16, 1), source.integer("size", 192, MIN_SIDE_PX)
    seed = source.integer("seed", 0, 0)
    turn = count()
    for photograph, path in photographs().items():
        image = decode(path.read_bytes())
        for index in range(num_crops):
            uri = f"starter:{photograph}#{index:02d}"
            crop = _crop(image, size_px, rng_for(seed, uri, "crop"))
            quality = int(rng_for(seed, uri, "quality").integers(*QUALITIES))
            name = attacks[next(turn) % len(attacks)]
            group = GROUPS.get(photograph, photograph)
            yield ImageRecord(
                uri=uri, data=encode_jpeg(crop, quality), label=0, generator="camera", family="real", group=group
            )
            attacked = attack(crop, name, uri, seed)
            yield ImageRecord(
                uri=f"{uri}/{name}",
                data=encode_jpeg(attacked, quality),
                label=1,
                generator=name,
                family=family_of(name),
                group=group,
            )


def photograph_at(place: str) -> str:
    """Return where the file of `starter:NAME` lies, one of these photographs, and any other place as it is.

    Raises UnknownName, BadSource.
    """
    kind, _, name = place.partition(":")
    if kind != "starter":
        return place
    found = photographs()
    if name not in found:
        raise UnknownName("photograph", name, found)
    return str(found[name])


def photographs() -> dict[str, Path]:
    """Return the photographs by name, in order. Raises BadSource if a package came without them."""
    found: dict[str, Path] = {}
    for package, folder, files in PACKAGES:
        # Found without an import, which would take seconds and is not needed to read a file.
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            found |= {Path(file).stem: Path(root, folder, file) for file in files}
    absent = [file for _, _, files in PACKAGES for file in files if not found.get(Path(file).stem, Path()).is_file()]
    if absent:
        raise BadSource(f"scikit-image and scikit-learn, as installed, lack {', '.join(absent)}; get them from PyPI.")
    return dict(sorted(found.items()))


def _crop(image: np.ndarray, size_px: int, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    side = round(min(height, width) * rng.uniform(*SCALES))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return resize(image[top : top + side, left : left + side], size_px, size_px, "bicubic")


_SKIMAGE = """astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png grass.png
gravel.png hubble_deep_field.jpg ihc.png microaneurysms.png moon.png motorcycle_left.png motorcycle_right.png page.png
retina.jpg rocket.jpg text.png"""
PACKAGES = (
    ("skimage", "data", _SKIMAGE.split()),
    ("sklearn", "datasets/images", ["china.jpg", "flower.jpg"]),
)
GROUPS = {"motorcycle_left": "motorcycle", "motorcycle_right": "motorcycle"}
"""Photographs that show the same thing."""
