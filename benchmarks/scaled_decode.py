"""Scaled JPEG decode: how far it moves an embedding, and what it saves, by how much larger than the target it stays.

    python benchmarks/scaled_decode.py

Results: docs/results.md. For the transform 3.0 is accepted at half the sides or less; before a JPEG nothing is.

Each JPEG is decoded in full and with `min_side_px` = factor x the side that the resize aims at, prepared in the same
way (`Transform` of the encoder: bicubic, antialiased; `Preprocessing`: area, then JPEG; the same without the JPEG), and
embedded with `starter-features`. "Noise" is no scaled decode: one level, up or down, on a tenth of the values of the
full one, as a yardstick. Pictures whose scaled decode is the full one are left out. Mosaics of photographs have the
detail of a sharp camera at their full size. Rule: a factor will do if no cosine is below .999.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from common import options

from gencv.images.decode import decode
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
RULE = 0.999
ENCODER = "starter-features"
SIZES = ((1600, 1200), (4000, 3000))


def groups(folder: Path, count: int) -> Iterator[tuple[str, list[bytes]]]:
    """Yield sets of JPEGs: as they are, and enlarged with grain to the sizes of cameras at several qualities."""
    for name in ("coco_captions", "clothing", "products"):
        paths = sorted(folder.glob(f"{name}/**/*.jpg"))
        yield name, [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]
    photographs = [simplejpeg.decode_jpeg(path.read_bytes()) for path in sorted(folder.glob("coco_captions/**/*.jpg"))]
    photographs = [image for image in photographs if image.shape[1] > image.shape[0]] + packaged()
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        files = []
        for index, image in enumerate(photographs[: count if width < 4000 else count // 2]):
            quality, sampling = ((75, "420"), (90, "420"), (95, "444"))[index % 3]
            files.append(simplejpeg.encode_jpeg(enlarge(image, width, height, rng), quality, "RGB", sampling))
        yield f"{width}x{height}", files
    for side in (3, 4, 5, 6):
        yield f"mosaic {side}x{side}", [mosaic(photographs, side, rng) for _ in range(count // 4)]


def mosaic(photographs: list[np.ndarray], side: int, rng: np.random.Generator) -> bytes:
    """Lay side x side cuts of photographs, 400x300 each, beside one another: large and sharp to the last pixel."""
    fitting = [image for image in photographs if image.shape[0] >= 300 and image.shape[1] >= 400]
    chosen = [fitting[i][:300, :400] for i in rng.integers(len(fitting), size=side * side)]
    rows = [np.concatenate(chosen[i : i + side], axis=1) for i in range(0, len(chosen), side)]
    return bytes(simplejpeg.encode_jpeg(np.concatenate(rows), 95, "RGB", "444"))


def packaged() -> list[np.ndarray]:
    """Photographs that scikit-learn and scikit-image ship, of natural detail."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    return [*load_sample_images().images, data.astronaut(), data.coffee(), data.rocket()]


def enlarge(image: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.empty(large.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(grain, 0, 4)
    return np.clip(large + grain, 0, 255).astype(np.uint8)


def disturb(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move a tenth of the values by one level."""
    step = rng.choice(np.array([-1, 0, 1], np.int8), image.shape, p=(0.05, 0.9, 0.05))
    return np.clip(image.astype(np.int16) + step, 0, 255).astype(np.uint8)


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def compare(
    files: list[bytes], prepare: Callable[[np.ndarray], np.ndarray], side_px: int, embed: Callable[..., np.ndarray]
) -> Iterator[tuple[float, np.ndarray, float]]:
    """Yield each factor (0 is the noise), the cosines of the pictures that it scales, and the speed-up on them."""
    full = [timed(lambda data=data: prepare(decode(data))) for data in files]
    reference = embed([pixels for pixels, _ in full])
    rng = np.random.default_rng(0)
    noisy = [prepare(disturb(decode(data), rng)) for data in files]
    yield 0.0, (embed(noisy) * reference).sum(1), 1.0
    for factor in FACTORS:
        side = round(factor * side_px)
        scaled = [i for i, data in enumerate(files) if decode(data, min_side_px=side).shape != decode(data).shape]
        if not scaled:
            continue
        found = [timed(lambda i=i, side=side: prepare(decode(files[i], min_side_px=side))) for i in scaled]
        cosines = (embed([pixels for pixels, _ in found]) * reference[scaled]).sum(1)
        yield factor, cosines, sum(full[i][1] for i in scaled) / sum(seconds for _, seconds in found)


def main() -> None:
    parser = options(__doc__, count=60)
    args: argparse.Namespace = parser.parse_args()
    if not args.pictures.exists():
        parser.error(f"{args.pictures} is not there; real photographs are needed: --pictures DIR")
    cv2.setNumThreads(1)
    encoder = load_encoder(ENCODER, device="cpu")
    recipe, plain = Preprocessing(), Preprocessing(jpeg_quality=())

    def embed(pixels: list[np.ndarray]) -> np.ndarray:
        fitting = [
            image if image.shape[0] == encoder.transform.size_px else encoder.transform(image) for image in pixels
        ]
        return np.concatenate([encoder.images(np.stack(fitting[i : i + 16])) for i in range(0, len(fitting), 16)])

    ways: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
        "Transform": (encoder.transform, encoder.transform.resize_px),
        "Preprocessing": (lambda image: encoder.transform(recipe(image)), recipe.size_px),
        "without JPEG": (lambda image: encoder.transform(plain(image)), recipe.size_px),
    }
    worst: dict[tuple[str, float], float] = {}
    print(f"{'prepare':14}{'pictures':16}{'factor':>7}{'scaled':>8}{'min cos':>10}{'mean cos':>10}{'speed-up':>10}")
    for group, files in groups(args.pictures, args.count):
        for name, (prepare, side_px) in ways.items():
            for factor, cosines, gain in compare(files, prepare, side_px, embed):
                low = float(cosines.min())
                worst[name, factor] = min(low, worst.get((name, factor), 1.0))
                what = f"{name:14}{group:16}{factor or 'noise':>7}"
                print(f"{what}{len(cosines):8d}{low:10.5f}{cosines.mean():10.5f}{gain:10.2f}", flush=True)
    for name in ways:
        fine = [factor for factor in FACTORS if worst.get((name, factor), 1.0) >= RULE]
        said = ", ".join(f"{factor}: {worst[name, factor]:.5f}" for factor in FACTORS if (name, factor) in worst)
        print(f"{name}: smallest factor with every cosine >= {RULE}: {min(fine, default=None)}   (minima {said})")


if __name__ == "__main__":
    main()
