import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from gencv.core.errors import BadInput
from gencv.models.networks import Classifier, build_network
from gencv.models.optimising import (
    add_lora,
    build_optimizer,
    build_schedule,
    depths_of,
    freeze,
    is_below,
    layer_of,
    merge_lora,
    parameter_groups,
    train_mode,
)
from gencv.models.recipes import Recipe


def network(name: str = "tiny-vit", num_outputs: int = 2) -> Classifier:
    torch.manual_seed(0)
    return build_network(name, num_outputs, weights="random")


def trained(made: Classifier) -> set[str]:
    return {name for name, parameter in made.network.named_parameters() if parameter.requires_grad}


def images(made: Classifier, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, made.transform.size_px, made.transform.size_px)


def test_a_beginning_ends_at_a_dot() -> None:
    assert is_below("layer1.0.weight", "layer1") and is_below("layer1", "layer1")
    assert not is_below("layer10.weight", "layer1") and not is_below("a.layer1.weight", "layer1")


def test_freezing_stops_what_begins_so_and_nothing_else() -> None:
    made = network("timm/test_resnet")
    freeze(made, ("conv1", "layer1"))
    names = [name for name, _ in made.network.named_parameters()]
    assert trained(made) == {name for name in names if name.split(".")[0] not in ("conv1", "layer1")}
    assert len(trained(made)) < len(names)


def test_layer_1_does_not_stop_layer_10() -> None:
    made = network()
    layers = torch.nn.Module()
    for number in (1, 10):
        layers.add_module(f"layer{number}", torch.nn.Linear(2, 2))
    made.network = layers
    freeze(made, ("layer1",))
    assert trained(made) == {"layer10.weight", "layer10.bias"}


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("tiny-vit", ["vit", "classifier"]),
        ("timm/test_resnet", ["conv1", "layer1", "layer4", "fc"]),
        ("timm/test_vit", ["blocks.0", "head"]),
    ],
)
def test_an_unknown_beginning_lists_the_layers(name: str, has: list[str]) -> None:
    made = network(name)
    with pytest.raises(BadInput, match="--freeze laier: no parameter's name begins so") as caught:
        freeze(made, ("laier",))
    listed = str(caught.value).partition("this network has ")[2].rstrip(".").split(", ")
    assert set(has) <= set(listed) and len(listed) == len(set(listed))
    for layer in listed:  # what is listed is accepted
        freeze(made, (layer,))
    assert not trained(made)


def test_frozen_batch_norm_keeps_its_statistics_in_training() -> None:
    made = network("timm/test_resnet")
    freeze(made, ("conv1", "bn1", "layer1"))
    before = {name: buffer.clone() for name, buffer in made.network.named_buffers() if "running" in name}
    train_mode(made)
    made(torch.randn(4, 3, 64, 64))
    assert before
    for name, buffer in made.network.named_buffers():
        if "running" in name:
            assert torch.equal(buffer, before[name]) == (name.split(".")[0] in ("conv1", "bn1", "layer1")), name
    made.network.requires_grad_(True)
    train_mode(made)
    assert all(module.training for module in made.modules())


def test_layers_are_named_up_to_their_number() -> None:
    names = {
        "blocks.3.norm1.weight": "blocks.3",
        "layer10.0.bn1.bias": "layer10",
        "fc.weight": "fc",
        "cls_token": "cls_token",
    }
    assert {name: layer_of(name) for name in names} == names


