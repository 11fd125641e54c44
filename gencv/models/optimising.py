"""What of a network is trained, and how fast: parameter groups, optimizers, schedules, low-rank adapters."""

import math
import re
from typing import Any

import torch

from gencv.core.errors import BadInput
from gencv.models.networks import Classifier
from gencv.models.recipes import Recipe


def freeze(network: Classifier, beginnings: tuple[str, ...]) -> None:
    """Keep parameters whose names begin so as they are; ("all",) is every one but the head's.

    Raises BadInput for a beginning that nothing has.
    """
    if beginnings == ("all",):
        network.network.requires_grad_(False)
        for name in network.head_names:
            network.network.get_submodule(name).requires_grad_(True)
        return
    names = [name for name, _ in network.network.named_parameters()]
    for beginning in beginnings:
        if not any(is_below(name, beginning) for name in names):
            tops = ", ".join(dict.fromkeys(layer_of(name) for name in names))
            raise BadInput(f"--freeze {beginning}: no parameter's name begins so; this network has {tops}.")
    for name, parameter in network.network.named_parameters():
        if any(is_below(name, beginning) for beginning in beginnings):
            parameter.requires_grad_(False)


def is_below(name: str, beginning: str) -> bool:
    """Say whether a parameter lies below a module: `layer1` holds `layer1.0.weight` and not `layer10.weight`."""
    return name == beginning or name.startswith(beginning + ".")


def train_mode(network: Classifier) -> None:
    """Switch to training, but for modules whose parameters are all frozen: their batch statistics stay as well."""
    network.train()
    for module in network.network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def add_lora(network: Classifier, rank: int) -> None:
    """Freeze all but the head, and add trainable low-rank matrices to every other linear layer, by peft.

    Source: Hu et al. 2021, arXiv:2106.09685; the scale is 2 (alpha = 2 rank).
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = [
        name
        for name, module in network.network.named_modules()
        if isinstance(module, torch.nn.Linear) and name not in network.head_names
    ]
    if not linear:
        raise BadInput("--lora-rank needs a network with linear layers below its head, such as a ViT.")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear)
    inject_adapter_in_model(config, network.network)
    for name in network.head_names:
        network.network.get_submodule(name).requires_grad_(True)


def merge_lora(network: Classifier) -> None:
    """Add the low-rank matrices to the weights, so that the network is a plain one again."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(network.network.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(network.network.get_submodule(parent), child, module.get_base_layer())


def layer_of(name: str) -> str:
    """Return the layer that a parameter belongs to: its name up to the first number, else its first word."""
    found = re.match(r"\D*\d+", name)
    return found.group() if found else name.partition(".")[0]


def depths_of(names: list[str]) -> dict[str, int]:
    """Return how many layers lie below each parameter's own; parameters in the order of their modules.

    What has no number in its name counts as the stem if it comes before the first numbered layer, else as the top.
    """
    depth, last = 0, ""
    seen_number = False
    found = {}
    for name in names:
        numbered = re.match(r"\D*\d+", name)
        layer = numbered.group() if numbered else ("top" if seen_number else "stem")
        seen_number = seen_number or numbered is not None
        if last and layer != last:
            depth += 1
        last = layer
        found[name] = depth
    return found


def parameter_groups(network: Classifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay; biases and norms (1-d) do not decay."""
    named = [(name, p) for name, p in network.network.named_parameters() if p.requires_grad]
    depths = depths_of([name for name, _ in network.network.named_parameters()])
    top = max(depths.values())
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in named:
        rate = recipe.learning_rate * recipe.layer_decay ** (top - depths[name])
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    if not groups:
        raise BadInput("--freeze leaves nothing to train; leave the head out of it at least.")
    return [{"params": parameters, "lr": lr, "weight_decay": wd} for (lr, wd), parameters in groups.items()]


def build_optimizer(network: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    groups = parameter_groups(network, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum)
    return torch.optim.AdamW(groups)


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int) -> Any:
    """Return a scheduler: `plateau` is stepped after an epoch with the validation loss, the others after a step."""
    if recipe.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="min", factor=0.5, patience=recipe.plateau_patience
        )
    warmup = round(recipe.warmup_fraction * num_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
