"""Tiny pipelines from their configuration alone, with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers import UNet2DConditionModel as Unet
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gencv.diffusion.loading import Loaded
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.speed import Speed

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_tokenizer() -> CLIPTokenizer:
    """A letter a token, 14 of them at most."""
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=16)


def make_text_encoder(kind: type = CLIPTextModel, hidden: int = 16) -> Any:
    config = CLIPTextConfig(
        vocab_size=54,
        hidden_size=hidden,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=hidden,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return kind(config)


def make_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        mid_block_add_attention=False,
    )


def make_unet(cross: int = 16, **more: object) -> Unet:
    return Unet(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=2,
        norm_num_groups=4,
        cross_attention_dim=cross,
        attention_head_dim=2,
        use_linear_projection=True,
        **more,
    )


def make_scheduler(kind: str = "v_prediction") -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=kind,
        steps_offset=1,
    )


def make_sd() -> Any:
    torch.manual_seed(0)
    pipeline: Any = StableDiffusionPipeline(
        vae=make_autoencoder(),
        text_encoder=make_text_encoder(),
        tokenizer=make_tokenizer(),
        unet=make_unet(),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_sdxl() -> Any:
    torch.manual_seed(0)
    pipeline: Any = StableDiffusionXLPipeline(
        vae=make_autoencoder(),
        text_encoder=make_text_encoder(),
        text_encoder_2=make_text_encoder(CLIPTextModelWithProjection),
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(),
        unet=make_unet(
            32, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=40
        ),
        scheduler=make_scheduler("epsilon"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def painter_of(pipeline: object, speed: Speed | None = None, **how: Any) -> DiffusionPainter:
    return DiffusionPainter(Loaded(pipeline, "tiny", "tiny", ()), speed or Speed(), **how)


def save_sd(folder: Path, *, brighter: float = 0.0) -> Path:
    """Write the tiny pipeline as a diffusers folder; brighter: added to all that it decodes."""
    pipeline = make_sd()
    pipeline.vae.decoder.conv_out.bias.data += brighter
    pipeline.save_pretrained(folder)
    return folder


def write_lora(path: Path, rank: int = 2) -> None:
    """A LoRA in the form that diffusers writes, for one attention layer of the tiny UNet."""
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    generator = torch.Generator().manual_seed(0)
    save_file(
        {
            f"{name}.lora_A.weight": torch.randn(rank, 16, generator=generator),
            f"{name}.lora_B.weight": torch.randn(16, rank, generator=generator),
        },
        path,
    )


def disc(rgb: tuple[int, int, int]) -> np.ndarray:
    """A disc of one colour on nothing, uint8 RGBA [64, 64, 4]: in the place of an emoji."""
    found = np.zeros((64, 64, 4), np.uint8)
    inside = np.hypot(*np.mgrid[-32:32, -32:32]) < 24
    found[inside] = (*rgb, 255)
    return found
