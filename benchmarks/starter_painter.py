"""Judge the starter painter: is what it paints recognised, its own, and steered by the strength?

    npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
    python benchmarks/starter_painter.py --art package --painter starter --out /data/runs/starter-judged

A small classifier learns the names from the pictures that the painter learned from, and must know held-out draws of
them; then it names what the painter paints. Prints one line of JSON and writes sheet.png.
Wanted: at least 60 % of painted pictures are named as asked; image to image goes further at .3, .6, and 1.0.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from gencv.core.contracts import Recipe
from gencv.core.seeds import rng_for
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.starter_pictures import HUES, SIZE_PX, Art, Shown, is_held_out, names

SIDE_PX = 32
COLUMNS = 12


@dataclass(frozen=True, kw_only=True)
class Config:
    art: Path
    """The unpacked npm package emoji-datasource-google."""
    out: Path
    painter: str = "starter"
    steps: int = 25
    guidance_scale: float = 3.0
    classifier_steps: int = 3_000
    seed: int = 0


def main(config: Config) -> None:
    config.out.mkdir(parents=True, exist_ok=True)
    art = Art(config.art)
    classifier = train_classifier(art, config)
    rng = rng_for(config.seed, "judged")
    shown = [Shown(name, "", "white") for name in names()]
    coloured = [name for name, hue in art.hue.items() if hue is not None]
    held_out = [Shown(name, colour, "white") for name in coloured for colour in HUES if is_held_out(name, colour)]
    painter = load_painter(config.painter, device="cpu", speed="layout")
    painted = paint(painter, shown, config)
    combined = paint(painter, held_out[:96], config)
    fresh = [art.compose(one, rng) for one in shown]
    found = {
        "classifier_on_fresh_draws": hits(classifier, fresh, shown),
        "painted_top1": hits(classifier, painted, shown),
        "held_out_colour_top1": hits(classifier, combined, held_out[:96]),
        "chance": 1 / len(names()),
        "nearest_training_rmse": nearest(painted, art, shown),
        "strength_rmse": strengths(painter, art.compose(Shown("apple", "", "white")), config),
    }
    print(json.dumps(found))
    sheet(painted, config.out / "sheet.png")
    sheet(combined, config.out / "held_out.png")


def paint(painter: DiffusionPainter, shown: Sequence[Shown], config: Config) -> list[np.ndarray]:
    recipes = [
        Recipe(prompt=one.caption, seed=number, num_inference_steps=config.steps, guidance_scale=config.guidance_scale)
        for number, one in enumerate(shown)
    ]
    return [one.image for one in painter.paint(recipes) if one.image is not None]


def train_classifier(art: Art, config: Config) -> torch.nn.Module:
    """Return a small network that names pictures; it sees every name in every colour, held-out ones as well."""
    torch.manual_seed(config.seed)
    widths = (3, 32, 64, 96, 128)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(widths):
        layers += [torch.nn.Conv2d(before, after, 3, 2, 1), torch.nn.GroupNorm(8, after), torch.nn.SiLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(widths[-1] * 4, len(names())))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=config.classifier_steps)
    places = {name: number for number, name in enumerate(names())}
    for step in range(config.classifier_steps):
        rng = rng_for(config.seed, "classifier", str(step))
        shown = [art.draw_shown(rng, held_out=bool(row % 8 == 0)) for row in range(32)]
        images = small([art.compose(one, rng) for one in shown])
        loss = torch.nn.functional.cross_entropy(network(images), torch.tensor([places[one.name] for one in shown]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def small(images: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 [H, W, 3] each -> float32 [B, 3, 32, 32] from -1 to 1."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.interpolate(stacked, (SIDE_PX, SIDE_PX), mode="area")


@torch.inference_mode()
def hits(classifier: torch.nn.Module, images: Sequence[np.ndarray], shown: Sequence[Shown]) -> float:
    """Return the share of pictures that are named as asked."""
    places = list(names())
    said = [places[int(row)] for row in classifier(small(images)).argmax(1)]
    return float(np.mean([word == one.name for word, one in zip(said, shown, strict=True)]))


def nearest(painted: Sequence[np.ndarray], art: Art, shown: Sequence[Shown]) -> dict[str, float]:
    """Return the distance of each painted picture to the nearest of 64 training draws of the same, in levels of 255.

    `draws` is the same distance of a fresh draw: a painter that copies has less, one that is blurred or off has more.
    """
    far: dict[str, list[float]] = {"painted": [], "draws": []}
    for image, one in zip(painted, shown, strict=True):
        known = np.stack([art.compose(one, rng_for(1, "near", one.name, str(draw))) for draw in range(64)]).astype(
            float
        )
        fresh = art.compose(one, rng_for(2, "near", one.name))
        for what, seen in (("painted", image), ("draws", fresh)):
            far[what].append(float(np.sqrt(np.square(known - seen).mean((1, 2, 3))).min()))
    return {what: float(np.median(values)) for what, values in far.items()}


def strengths(painter: DiffusionPainter, init: np.ndarray, config: Config) -> list[float]:
    """Return how far image to image leaves its picture at strengths .3, .6, 1.0: RMSE, over eight seeds."""
    found = []
    for strength in (0.3, 0.6, 1.0):
        recipes = [
            Recipe(prompt="a blue car", seed=seed, strength=strength, guidance_scale=config.guidance_scale)
            for seed in range(8)
        ]
        made = np.stack([one.image for one in painter.paint(recipes, init=init) if one.image is not None])
        found.append(float(np.sqrt(np.square(made.astype(float) - init).mean())))
    return found


def sheet(images: Sequence[np.ndarray], path: Path) -> None:
    rows = -(-len(images) // COLUMNS)
    page = np.full((rows * SIZE_PX, COLUMNS * SIZE_PX, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // COLUMNS * SIZE_PX, number % COLUMNS * SIZE_PX
        page[top : top + SIZE_PX, left : left + SIZE_PX] = image
    Image.fromarray(page).save(path)


if __name__ == "__main__":
    main(tyro.cli(Config))
