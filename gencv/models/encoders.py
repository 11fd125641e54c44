"""Encoders by name: pictures (and texts, where there is a text encoder) to unit vectors.

    starter, starter-features    offline, from weights that two packages ship
    ViT-L-14/openai              open_clip, architecture/weights
    timm/resnet50.a1_in1k        any timm backbone: its features before the classifier

Weights come from a local folder if it is there (`models_dir()/open_clip/ARCHITECTURE/WEIGHTS/*.safetensors`,
`models_dir()/timm/NAME/*.safetensors`), else from the hub. Nothing is ever replaced by something smaller in silence.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gencv.core.contracts import Encoder
from gencv.core.errors import BadInput, UnknownName
from gencv.core.hub import fetch, models_dir
from gencv.images.transform import Transform
from gencv.models.network import NetworkEncoder
from gencv.models.starter import load_starter, load_starter_features

FOR_SEARCH = "ViT-B-16-SigLIP2/webli"
"""What search takes unasked, where it can be had: the best of its size at finding pictures by a sentence (mean recall
75.2 % on Crossmodal-3600 in Immich's table, as good as networks of eighteen times its time), Apache-2.0."""


def load_encoder(name: str, *, device: str = "auto") -> Encoder:
    """Return the encoder of that name on a device ("auto" is the GPU where there is one).

    Raises UnknownName for a name that means nothing, ModelUnavailable where the weights cannot be had.
    """
    device = pick_device(device)
    if name in ENCODERS:
        return ENCODERS[name](device)
    kind, _, rest = name.partition("/")
    if kind == "timm" and rest:
        return load_timm(rest, device)
    if rest:
        return load_open_clip(kind, rest, device)
    raise UnknownName("encoder", name, [*ENCODERS, "ARCHITECTURE/WEIGHTS (open_clip)", "timm/NAME"])


def pick_device(device: str) -> str:
    """Return `device`, with "auto" resolved."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def load_open_clip(architecture: str, weights: str, device: str) -> Encoder:
    """Load an open_clip model; its preprocessing is read from it, for families differ: CLIP crops, SigLIP squashes."""
    import open_clip

    if architecture not in open_clip.list_models():
        raise UnknownName("open_clip architecture", architecture, open_clip.list_models())
    folder = models_dir() / "open_clip" / architecture / weights
    local = local_weights(folder)
    if local is None and weights not in open_clip.list_pretrained_tags_by_model(architecture):
        known = open_clip.list_pretrained_tags_by_model(architecture)
        raise UnknownName(f"weights of {architecture} (nor is there a {folder}/*.safetensors)", weights, known)

    def build() -> torch.nn.Module:
        model: torch.nn.Module = open_clip.create_model(
            architecture, pretrained=str(local or weights), require_pretrained=True
        )
        return model

    network = build() if local else fetch(f"{architecture}/{weights}", folder, build)

    def encode_texts(texts: list[str]) -> torch.Tensor:
        # Made when it is asked for: some families' tokenizers lie on the hub, and pictures do not need them.
        tokenizer = fetch(f"The tokenizer of {architecture}", folder, lambda: open_clip.get_tokenizer(architecture))
        vectors: torch.Tensor = network.encode_text(tokenizer(texts).to(device))  # type: ignore[operator]
        return vectors

    transform = transform_of_open_clip(open_clip.get_model_preprocess_cfg(network))
    with torch.inference_mode():
        dim = int(network.encode_image(torch.zeros(1, 3, transform.size_px, transform.size_px)).shape[-1])  # type: ignore[operator]
    return NetworkEncoder(
        f"{architecture}/{weights}",
        network,
        network.encode_image,  # type: ignore[arg-type]
        transform,
        dim,
        device,
        encode_texts,
    )


def transform_of_open_clip(config: dict[str, Any]) -> Transform:
    """Translate open_clip's `preprocess_cfg`."""
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    return Transform(
        size_px=size,
        resize_px=size,
        resize=config["resize_mode"],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=config.get("fill_color", 0),
    )


def load_timm(name: str, device: str) -> Encoder:
    """Load a timm backbone without its classifier; `features` are what the classifier would see."""
    import timm
    from timm.data.config import resolve_model_data_config

    if not timm.is_model(name):
        raise UnknownName("timm network", name, timm.list_models(f"*{name[:6]}*")[:20])
    folder = models_dir() / "timm" / name
    local = local_weights(folder)

    def build() -> torch.nn.Module:
        overlay: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(local)}} if local else {}
        network: torch.nn.Module = timm.create_model(name, pretrained=True, **overlay)
        return network

    network = build() if local else fetch(f"timm/{name}", folder, build)
    transform = transform_of_timm(resolve_model_data_config(network))
    network.reset_classifier(0)  # type: ignore[operator]
    with torch.inference_mode():
        dim = int(network.eval()(torch.zeros(1, 3, transform.size_px, transform.size_px)).shape[-1])
    return NetworkEncoder(f"timm/{name}", network, network, transform, dim, device)


def transform_of_timm(config: dict[str, Any]) -> Transform:
    """Translate timm's data configuration (centre crop of `crop_pct`)."""
    size = config["input_size"][-1]
    return Transform(
        size_px=size,
        resize_px=int(size / config["crop_pct"]),
        resize="squash" if config["crop_mode"] == "squash" else "shortest",
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def local_weights(folder: Path) -> Path | None:
    """Return the safetensors file of a local folder; pickles are not loaded from it."""
    if not folder.exists():
        return None
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise BadInput(f"{folder} must hold one .safetensors file, it holds {len(files)}.")
    return files[0]


ENCODERS: dict[str, Callable[[str], Encoder]] = {
    "starter": load_starter,
    "starter-features": load_starter_features,
}
