from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from gencv.diffusion.loading import Loaded
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.speed import Speed
from gencv.diffusion.starter_pictures import BACKGROUNDS, HUES, Art, names
from gencv.diffusion.train_starter import (
    MAX_TOKENS,
    Config,
    Training,
    encode_pictures,
    export,
    make_autoencoder,
    make_tokenizer,
)


def test_every_word_of_a_caption_is_one_token() -> None:
    tokenizer = make_tokenizer()
    words = {*HUES, *BACKGROUNDS, *(part for name in names() for part in name.replace("-", " ").split())}
    several = [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) != 1]
    assert not several


def test_another_word_does_not_end_the_text() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer("zyzzyva é 猫 on white", add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id not in ids and tokenizer.bos_token_id not in ids
    assert ids[-1] == tokenizer("white", add_special_tokens=False)["input_ids"][0]


def test_it_is_a_small_ordinary_pipeline(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("starter")
    export(Training(1e-3), make_autoencoder(), folder)
    assert sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= 12e6
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.tokenizer.model_max_length == MAX_TOKENS
    painter = DiffusionPainter(Loaded(pipeline, "new", "new", ()), Speed())
    assert (painter.size_px, painter.factor) == (64, 8)


def test_another_seed_has_pictures_of_its_own(art: Art, tmp_path: Path) -> None:
    network = make_autoencoder()

    def encoded(seed: int) -> tuple[torch.Tensor, list[str]]:
        return encode_pictures(art, network, Config(art=tmp_path, out=tmp_path, num_pictures=3, seed=seed))

    (first, said), (other, other_said), (again, said_again) = (encoded(seed) for seed in (0, 1, 0))
    assert not torch.equal(first, other) and said != other_said
    assert torch.equal(first, again) and said == said_again
    assert len(list(tmp_path.iterdir())) == 2  # and nothing half written


def test_a_checkpoint_goes_on_where_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("training")
    torch.manual_seed(0)
    whole = Training(1e-3)

    def step(training: Training) -> None:
        draw = torch.Generator().manual_seed(training.step)
        text = training.networks["text"](torch.full((1, MAX_TOKENS), 1))[0]
        made = training.networks["unet"](torch.randn(1, 4, 16, 16, generator=draw), 10, text).sample
        training.update(made.square().mean(), 1.0)

    step(whole)
    whole.save(folder)
    resumed = Training(1e-3)
    resumed.load(folder)
    step(whole)
    step(resumed)
    assert resumed.step == whole.step == 2
    for name, value in whole.networks.state_dict().items():
        np.testing.assert_allclose(resumed.networks.state_dict()[name], value, atol=1e-7)
        np.testing.assert_allclose(resumed.average[name], whole.average[name], atol=1e-7)
