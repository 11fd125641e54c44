"""Paint a sweep: gencv against the plain diffusers pipeline, in one run.

    python benchmarks/diffusion.py
    python benchmarks/diffusion.py --gpu

On a CPU: 24 cells of the starter painter from one photograph, strength by guidance, and 24 from prompts. Both sides
load the painter, paint, and write PNGs; gencv stamps its pictures as well (parameters, watermark, credentials), writes
its tables, and reads its plan. Then what reusing deep features gains and changes.
With --gpu: the networks of Stable Diffusion 2.1 with random weights, which take the same time as trained ones, 512 px,
30 steps. One picture, and eight of different prompts: of the plain pipeline one by one, and as one call with a list of
prompts and generators; and what a stamp costs beside a picture.
In turns, so that whatever else runs slows both. Result: docs/results.md.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import options
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gencv.core.contracts import Recipe
from gencv.core.record import picture_id
from gencv.diffusion.loading import STARTER_DIR, Loaded
from gencv.diffusion.painter import DiffusionPainter, load_painter
from gencv.diffusion.replay import How
from gencv.diffusion.speed import SPEEDS, Speed
from gencv.diffusion.sweep import sweep
from gencv.pipelines import generate
from gencv.pipelines.cells import Start, plan
from gencv.provenance.parameters import Parameters
from gencv.provenance.stamp import stamp

STEPS = 25
PROMPTS = [f"a {colour} {name} on a white background" for colour in ("red", "blue") for name in ("apple", "car", "cat")]


def timed(deed: Callable[[], object]) -> float:
    """Return seconds, of a GPU too."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    deed()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each way, after one round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, deed in ways.items():
            seconds = timed(deed)
            if number:
                found[name].append(seconds)
    return {name: statistics.median(values) for name, values in found.items()}


# On a CPU -------------------------------------------------------------------------------------------------------------


def plainly(recipes: list[Recipe], photo: Path | None, out: Path) -> None:
    """Load diffusers' pipeline and call it once a cell, as its documentation does."""
    kind: Any = StableDiffusionPipeline if photo is None else StableDiffusionImg2ImgPipeline
    pipeline = kind.from_pretrained(STARTER_DIR, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    init = {} if photo is None else {"image": Image.open(photo).convert("RGB").resize((64, 64))}
    for number, recipe in enumerate(recipes):
        strength = {} if recipe.strength is None else {"strength": recipe.strength}
        made = pipeline(
            recipe.prompt,
            num_inference_steps=recipe.num_inference_steps,
            guidance_scale=recipe.guidance_scale,
            generator=torch.Generator().manual_seed(recipe.seed),
            **init,
            **strength,
        )
        made.images[0].save(out / f"{number:06d}.png")


def by_gencv(recipes: list[Recipe], photo: Path | None, out: Path) -> None:
    """Do what jobs/generate.py does, but for its report."""
    generate._loaded.cache_clear()
    painting = generate.Painting(painter="starter", how=How(threads=torch.get_num_threads()))
    start = None if photo is None else Start(picture_id(photo.read_bytes()), uri=str(photo))
    cells, _ = plan(painting.load("cpu"), [(recipe, start) for recipe in recipes])
    table, _ = generate.generate(painting, cells, str(out))
    assert len(table["path"].drop_null()) == len(recipes)


def sweeps(photo: Path, repeats: int) -> None:
    """Print the seconds of two sweeps, plainly and by gencv."""
    base = Recipe(prompt="a blue cat on a yellow background", num_inference_steps=STEPS)
    axes = {"strength": (0.3, 0.6, 0.8, 1.0), "guidance_scale": (1.5, 2.0, 3.0, 5.0, 7.5, 20.0)}
    tasks: dict[str, tuple[list[Recipe], Path | None]] = {
        "24 cells, strength by guidance": (sweep(base, axes), photo),
        "24 cells, prompt by seed": (sweep(base, {"prompt": PROMPTS, "seed": range(4)}), None),
    }
    for name, (recipes, init) in tasks.items():
        with tempfile.TemporaryDirectory() as folder:
            places = iter(Path(folder, str(number)) for number in range(1000))

            def into(
                way: Callable[[list[Recipe], Path | None, Path], None],
                recipes: list[Recipe] = recipes,
                init: Path | None = init,
                places: Any = places,
            ) -> None:
                place = next(places)
                place.mkdir()
                way(recipes, init, place)

            found = in_turns({"plain": lambda: into(plainly), "gencv": lambda: into(by_gencv)}, repeats)
        print(json.dumps({"sweep": name, **rounded(found), "ratio": round(found["plain"] / found["gencv"], 2)}))


def reuse(repeats: int) -> None:
    """Print what reusing deep features gains, and what it changes."""
    recipes = [Recipe(prompt=prompt, seed=seed, num_inference_steps=50) for seed, prompt in enumerate(PROMPTS)]
    painters = {
        interval: load_painter("starter", device="cpu", speed=Speed(reuse_interval=interval))
        for interval in (1, 2, 3, 5)
    }
    ways = {str(interval): lambda one=one: list(one.paint(recipes)) for interval, one in painters.items()}
    found = in_turns(ways, repeats)  # type: ignore[arg-type]
    pictures = {interval: pixels(one, recipes) for interval, one in painters.items()}
    for interval, made in pictures.items():
        away = float(np.square(made - pictures[1]).mean())
        told = {"interval": interval, "s": round(found[str(interval)], 3), "gain": found["1"] / found[str(interval)]}
        print(json.dumps(told | {"psnr_db": round(10 * np.log10(255**2 / away), 1) if away else None}))


def pixels(painter: DiffusionPainter, recipes: list[Recipe]) -> np.ndarray:
    return np.stack([one.image for one in painter.paint(recipes) if one.image is not None]).astype(float)


# On a GPU -------------------------------------------------------------------------------------------------------------


def make_sd21() -> Any:
    """Return the networks of Stable Diffusion 2.1 (base, 512 px) with random weights, in bf16 on the GPU."""
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz "
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = CLIPTokenizer(vocab={word: at for at, word in enumerate(words)}, merges=[], model_max_length=77)
    sizes: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    with torch.device("cuda"):
        text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, num_hidden_layers=23, projection_dim=512, **sizes))
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),  # type: ignore[arg-type]
            cross_attention_dim=1024,
            use_linear_projection=True,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    pipeline: Any = StableDiffusionPipeline(
        vae,
        text,
        tokenizer,
        unet,
        scheduler,
        None,
        None,
        requires_safety_checker=False,  # type: ignore[arg-type]
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch.bfloat16)