def rates_of(made: Classifier, recipe: Recipe) -> dict[str, tuple[float, float]]:
    """Name of a parameter -> its learning rate and weight decay."""
    groups = parameter_groups(made, recipe)
    of = {id(parameter): (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups)
    return {name: of[id(parameter)] for name, parameter in made.network.named_parameters()}


@pytest.mark.parametrize(
    ("name", "below_top"),
    [
        (
            "tiny-vit",
            {
                "vit.embeddings.cls_token": 5,
                "vit.embeddings.patch_embeddings.projection.weight": 5,
                "vit.layers.0": 4,
                "vit.layers.3": 1,
                "vit.layernorm.weight": 0,
                "classifier.weight": 0,
            },
        ),
        ("timm/resnet18", {"conv1": 6, "bn1": 5, "layer1.0": 4, "layer1.1": 4, "layer3.1": 2, "layer4.0": 1, "fc": 0}),
        (
            "timm/densenet121",
            {
                "features.conv0": 10,
                "features.norm0": 9,
                "features.denseblock1": 8,
                "features.transition1": 7,
                "features.denseblock4": 2,
                "features.norm5": 1,
                "classifier": 0,
            },
        ),
    ],
)
def test_the_learning_rate_falls_from_layer_to_layer(name: str, below_top: dict[str, int]) -> None:
    rates = rates_of(network(name), Recipe(learning_rate=1.0, layer_decay=0.5, weight_decay=0.1))
    for beginning, depth in below_top.items():
        found = {rate for name, (rate, _) in rates.items() if is_below(name, beginning)}
        assert found == {0.5**depth}, beginning
    ordered = [rate for rate, _ in rates.values()]
    assert ordered == sorted(ordered)  # modules stand from the stem to the head


@pytest.mark.parametrize("name", ["tiny-vit", "timm/test_resnet"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    made = network(name)
    rates = rates_of(made, Recipe(weight_decay=0.1))
    for name, parameter in made.network.named_parameters():
        assert rates[name] == (5e-5, 0.1 if parameter.ndim > 1 else 0.0)


def test_depths_grow_from_the_stem_to_the_top() -> None:
    names = ["cls_token", "patch.weight", "blocks.0.a", "blocks.0.b", "blocks.1.a", "norm.weight", "head.weight"]
    assert list(depths_of(names).values()) == [0, 0, 1, 1, 2, 3, 3]
    assert depths_of(["head.weight", "head.bias"]) == {"head.weight": 0, "head.bias": 0}


def test_an_optimizer_takes_its_settings_from_the_recipe() -> None:
    made = network()
    sgd = build_optimizer(made, Recipe(optimizer="sgd", momentum=0.7, learning_rate=0.2))
    assert isinstance(sgd, torch.optim.SGD)
    assert {(group["lr"], group["momentum"]) for group in sgd.param_groups} == {(0.2, 0.7)}
    assert isinstance(build_optimizer(made, Recipe()), torch.optim.AdamW)
    made.requires_grad_(False)
    with pytest.raises(BadInput, match="nothing to train"):
        build_optimizer(made, Recipe())


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-deit", "timm/test_vit"])
def test_lora_trains_the_low_rank_and_the_head_alone_and_merges_into_a_plain_network(name: str) -> None:
    made = network(name).eval()
    start = made(images(made))[0]
    plain = copy.deepcopy(list(made.network.state_dict()))
    add_lora(made, 4)
    heads = {f"{head}.{kind}" for head in made.head_names for kind in ("weight", "bias")}
    assert heads < trained(made) and all("lora_" in name for name in trained(made) - heads)
    x = images(made)
    frozen = {n: p.clone() for n, p in made.network.named_parameters() if not p.requires_grad}
    optimizer = build_optimizer(made, Recipe(learning_rate=0.01))
    for _ in range(3):
        train_mode(made)
        optimizer.zero_grad()
        made(x)[0].square().sum().backward()
        optimizer.step()
    for name, parameter in made.network.named_parameters():
        assert name not in frozen or torch.equal(parameter, frozen[name]), name
    made.eval()
    with torch.no_grad():
        before = made(x)
        merge_lora(made)
        after = made(x)
    assert not torch.allclose(before[0], start, atol=1e-3)  # something was learned
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert list(made.network.state_dict()) == plain
    fresh = network(name_of(made)).eval()
    fresh.network.load_state_dict(made.network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fresh(x), before, atol=1e-5, rtol=1e-5)


def name_of(made: Classifier) -> str:
    if made.blueprint.library == "timm":
        return f"timm/{made.blueprint.config['architecture']}"
    return f"tiny-{made.blueprint.config['model_type']}"


def test_lora_starts_where_the_network_is() -> None:
    made = network().eval()
    x = images(made)
    before = made(x)[0]
    add_lora(made, 2)
    torch.testing.assert_close(made(x)[0], before)


def test_lora_needs_linear_layers() -> None:
    with pytest.raises(BadInput, match="--lora-rank needs a network with linear layers"):
        add_lora(network("timm/test_resnet"), 4)


def rates(recipe: Recipe, num_steps: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    schedule: Any = build_schedule(optimizer, recipe, num_steps)
    found = []
    for _ in range(num_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_schedules_at_their_start_after_the_warm_up_and_at_their_end() -> None:
    recipe = Recipe(learning_rate=2.0, warmup_fraction=0.25, schedule="cosine")
    found = rates(recipe, 40)
    assert found[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert found[10] == 2.0 and found[25] == pytest.approx(1.0) and found[40] == pytest.approx(0, abs=1e-12)
    assert found[10:] == sorted(found[10:], reverse=True) and found[39] > 0
    assert rates(replace(recipe, schedule="constant"), 40)[9:] == [2.0] * 32
    assert rates(Recipe(learning_rate=2.0), 5) == [2.0] * 6
    assert rates(replace(recipe, warmup_fraction=1.0), 4)[:4] == [0.5, 1.0, 1.5, 2.0]


def test_plateau_halves_where_the_loss_stays() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule: Any = build_schedule(optimizer, Recipe(schedule="plateau", plateau_patience=1), 100)
    found = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8):
        schedule.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
