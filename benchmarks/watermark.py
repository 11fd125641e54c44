"""How the watermark holds, and what it costs: pictures marked, attacked, and read again.

    OMP_NUM_THREADS=1 python benchmarks/watermark.py --pictures ../shared/data --per-set 20

Prints a table for docs/results.md: for each attack the share of marks that are read with their payload, with its
interval, photographs and generated pictures apart, at the size in the head; PSNR and SSIM; time of one core; what is
read in pictures without a mark; and what a stamp costs beside encoding. There is no baseline to race: the table is the
claim.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from common import options
from PIL import Image
from scipy.stats import binomtest
from skimage.metrics import structural_similarity

from gencv.images import degrade
from gencv.images.decode import decode
from gencv.images.transform import resize
from gencv.provenance import watermark
from gencv.provenance.parameters import Parameters
from gencv.provenance.stamp import FORMATS, read, stamp

SETS = {
    "photographs": ("coco_captions", "clothing", "products"),
    "generated": ("sd_tiles", "sd3_portraits"),
}
SIZES = (512, 256, 128, 64)
"""Shorter sides, in px; no picture is enlarged, and none is taken whose shorter side is under LEAST of it."""
LEAST = 0.9

Attack = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def scaled(image: np.ndarray, down: float, across: float) -> np.ndarray:
    """Resize by two factors (bicubic)."""
    return resize(image, round(image.shape[0] * down), round(image.shape[1] * across), "bicubic")


def like(image: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Resize to the size that another picture had."""
    return resize(image, *before.shape[:2], "bicubic")


def inner(image: np.ndarray, cut: float) -> np.ndarray:
    """Cut that share of a side off each of the four borders."""
    down, across = round(image.shape[0] * cut), round(image.shape[1] * cut)
    return np.ascontiguousarray(image[down : image.shape[0] - down, across : image.shape[1] - across])


def blanked(image: np.ndarray, cut: float) -> np.ndarray:
    """Paint that share of a side black along each border."""
    out, part = np.zeros_like(image), inner(image, cut)
    down, across = round(image.shape[0] * cut), round(image.shape[1] * cut)
    out[down : down + part.shape[0], across : across + part.shape[1]] = part
    return out


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turn about the middle, the border reflected."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def levels(image: np.ndarray, gain: float, offset: float) -> np.ndarray:
    """Scale and shift the levels."""
    return np.clip(image * np.float32(gain) + np.float32(offset), 0, 255).astype(np.uint8)


ATTACKS: dict[str, Attack] = {
    "none": lambda image, rng: image,
    "JPEG 75": lambda image, rng: degrade.jpeg(image, 75, rng),
    "JPEG 50": lambda image, rng: degrade.jpeg(image, 50, rng),
    "JPEG 30": lambda image, rng: degrade.jpeg(image, 30, rng),
    "WebP 50": lambda image, rng: degrade.webp(image, 50, rng),
    "resized to .5": lambda image, rng: scaled(image, 0.5, 0.5),
    "resized to .5 and back": lambda image, rng: like(scaled(image, 0.5, 0.5), image),
    "resized to .5, JPEG 75": lambda image, rng: degrade.jpeg(scaled(image, 0.5, 0.5), 75, rng),
    "resized to .75": lambda image, rng: scaled(image, 0.75, 0.75),
    "resized to 1.5": lambda image, rng: scaled(image, 1.5, 1.5),
    "squeezed to .75 of its width": lambda image, rng: scaled(image, 1, 0.75),
    "brightness x1.2": lambda image, rng: levels(image, 1.2, 0),
    "contrast x.8": lambda image, rng: levels(image, 0.8, 25),
    "grey": lambda image, rng: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2),
    "5 % cut off each border, resized to the old size": lambda image, rng: like(inner(image, 0.05), image),
    "10 % cut off each border, resized to the old size": lambda image, rng: like(inner(image, 0.1), image),
    "crop to .7 of either side": lambda image, rng: degrade.crop(image, 0.7, rng),
    "crop to .55 of either side": lambda image, rng: degrade.crop(image, 0.55, rng),
    "crop to .8, JPEG 50": lambda image, rng: degrade.jpeg(degrade.crop(image, 0.8, rng), 50, rng),
    "10 % of each border painted black": lambda image, rng: blanked(image, 0.1),
    "mirrored": lambda image, rng: np.ascontiguousarray(image[:, ::-1]),
    "turned by 90 degrees": lambda image, rng: np.ascontiguousarray(np.rot90(image)),
    "turned by 2 degrees": lambda image, rng: turned(image, 2),
    "blur, sigma 1 px": lambda image, rng: degrade.gaussian_blur(image, 1, rng),
    "blur, sigma 2 px": lambda image, rng: degrade.gaussian_blur(image, 2, rng),
    "noise, sigma 5 levels": lambda image, rng: degrade.noise(image, 5, rng),
    "noise, sigma 10 levels": lambda image, rng: degrade.noise(image, 10, rng),
    "screenshot at .9": lambda image, rng: degrade.screenshot(image, 0.9, rng),
    "screenshot at .7": lambda image, rng: degrade.screenshot(image, 0.7, rng),
    "chain of 2 to 5 of these": lambda image, rng: degrade.chain(image, rng),
}
"""What is done to a marked picture: (image, rng) -> picture."""


