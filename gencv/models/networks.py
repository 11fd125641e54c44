"""Networks by name, as classifiers to train: logits, and the features that the last layer saw.

    starter                        EfficientNet-Lite0 with the ImageNet weights that a package ships
    tiny-vit, tiny-deit, ...       small ones from their configuration alone: random weights, for tests and first runs
    timm/resnet50.a1_in1k          any timm network
    google/vit-base-patch16-224    any transformers image classifier: a hub id, or the path of a local folder

Weights come from a local folder if it is there (`models_dir()/timm/NAME/*.safetensors`, `models_dir()/transformers/ID/`
with config.json and model.safetensors), else from the hub. Pickled weights are never read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from gencv.core.errors import BadInput, NotSupported, UnknownName
from gencv.core.hub import fetch, models_dir
from gencv.core.words import GENUINE, POSITIVE
from gencv.images.transform import Transform
from gencv.models.encoders import local_weights, transform_of_timm
from gencv.models.starter import TRANSFORM as STARTER_TRANSFORM
from gencv.models.starter import load_efficientnet

T = TypeVar("T")

WEIGHTS = ("pretrained", "random")
"""Where a network starts: from published weights, or from its configuration alone."""


@dataclass(frozen=True)
class Blueprint:
    """All of a network but its weights: what a bundle keeps and `restore` builds from."""

    library: str
    """transformers or timm."""
    config: dict[str, Any]
    """transformers: the configuration; timm: the architecture, and what `create_model` takes."""


class Classifier(torch.nn.Module):
    """A library's network: normalised float32 [B, 3, S, S] -> logits [B, C] and features [B, D].

    Features are what the last linear layer saw. A DeiT with its distillation token has two such layers, whose logits
    both libraries average, in training as well: no teacher is asked here; its features are averaged likewise. (Which
    of DeiT's two classes transformers takes is written in the checkpoint's `architectures`.)
    """

    def __init__(self, network: torch.nn.Module, num_outputs: int, blueprint: Blueprint, transform: Transform) -> None:
        super().__init__()
        self.network, self.blueprint, self.transform = network, blueprint, transform
        self.head_names = heads_of(network, num_outputs)
        self._seen: list[torch.Tensor] = []
        for name in self.head_names:
            network.get_submodule(name).register_forward_pre_hook(self._keep)

    def _keep(self, head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._seen.append(inputs[0])

    @property
    def num_features(self) -> int:
        return int(self.network.get_submodule(self.head_names[0]).in_features)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._seen.clear()
        output = self.network(images)
        features = torch.stack(self._seen).mean(0) if len(self._seen) > 1 else self._seen[0]
        self._seen.clear()
        return output if isinstance(output, torch.Tensor) else output.logits, features


def heads_of(network: torch.nn.Module, num_outputs: int) -> list[str]:
    """Return the names of the last linear layer, or of both where a network averages two. Raises NotSupported."""
    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    heads: list[str] = []
    for name in reversed(linear):
        beside = not heads or name.rpartition(".")[0] == heads[0].rpartition(".")[0]
        if network.get_submodule(name).out_features != num_outputs or len(heads) == 2 or not beside:
            break
        heads.insert(0, name)
    if not heads:
        raise NotSupported(f"{type(network).__name__} does not end in a linear layer; choose another network.")
    return heads


def build_network(name: str, num_outputs: int, *, weights: str = "pretrained") -> Classifier:
    """Build a network of that name with `num_outputs` logits; the last layer is new wherever its size differs.

    Random weights follow torch's global seed. Raises UnknownName, or ModelUnavailable where weights cannot be had.
    """
    if weights not in WEIGHTS:
        raise UnknownName("weights", weights, WEIGHTS)
    if name == "starter" and weights == "random":
        raise BadInput("The network starter is its packaged weights; timm/tf_efficientnet_lite0 begins at random.")
    if name in NETWORKS:
        return NETWORKS[name](num_outputs)
    kind, _, rest = name.partition("/")
    if kind == "timm" and rest:
        return build_timm(rest, num_outputs, weights)
    if rest:
        return build_transformers(name, num_outputs, weights)
    raise UnknownName("network", name, [*NETWORKS, "timm/NAME", "ORGANISATION/NAME or /FOLDER (transformers)"])


def restore(blueprint: Blueprint, num_outputs: int, transform: Transform) -> Classifier:
    """Build the network of a bundle, its weights still random. Raises BadInput if the blueprint means nothing."""
    try:
        return Classifier(
            LIBRARIES[blueprint.library](blueprint.config, num_outputs), num_outputs, blueprint, transform
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadInput(f"A network of {blueprint.library} cannot be built from its configuration: {error}") from None


def build_timm(name: str, num_outputs: int, weights: str) -> Classifier:
    import timm
    from timm.data.config import resolve_model_data_config

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownName("timm network", name, get_close_matches(name, timm.list_models(), 10, 0))
    published = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in published:
        raise UnknownName("timm weights", name, [architecture, *published])
    folder = models_dir() / "timm" / name
    local = local_weights(folder) if weights == "pretrained" else None

    def build() -> torch.nn.Module:
        overlay: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(local)}} if local else {}
        network: torch.nn.Module = timm.create_model(
            name, pretrained=weights == "pretrained", num_classes=num_outputs, **overlay
        )
        return network

    if local:
        network = from_folder(folder, build)
    else:
        network = build() if weights == "random" else fetch(f"timm/{name}", folder, build)
    transform = transform_of_timm(resolve_model_data_config(network))
    return Classifier(network, num_outputs, Blueprint("timm", {"architecture": name}), transform)


def from_folder(folder: Path, build: Callable[[], T], what: str = "image classifier") -> T:
    """Build from a local folder. Raises BadInput in one sentence if its files are damaged or mean something else."""
    try:
        return build()
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        why = str(error).strip().partition("\n")[0]
        raise BadInput(f"{folder} holds no {what} that can be loaded: {why}") from None


@dataclass(frozen=True)
class Published:
    """Where the files of a transformers network are had: from a local folder if they are there, else from the hub."""

    name: str
    folder: Path
    what: str
    """What they should hold."""

    @property
    def is_local(self) -> bool:
        return (self.folder / "config.json").exists()

    @property
    def place(self) -> str:
        """What `from_pretrained` takes."""
        return str(self.folder) if self.is_local else self.name

    def get(self, build: Callable[[], T], files: str = "config.json and model.safetensors") -> T:
        """Build from `place`. Raises BadInput for a damaged folder, ModelUnavailable where the hub gives nothing."""
        if self.is_local:
            return from_folder(self.folder, build, self.what)
        return fetch(self.name, self.folder, build, files)

    def require_safetensors(self, otherwise: str = "") -> None:
        """Raise BadInput for a folder without them. otherwise: what else can be done."""
        if self.is_local and not any(self.folder.glob("*.safetensors")):
            raise BadInput(
                f"{self.folder} holds no .safetensors file (pickled weights are not read); save the network with "
                f"safe_serialization{otherwise}."
            )


def find_published(name: str, what: str = "image classifier") -> Published:
    """Find a transformers network by its hub id or folder, and keep the library quiet from here on.

    Raises BadInput for a path that is no such folder.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    is_path = name.startswith("/")
    published = Published(name, Path(name) if is_path else models_dir() / "transformers" / name, what)
    if is_path and not published.is_local:
        raise BadInput(
            f"{published.folder} holds no config.json; give a folder that transformers' save_pretrained wrote."
        )
    return published


