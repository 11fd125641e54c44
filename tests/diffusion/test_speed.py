from collections.abc import Iterator

import pytest
import torch
from painters import make_sd, painter_of

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput, UnknownName
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.speed import FULL_FP32, SPEEDS, Speed, find_speed


@pytest.mark.parametrize("name", SPEEDS)
def test_every_speed_paints_and_changes_little(name: str, sd: DiffusionPainter) -> None:
    if SPEEDS[name].compile:
        pytest.skip("compiling takes a minute")
    pipeline = make_sd()
    find_speed(name).apply(pipeline, "cpu")
    recipe = Recipe(prompt="cat", num_inference_steps=4)
    (made,), (exact,) = painter_of(pipeline, find_speed(name)).paint([recipe]), sd.paint([recipe])
    assert made.image is not None and exact.image is not None
    away = abs(made.image.astype(int) - exact.image)
    assert away.mean() < 8 and (name != "exact" or not away.any())


@pytest.fixture
def tf32() -> Iterator[list[bool]]:
    """TF32 allowed, as it is unasked; the list is for what was seen of it."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield []
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(("dtype", "allowed"), [("fp32", False), ("bf16", True)])
def test_fp32_is_no_tf32_while_it_paints(tf32: list[bool], dtype: str, allowed: bool) -> None:
    pipeline = make_sd()
    speed = Speed(dtype=dtype)
    speed.apply(pipeline, "cpu")
    for network in (pipeline.unet, pipeline.vae.decoder):
        network.register_forward_pre_hook(lambda *_: tf32.append(torch.backends.cudnn.allow_tf32))
    list(painter_of(pipeline, speed).paint([Recipe(prompt="a", num_inference_steps=1)]))
    assert tf32 == [allowed, allowed]
    assert torch.backends.cudnn.allow_tf32


def test_the_last_thread_out_puts_tf32_back(tf32: list[bool]) -> None:
    with FULL_FP32:
        with FULL_FP32:
            pass
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_a_speed_that_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownName, match="known: compiled, exact"):
        find_speed("fast")
    with pytest.raises(UnknownName, match="dtype 'int4'"):
        Speed(dtype="int4")
    with pytest.raises(BadInput, match="reuse interval of 0"):
        Speed(reuse_interval=0)