def pictures(folder: Path, sets: tuple[str, ...], count: int, side_px: int) -> Iterator[np.ndarray]:
    """Yield `count` pictures of each set, evenly spaced, reduced to a shorter side of side_px."""
    for name in sets:
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix in (".jpg", ".jpeg", ".png", ".webp"))
        files = [path for path in found if min(Image.open(path).size) >= LEAST * side_px]
        for index in range(min(count, len(files))):
            image = decode(files[index * len(files) // count].read_bytes())
            scale = side_px / min(image.shape[:2])
            yield scaled(image, scale, scale) if scale < 1 else image


def psnr_db(image: np.ndarray, other: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 pictures."""
    return float(10 * np.log10(255**2 / np.mean(np.square(image.astype(np.float32) - other))))


def share(num_hits: int, count: int) -> str:
    """Return a share in percent with its interval of 95 % (Wilson)."""
    interval = binomtest(num_hits, count).proportion_ci(method="wilson")
    return f"{100 * num_hits / count:.0f} ({100 * interval.low:.0f} to {100 * interval.high:.0f})"


def measure(folder: Path, count: int) -> None:
    """Print the table of attacks, PSNR, and times."""
    read: dict[str, list[str]] = {name: [] for name in ATTACKS}
    heads, notes = [], []
    for side_px in SIZES:
        for kind, sets in SETS.items():
            hits: dict[str, list[bool]] = {name: [] for name in ATTACKS}
            noises, likenesses, embed_ms, read_ms = [], [], [], []
            for index, image in enumerate(pictures(folder, sets, count, side_px)):
                rng = np.random.default_rng(index)
                payload = int(rng.integers(1 << 32))
                start = time.process_time()
                marked = watermark.embed(image, payload)
                embed_ms.append(1e3 * (time.process_time() - start))
                noises.append(psnr_db(image, marked))
                likenesses.append(structural_similarity(image, marked, channel_axis=2))
                for name, attack in ATTACKS.items():
                    attacked = attack(marked, rng)
                    start = time.process_time()
                    hits[name].append(watermark.detect(attacked).payload == payload)
                    read_ms.append(1e3 * (time.process_time() - start))
            if not noises:
                continue
            for name, found in hits.items():
                read[name].append(share(sum(found), len(found)))
            heads.append(f"{kind} {side_px} px")
            notes.append(
                f"{heads[-1]}: {len(noises)} pictures, PSNR {min(noises):.1f} to {max(noises):.1f} dB, median "
                f"{statistics.median(noises):.1f}; SSIM {min(likenesses):.4f}, median "
                f"{statistics.median(likenesses):.4f}; embed {statistics.median(embed_ms):.0f} ms, read "
                f"{statistics.median(read_ms):.0f} ms, at most {max(read_ms):.0f} ms (processor time)"
            )
            print(notes[-1], flush=True)
    print(f"\n| attack | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name, row in read.items():
        print(f"| {name} | {' | '.join(row)} |")


def false_positives(folder: Path, num_crops: int) -> None:
    """Print how many random crops without a mark are said to have one, and how near the nearest came."""
    rng = np.random.default_rng(0)
    sources = [image for sets in SETS.values() for image in pictures(folder, sets, 40, 256)]
    sources += pictures(folder, SETS["photographs"], 20, 640)
    found, agreeing = 0, []
    for index in range(num_crops):
        image = sources[index % len(sources)]
        side = int(rng.integers(64, min(image.shape[:2]) + 1))
        top, left = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
        mark = watermark.detect(np.ascontiguousarray(image[top : top + side, left : left + side]))
        found += mark.found
        agreeing.append(mark.confidence)
    print(
        f"\n{num_crops} crops of {len(sources)} pictures without a mark: {found} marks found ("
        f"at most {100 * binomtest(found, num_crops).proportion_ci(method='wilson').high:.2f} %); at most "
        f"{max(agreeing):.2f} of the coded bits agree with the nearest message; by design "
        f"{watermark.MAX_ATTEMPTS / 2**32:.1e} a picture"
    )


def stamps(folder: Path, repeats: int) -> None:
    """Print what stamping a picture of 512 px costs beside encoding it, by format."""
    image = next(pictures(folder, ("products",), 1, 512))
    parameters = Parameters(prompt="a backpack on the grass", seed=7)
    with tempfile.TemporaryDirectory() as work:
        identity_dir = Path(work) / "identity"
        for format, encode in FORMATS.items():
            made = functools.partial(stamp, image, parameters, format=format, identity_dir=identity_dir)
            deeds: dict[str, Callable[[], object]] = {
                "encode": functools.partial(encode, image, 90),
                "stamp": made,
                "read": functools.partial(read, made(), identity_dir=identity_dir),
            }
            costs = []
            for name, deed in deeds.items():
                times = []
                for _ in range(5 * repeats):
                    start = time.process_time()
                    deed()
                    times.append(1e3 * (time.process_time() - start))
                costs.append(f"{name} {statistics.median(times):.0f} ms")
            print(f"{format}, {image.shape[1]}x{image.shape[0]} px: {', '.join(costs)} (processor time)")


if __name__ == "__main__":
    parser = options(__doc__ or "", count=10_000)
    parser.add_argument("--per-set", type=int, default=20, help="pictures of each set; --count: crops without a mark")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    stamps(chosen.pictures, chosen.repeats)
    measure(chosen.pictures, chosen.per_set)
    false_positives(chosen.pictures, chosen.count)
