import numpy as np
import pytest

from gencv.core.contracts import Recipe
from gencv.diffusion.loading import STARTER_DIR
from gencv.diffusion.painter import DiffusionPainter, Progress, load_painter
from gencv.diffusion.schedulers import OWN, SCHEDULERS

pytestmark = pytest.mark.skipif(not STARTER_DIR.is_dir(), reason="the starter painter is not in the package yet")
WORDS = ("a red apple on a white background", "a blue car", "star", "a cat on a green background")


@pytest.fixture(scope="module")
def starter() -> DiffusionPainter:
    return load_painter("starter", device="cpu")


def test_it_is_small_and_says_its_licence(starter: DiffusionPainter) -> None:
    assert sum(file.stat().st_size for file in STARTER_DIR.rglob("*.safetensors")) <= 12e6
    assert any("Apache-2.0" in note for note in starter.notes)
    assert starter.size_px == 64


@pytest.mark.parametrize("scheduler", ["default", "euler-a", "dpm++2m", "dpm++2m-karras"])
def test_a_batch_gives_each_picture_that_it_is_alone(starter: DiffusionPainter, scheduler: str) -> None:
    recipes = starter.complete(
        [
            Recipe(prompt=word, seed=seed, guidance_scale=2.0 + seed, num_inference_steps=8, scheduler=scheduler)
            for seed, word in enumerate(WORDS)
        ]
    )

    def pixels(some: list[Recipe]) -> np.ndarray:
        return starter._pixels(some, None, Progress(lambda *_: None, 1), lambda: False)

    alone = np.concatenate([pixels([one]) for one in recipes])
    assert np.abs(pixels(recipes) - alone).max() <= 1e-5


@pytest.mark.parametrize("scheduler", [OWN, *SCHEDULERS])
def test_every_scheduler_gives_a_picture_in_few_steps_and_in_many(starter: DiffusionPainter, scheduler: str) -> None:
    for steps in (2, 3, 4, 10):  # the cosine schedule alone, in more: test_schedulers
        recipe = Recipe(
            prompt=WORDS[0], num_inference_steps=steps, scheduler=scheduler, guidance_scale=1.0, width=32, height=32
        )
        (made,) = starter.paint([recipe])
        assert made.image is not None  # else its numbers overflowed, which is an error


def test_backgrounds_are_as_asked(starter: DiffusionPainter) -> None:
    white, black = starter.paint(
        [Recipe(prompt=f"an apple on a {word} background", guidance_scale=3.0) for word in ("white", "black")]
    )
    assert white.image is not None and black.image is not None
    assert white.image[:4].mean() > black.image[:4].mean() + 100


def test_image_to_image_goes_further_with_its_strength(starter: DiffusionPainter) -> None:
    init = np.full((64, 64, 3), 255, np.uint8)
    init[16:48, 16:48] = (200, 40, 40)
    far = []
    for strength in (0.3, 0.6, 1.0):
        made = starter.paint(
            [Recipe(prompt="a blue car", seed=seed, strength=strength, guidance_scale=3.0) for seed in range(4)],
            init=init,
        )
        far.append(np.mean([np.abs(one.image.astype(float) - init).mean() for one in made if one.image is not None]))
    assert far[0] < far[1] < far[2]