def from_timm(config: dict[str, Any], num_outputs: int) -> torch.nn.Module:
    import timm

    network: torch.nn.Module = timm.create_model(config["architecture"], pretrained=False, num_classes=num_outputs)
    return network


def build_transformers(name: str, num_outputs: int, weights: str) -> Classifier:
    """Load a transformers classifier; its last layer is replaced where it has another number of outputs."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

    published = find_published(name)
    place = published.place
    config = published.get(lambda: AutoConfig.from_pretrained(place))
    if weights == "pretrained":
        published.require_safetensors(", or give --weights random to start from its configuration")
        require_our_order(name, [str(config.id2label[place]) for place in sorted(config.id2label)], num_outputs)
    config.num_labels = num_outputs

    def build() -> torch.nn.Module:
        network: torch.nn.Module = AutoModelForImageClassification.from_pretrained(
            place, config=config, ignore_mismatched_sizes=True, use_safetensors=True
        )
        return network

    if weights == "random":
        network = published.get(lambda: from_transformers(config.to_dict(), num_outputs))
    else:
        network = published.get(build).float()
    try:
        processor = AutoImageProcessor.from_pretrained(place, use_fast=False).to_dict()
    except (OSError, ValueError, ImportError):  # a folder with a configuration alone
        processor = {}
    blueprint = Blueprint("transformers", config.to_dict())
    return Classifier(network, num_outputs, blueprint, transform_of_processor(processor, config))


def require_our_order(name: str, outputs: list[str], num_outputs: int) -> None:
    """Raise BadInput for a checkpoint that names its two outputs positive first: its last layer is kept as it is."""
    first, last = (outputs[0].lower(), outputs[-1].lower()) if outputs else ("", "")
    if len(outputs) == num_outputs == 2 and (first in POSITIVE or last in GENUINE):
        raise BadInput(
            f"{name} names its outputs {outputs[0]}, {outputs[1]}, and ours are genuine, positive; "
            "give --loss sigmoid, whose one output is new, or --weights random."
        )


def from_transformers(config: dict[str, Any], num_outputs: int) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForImageClassification

    known = AutoConfig.for_model(**{**config, "num_labels": num_outputs})
    known.architectures = known.architectures or []  # None makes the library stumble over types with two classes
    network: torch.nn.Module = AutoModelForImageClassification.from_config(known)
    return network.float()  # the configuration of a checkpoint may ask for half precision


def transform_of_processor(processor: dict[str, Any], config: Any) -> Transform:
    """Translate a transformers image processor; without one, a plain resize to the network's size, -1 to 1."""
    image_size = getattr(config, "image_size", 224)
    side = image_size if isinstance(image_size, int) else image_size[0]
    size = processor.get("size") or {"height": side, "width": side}
    shortest = size.get("shortest_edge")
    resize = shortest or size["height"]
    crops = bool(processor.get("do_center_crop"))
    as_is = processor.get("do_normalize") is False
    return Transform(
        size_px=processor["crop_size"]["height"] if crops else resize,
        resize_px=resize,
        resize="shortest" if shortest else "squash",
        interpolation="bicubic" if processor.get("resample") == 3 else "bilinear",
        mean=(0.0,) * 3 if as_is else tuple(processor.get("image_mean") or (0.5,) * 3),
        std=(1.0,) * 3 if as_is else tuple(processor.get("image_std") or (0.5,) * 3),
    )


