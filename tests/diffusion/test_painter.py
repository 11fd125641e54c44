from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painters import make_sd, painter_of, write_lora

from gencv.core.contracts import CONTENT_FILTERED, DONE, Recipe
from gencv.core.errors import BadInput, OutOfMemory
from gencv.diffusion.painter import DiffusionPainter, Progress, batches, is_out_of_memory, load_painter
from gencv.diffusion.schedulers import OWN, SCHEDULERS
from gencv.diffusion.speed import Speed

MIXED = [
    Recipe(prompt="cat", seed=1, guidance_scale=7.5, num_inference_steps=4),
    Recipe(prompt="dog", negative_prompt="bad", seed=2, guidance_scale=1.5, num_inference_steps=4),
    Recipe(prompt="", seed=3, guidance_scale=30.0, num_inference_steps=4),
    Recipe(prompt="bird", negative_prompt="x", seed=2**40, guidance_scale=2.0, num_inference_steps=4),
]
RAMP = np.broadcast_to(np.linspace(0, 255, 16).astype(np.uint8)[:, None, None], (16, 16, 3)).copy()


def pixels(painter: DiffusionPainter, recipes: list[Recipe], init: np.ndarray | None = None, mask: Any = None) -> Any:
    """Return what is painted before it is rounded, float [B, H, W, 3]."""
    recipes = painter.complete(recipes, init=init, mask=mask)
    start = painter.starts.encode([init] * len(recipes), mask)
    return painter._pixels(recipes, start, Progress(lambda *_: None, 1), lambda: False)


@pytest.mark.parametrize("scheduler", [OWN, *SCHEDULERS])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_batch_gives_each_picture_that_it_is_alone(
    family: str, scheduler: str, request: pytest.FixtureRequest
) -> None:
    painter = request.getfixturevalue(family)
    recipes = [replace(one, scheduler=scheduler) for one in MIXED]
    unguided = [replace(one, guidance_scale=scale) for one, scale in zip(recipes, (0.0, 1.0), strict=False)]
    for rows in (recipes, unguided):
        together = pixels(painter, rows)
        alone = np.concatenate([pixels(painter, [one]) for one in rows])
        assert np.abs(together - alone).max() <= 1e-5
        assert np.abs(together[0] - together[1]).max() > 0.01  # the rows do differ


@pytest.mark.parametrize("scheduler", ["ddim", "euler-a", "dpm++2m", "heun"])
def test_a_batch_from_a_picture_and_into_a_mask_gives_each_that_it_is_alone(
    sd: DiffusionPainter, scheduler: str
) -> None:
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    recipes = [replace(one, scheduler=scheduler, strength=0.6) for one in MIXED]
    for given in (None, mask):
        together = pixels(sd, recipes, RAMP, given)
        alone = np.concatenate([pixels(sd, [one], RAMP, given) for one in recipes])
        assert np.abs(together - alone).max() <= 1e-5