def on_gpu(repeats: int) -> None:
    """Print pictures a second of the plain pipeline and of gencv, and the share of a stamp."""
    recipes = [Recipe(prompt=f"a picture of {word}", seed=seed) for seed, word in enumerate("abcdefgh")]
    recipes = [replace(one, num_inference_steps=30, width=512, height=512) for one in recipes]
    plain = make_sd21()
    compiled = DiffusionPainter(Loaded(make_sd21(), "sd21", "sd21", ()), SPEEDS["compiled"])
    SPEEDS["compiled"].apply(compiled.pipeline, "cuda")

    def call(some: list[Recipe]) -> None:
        plain(
            [one.prompt for one in some],
            generator=[torch.Generator("cpu").manual_seed(one.seed) for one in some],
            height=512,
            width=512,
            num_inference_steps=30,
            output_type="np",
        )

    def one_by_one(some: list[Recipe]) -> None:
        for one in some:
            call([one])

    for count in (1, 8):
        some = recipes[:count]
        ways: dict[str, Callable[[], object]] = {
            "one_by_one": lambda some=some: one_by_one(some),  # type: ignore[misc]
            "as_a_list": lambda some=some: call(some),  # type: ignore[misc]
            "gencv": lambda some=some: list(compiled.paint(some)),  # type: ignore[misc]
        }
        if count == 1:
            del ways["as_a_list"]
        found = in_turns(ways, repeats)
        ratios = {f"times_{name}": round(found[name] / found["gencv"], 2) for name in ways if name != "gencv"}
        print(json.dumps({"pictures": count, **rounded(found), **ratios}))
    image = next(iter(compiled.paint(recipes[:1]))).image
    assert image is not None
    with tempfile.TemporaryDirectory() as folder:
        cost = in_turns(
            {
                "encode": lambda: stamp(image, Parameters(), watermark=False, credentials=False),
                "stamp": lambda: stamp(image, Parameters(prompt="a"), identity_dir=Path(folder) / "identity"),
            },
            10,
        )
    share = (cost["stamp"] - cost["encode"]) / (found["gencv"] / 8)
    print(json.dumps({"stamp_ms": 1e3 * (cost["stamp"] - cost["encode"]), "share_of_the_cheapest_picture": share}))


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {f"{name}_s": round(value, 3) for name, value in seconds.items()}


if __name__ == "__main__":
    parser = options(__doc__ or "", count=24)
    parser.add_argument("--gpu", action="store_true", help="the networks of Stable Diffusion 2.1 on a GPU")
    chosen = parser.parse_args()
    if chosen.gpu:
        on_gpu(chosen.repeats)
    else:
        photo = sorted(chosen.pictures.glob("products/cat/*.jpg"))[0]
        sweeps(photo, chosen.repeats)
        reuse(chosen.repeats)