def load_starter_network(num_outputs: int) -> Classifier:
    network = load_efficientnet()
    network.reset_classifier(num_outputs)  # type: ignore[operator]
    blueprint = Blueprint("timm", {"architecture": "tf_efficientnet_lite0"})
    return Classifier(network, num_outputs, blueprint, STARTER_TRANSFORM)


def from_configuration(model_type: str, architecture: str, **sizes: int) -> Callable[[int], Classifier]:
    """Return a builder of a transformers network with random weights."""

    def build(num_outputs: int) -> Classifier:
        config = {"model_type": model_type, "architectures": [architecture], **sizes}
        transform = Transform(
            size_px=sizes["image_size"], resize_px=sizes["image_size"], resize="squash", interpolation="bilinear"
        )
        blueprint = Blueprint("transformers", config)
        return Classifier(from_transformers(config, num_outputs), num_outputs, blueprint, transform)

    return build


def _vit(hidden: int, layers: int, heads: int, side: int = 64, patch: int = 8) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": side,
        "patch_size": patch,
    }


LIBRARIES: dict[str, Callable[[dict[str, Any], int], torch.nn.Module]] = {
    "timm": from_timm,
    "transformers": from_transformers,
}

NETWORKS: dict[str, Callable[[int], Classifier]] = {
    "starter": load_starter_network,
    "tiny-vit": from_configuration("vit", "ViTForImageClassification", **_vit(64, 4, 4)),
    "small-vit": from_configuration("vit", "ViTForImageClassification", **_vit(128, 6, 4)),
    "base-vit": from_configuration("vit", "ViTForImageClassification", **_vit(256, 8, 8)),
    "tiny-deit": from_configuration("deit", "DeiTForImageClassificationWithTeacher", **_vit(64, 4, 4)),
    "vit-base-224": from_configuration("vit", "ViTForImageClassification", **_vit(768, 12, 12, 224, 16)),
    "deit-base-384": from_configuration("deit", "DeiTForImageClassificationWithTeacher", **_vit(768, 12, 12, 384, 16)),
}
"""Networks that need no hub; all but `starter` begin with random weights."""