def test_it_paints_what_the_plain_pipeline_paints(sd: DiffusionPainter) -> None:
    recipe = Recipe(prompt="cat", negative_prompt="bad", seed=5, guidance_scale=4.0, num_inference_steps=5)
    plain = sd.pipeline(
        prompt="cat",
        negative_prompt="bad",
        guidance_scale=4.0,
        num_inference_steps=5,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images
    np.testing.assert_allclose(pixels(sd, [recipe]), plain, atol=1e-5)


def test_it_starts_from_a_picture_as_diffusers_does(sd: DiffusionPainter) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    recipe = Recipe(prompt="cat", strength=0.6, num_inference_steps=7, seed=3, guidance_scale=2.0)
    steps: list[tuple[int, int]] = []
    mine = next(sd.paint([recipe], init=RAMP, on_step=lambda *found: steps.append(found))).image
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]  # int(7 * 0.6)
    pipeline = StableDiffusionImg2ImgPipeline.from_pipe(sd.pipeline)
    pipeline.set_progress_bar_config(disable=True)
    start = sd.starts.encode([RAMP], None)
    assert start is not None and mine is not None
    # Given latents, it takes them as they are; given a picture, it would draw them.
    plain = pipeline(
        "cat",
        image=start.latents,
        strength=0.6,
        num_inference_steps=7,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.abs(np.asarray(plain).astype(int) - mine).max() <= 1


def test_outside_the_mask_the_picture_stays_as_it_is(sd: DiffusionPainter) -> None:
    mask = np.zeros((16, 16), bool)
    mask[3:9, 5:11] = True
    for strength in (None, 0.5):
        (picture,) = sd.paint([Recipe(prompt="cat", num_inference_steps=4, strength=strength)], init=RAMP, mask=mask)
        assert picture.image is not None
        assert (picture.image[~mask] == RAMP[~mask]).all()
        assert (picture.image[mask] != RAMP[mask]).any()
        assert picture.recipe.strength == (strength or 1.0)


def test_pictures_come_in_order_with_their_whole_recipes(sd: DiffusionPainter) -> None:
    recipes = [Recipe(prompt=word, num_inference_steps=steps) for word, steps in (("a", 2), ("b", 3), ("c", 2))]
    found = list(sd.paint(recipes))
    assert [one.recipe.prompt for one in found] == ["a", "b", "c"]
    assert {(one.recipe.width, one.recipe.height, one.recipe.model) for one in found} == {(16, 16, "tiny")}
    assert all(one.image is not None and one.image.shape == (16, 16, 3) for one in found)
    again = next(sd.paint([found[2].recipe]))
    assert again.image is not None and found[2].image is not None
    assert np.abs(again.image.astype(int) - found[2].image).max() <= 1  # rounded apart at most
    assert Recipe.from_dict(found[1].recipe.to_dict()) == found[1].recipe


def test_rows_share_a_batch_only_where_they_can() -> None:
    recipes = [Recipe(prompt="a", num_inference_steps=steps) for steps in (2, 3, 2, 2, 3)]
    assert batches(recipes, range(5), 2) == [[0, 2], [1, 4], [3]]
    guided = [Recipe(prompt="a", guidance_scale=scale) for scale in (1.0, 7.5, 0.0, 2.0)]
    assert batches(guided, range(4), 8) == [[0, 2], [1, 3]]


def test_each_recipe_may_start_from_a_picture_of_its_own(sd: DiffusionPainter) -> None:
    other = RAMP[::-1].copy()
    recipes = [replace(one, strength=0.5) for one in MIXED[:2]]
    together = [one.image for one in sd.paint(recipes, init=[RAMP, other])]
    for recipe, init, image in zip(recipes, (RAMP, other), together, strict=True):
        alone = next(sd.paint([recipe], init=init)).image
        assert alone is not None and image is not None
        assert np.abs(alone.astype(int) - image).max() <= 1
    with pytest.raises(BadInput, match="1 pictures to start from for 2 recipes"):
        sd.paint(recipes, init=[RAMP])


def test_at_its_place_in_a_batch_a_picture_comes_out_to_the_byte(sd: DiffusionPainter) -> None:
    recipes = [replace(one, strength=0.7) for one in MIXED]
    for picture in sd.paint(recipes, init=RAMP):
        row, size = picture.batch
        assert size == len(recipes)
        again = list(sd.paint([picture.recipe] * size, init=RAMP))[row]
        assert again.image is not None and picture.image is not None
        assert np.array_equal(again.image, picture.image)


def test_the_digest_of_weights_is_of_all_of_them() -> None:
    first, second = painter_of(make_sd()), painter_of(make_sd())
    assert first.weights() == second.weights()
    second.pipeline.vae.decoder.conv_out.bias.data += 1
    assert first.weights() != second.weights()


def test_a_painter_says_which_loras_are_merged(sd_folder: Path, tmp_path: Path) -> None:
    write_lora(tmp_path / "style.safetensors")
    painter = load_painter(str(sd_folder), device="cpu", loras=[(tmp_path / "style.safetensors", 0.5)])
    ((name, digest, weight),) = painter.loras
    assert (name, len(digest), weight) == ("style.safetensors", 16, 0.5)
    assert load_painter(str(sd_folder), device="cpu").loras == ()


def test_it_stops_before_the_next_step(sd: DiffusionPainter) -> None:
    steps: list[int] = []
    recipes = [Recipe(prompt="a", num_inference_steps=2), Recipe(prompt="b", num_inference_steps=9)]
    found = list(sd.paint(recipes, on_step=lambda done, total: steps.append(done), cancelled=lambda: len(steps) > 4))
    assert [one.recipe.prompt for one in found] == ["a"]
    assert steps == [1, 2, 3, 4, 5]


def test_a_long_prompt_is_said(sd: DiffusionPainter) -> None:
    (picture,) = sd.paint([Recipe(prompt="abcdefghijklmn xyz", negative_prompt="x", num_inference_steps=1)])
    assert picture.finish_reason == DONE
    assert len(picture.notes) == 1 and "cut off: 'xyz'" in picture.notes[0].replace(" y z", "yz")


def test_a_denied_prompt_is_no_picture(sd: DiffusionPainter) -> None:
    first, second = sd.paint(
        [Recipe(prompt="a naked Child", num_inference_steps=1), Recipe(prompt="a", num_inference_steps=1)]
    )
    assert (first.image, first.finish_reason) == (None, CONTENT_FILTERED)
    assert second.finish_reason == DONE


class Objecting(torch.nn.Module):
    """Objects to every second picture, and blackens it, as the checkers of diffusers do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def forward(self, images: list[np.ndarray], clip_input: torch.Tensor) -> tuple[list[np.ndarray], list[bool]]:
        bad = [number % 2 == 1 for number in range(len(clip_input))]
        for image, is_bad in zip(images, bad, strict=True):
            image[...] = 0 if is_bad else image
        return images, bad


def test_what_the_safety_checker_objects_to_is_no_picture() -> None:
    from transformers import CLIPImageProcessor

    painter = painter_of(make_sd())
    painter.pipeline.safety_checker = Objecting()
    painter.pipeline.feature_extractor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=8)
    good, bad = painter.paint([Recipe(prompt="a", seed=seed, num_inference_steps=1) for seed in (0, 1)])
    assert good.finish_reason == DONE and good.image is not None and good.image.any()
    assert bad.finish_reason == CONTENT_FILTERED and bad.image is None and bad.notes


@pytest.mark.parametrize("fitting", [2, 1, 0])
def test_short_memory_halves_the_batch_then_tiles_then_says_so(fitting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """fitting: how many pictures fit; 0: one, once it is decoded in tiles, or none."""
    painter = painter_of(make_sd())
    whole = painter._pixels
    seen = []

    def tight(recipes: list[Recipe], start: Any, progress: Any, cancelled: Any, tiled: bool) -> np.ndarray:
        seen.append(len(recipes))
        if len(recipes) > max(fitting, int(tiled)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(recipes, start, progress, cancelled, tiled)

    monkeypatch.setattr(painter, "_pixels", tight)
    found = list(painter.paint(MIXED))
    assert [(one.batch[1], one.tiled) for one in found] == [(max(1, fitting), fitting == 0)] * 4
    assert seen == {2: [4, 2, 2], 1: [4, 2, 1, 1, 2, 1, 1], 0: [4, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1]}[fitting]

    def never(*_: Any) -> np.ndarray:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(painter, "_pixels", never)
    with pytest.raises(OutOfMemory, match="16 x 16 px does not fit"):
        list(painter.paint(MIXED[:1]))


@pytest.mark.parametrize("init", [None, np.broadcast_to(RAMP, (4, 16, 16, 3)).reshape(64, 16, 3)])
def test_tiles_are_for_the_picture_alone_that_needs_them(
    init: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = None if init is None else np.tile(init, (1, 4, 1))
    recipe = Recipe(prompt="cat", num_inference_steps=2, width=64, height=64)
    painter, always = painter_of(make_sd()), painter_of(make_sd(), tiled=True)
    (before,), (wanted,) = painter.paint([recipe], init=init), always.paint([recipe], init=init)
    whole, failures = painter._pixels, [MemoryError()]

    def short_once(*given: Any) -> np.ndarray:
        if failures:
            raise failures.pop()
        return whole(*given)

    monkeypatch.setattr(painter, "_pixels", short_once)
    tiled, after = (next(painter.paint([recipe], init=init)) for _ in range(2))
    assert [one.tiled for one in (before, tiled, after, wanted)] == [False, True, False, True]
    images = [one.image for one in (before, tiled, after, wanted)]
    assert all(image is not None for image in images)
    assert np.array_equal(images[0], images[2]) and np.array_equal(images[1], images[3])
    assert not np.array_equal(images[0], images[1])  # else the test shows nothing


@pytest.mark.parametrize(
    ("error", "is_short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (ValueError("a sum"), False),
    ],
)
def test_short_memory_is_known_by_what_is_said(error: Exception, is_short: bool) -> None:
    assert is_out_of_memory(error) == is_short


def test_another_failure_is_not_taken_for_short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    painter = painter_of(make_sd())

    def broken(*_: Any) -> np.ndarray:
        raise RuntimeError("shapes do not agree")

    monkeypatch.setattr(painter, "_pixels", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(painter.paint(MIXED[:1]))


def test_numbers_that_overflow_are_no_black_picture() -> None:
    painter = painter_of(make_sd())
    with torch.no_grad():
        painter.pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BadInput, match="overflowed in 4 steps of the scheduler default in fp32; take another sched"):
        list(painter.paint(MIXED[:1]))
    half = painter_of(painter.pipeline, Speed(dtype="fp16"))
    with pytest.raises(BadInput, match="in fp16; take a speed of fp32 or bf16"):
        list(half.paint(MIXED[:1]))


def test_steps_that_cannot_be_spread_are_refused_before_any_work(sd: DiffusionPainter) -> None:
    with pytest.raises(BadInput, match="1,000 steps of the scheduler ddim cannot be spread"):
        sd.paint([Recipe(prompt="a"), Recipe(prompt="b", scheduler="ddim", num_inference_steps=1000)])


def test_reused_features_stay_near(sd: DiffusionPainter) -> None:
    recipes = [replace(one, num_inference_steps=12) for one in MIXED]
    exact = pixels(sd, recipes)
    every = pixels(painter_of(sd.pipeline, Speed(reuse_interval=1)), recipes)
    far = [np.abs(pixels(painter_of(sd.pipeline, Speed(reuse_interval=n)), recipes) - exact).mean() for n in (2, 6)]
    assert (every == exact).all()
    assert 0 < far[0] < far[1] < 0.05


def test_a_batch_with_reused_features_gives_each_picture_that_it_is_alone(sdxl: DiffusionPainter) -> None:
    painter = painter_of(sdxl.pipeline, Speed(reuse_interval=3))
    together = pixels(painter, MIXED)
    assert np.abs(together - np.concatenate([pixels(painter, [one]) for one in MIXED])).max() <= 1e-5


@pytest.mark.parametrize("speed", [Speed(dtype="bf16", channels_last=True), Speed(vae_tiling=True, vae_slicing=True)])
def test_a_speed_changes_little(speed: Speed) -> None:
    wanted = pixels(painter_of(make_sd()), MIXED[:2])
    pipeline = make_sd()
    speed.apply(pipeline, "cpu")
    assert np.abs(pixels(painter_of(pipeline, speed), MIXED[:2]) - wanted).mean() < 0.02


@pytest.mark.parametrize("interval", [1, 3])
def test_threads_share_a_painter(sd: DiffusionPainter, interval: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    painter = painter_of(sd.pipeline, Speed(reuse_interval=interval))
    recipes = [replace(one, num_inference_steps=10) for one in MIXED]
    alone = [pixels(painter, [one]) for one in recipes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: pixels(painter, [one]), recipes * 3))
    assert all(np.abs(found[number] - alone[number % 4]).max() <= 1e-5 for number in range(12))


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(BadInput, match="batch size of 0"):
        load_painter("starter", batch_size=0)
