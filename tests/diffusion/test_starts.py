import numpy as np
import pytest
import torch
from painters import make_sd

from gencv.core.errors import BadInput
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.starts import MAX_KEPT, Starts, can_tile, decode, in_tiles, starts_for

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_one_picture_is_for_all_and_several_are_for_each() -> None:
    assert [one is NOISE for one in starts_for(3, NOISE, None)] == [True] * 3
    assert starts_for(2, None, None) == [None, None]
    first, second = starts_for(2, [NOISE, NOISE[:32]], None)
    assert first is NOISE and second is not None and second.shape == (32, 64, 3)
    with pytest.raises(BadInput, match="1 pictures to start from for 2 recipes"):
        starts_for(2, [NOISE], None)


def test_a_picture_is_encoded_once_whole_and_once_in_tiles(sd: DiffusionPainter) -> None:
    starts = Starts(sd.pipeline)
    whole, again, tiled = (starts.encode([NOISE], None, tiled=tiled) for tiled in (False, False, True))
    assert whole is not None and again is not None and tiled is not None
    assert torch.equal(whole.latents, again.latents) and not torch.equal(whole.latents, tiled.latents)
    assert len(starts.kept) == 2 and starts.encode([None], None) is None
    for number in range(MAX_KEPT):
        starts.encode([np.full((16, 16, 3), number, np.uint8)], None)
    assert len(starts.kept) == MAX_KEPT


def test_a_mask_touches_every_latent_that_it_reaches_into(sd: DiffusionPainter) -> None:
    mask = np.zeros((64, 64), bool)
    mask[10, 21] = True
    start = Starts(sd.pipeline).encode([NOISE], mask)
    assert start is not None and start.mask is not None
    assert start.mask.shape == (1, 1, 32, 32) and start.mask.nonzero().tolist() == [[0, 0, 5, 10]]


def test_tiles_leave_the_autoencoder_as_it_is() -> None:
    vae = make_sd().vae
    latents = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    before, tiled, after = (decode(vae, latents, tiled=tiled) for tiled in (False, True, False))
    assert np.array_equal(before, after) and not np.array_equal(before, tiled)
    assert can_tile(vae) and not can_tile(in_tiles(vae)) and not can_tile(torch.nn.Identity())
    assert next(in_tiles(vae).parameters()) is next(vae.parameters())
