"""What a training cost, against counts made by hand."""

import time
from typing import Any

import pytest
import torch

from gencv.images.transform import Transform
from gencv.models.efficiency import (
    device_name,
    efficiency_of,
    flops_of,
    num_parameters,
    peak_flops,
    peak_memory_mib,
)
from gencv.models.networks import Blueprint, Classifier, build_network


def one_layer(side: int = 8, num_outputs: int = 2) -> Classifier:
    """A network of a single linear layer, whose FLOPs a person can count."""
    transform = Transform(size_px=side, resize_px=side, resize="squash", interpolation="bilinear")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * side * side, num_outputs))
    return Classifier(network, num_outputs, Blueprint("timm", {}), transform)


def epoch(number: int, **facts: Any) -> dict[str, Any]:
    known = {"epoch": number, "pictures": 1_000, "seconds": 10.0, "val_seconds": 2.0, "waited_s": 1.0, "workers": 2}
    return {**known, "device": "abacus", "peak_memory_mib": 12.5, "peak_flops": 1e6, **facts}


def test_flops_of_a_linear_layer_are_two_a_weight() -> None:
    assert flops_of(one_layer()) == 2 * 3 * 8 * 8 * 2


@pytest.mark.parametrize(("name", "width", "layers"), [("tiny-vit", 64, 4), ("small-vit", 128, 6)])
def test_flops_of_a_vit_follow_its_formula_with_attention(name: str, width: int, layers: int) -> None:
    tokens, patch = 65, 8
    block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    known = layers * block + 2 * (tokens - 1) * 3 * patch**2 * width + 2 * width * 2
    assert flops_of(build_network(name, 2)) == pytest.approx(known, rel=0.01)


def test_counting_leaves_every_mode_as_it_was() -> None:
    network = build_network("tiny-vit", 2).train()
    frozen = next(module for module in network.modules() if isinstance(module, torch.nn.LayerNorm)).eval()
    flops_of(network)
    assert network.training and not frozen.training
    assert all(module.training for module in network.modules() if module is not frozen)


def test_parameters_are_counted_with_and_without_the_frozen_ones() -> None:
    network = one_layer()
    assert num_parameters(network) == (386, 386)
    network.network[1].bias.requires_grad = False  # type: ignore[index, union-attr]
    assert num_parameters(network) == (386, 384)


def test_the_peak_is_measured_quickly() -> None:
    started = time.perf_counter()
    peak = peak_flops("cpu", bf16=False)
    assert 1e8 < peak < 1e14
    assert time.perf_counter() - started < 5
    assert peak_flops("cpu", bf16=True) > 1e6


def test_memory_is_in_mib_and_the_device_has_a_name() -> None:
    assert 50 < peak_memory_mib("cpu") < 1e6
    assert "threads" in device_name("cpu")


def test_the_first_epoch_warms_up_and_the_last_one_knows_the_device() -> None:
    slow = epoch(1, seconds=100.0, waited_s=90.0, device="other", peak_flops=1.0)
    found = efficiency_of(one_layer(), [slow, epoch(2), epoch(3, seconds=20.0, waited_s=4.0), epoch(4)])
    assert (found.images_per_s, found.seconds_per_epoch, found.waited_fraction) == (100.0, 12.0, 0.1)
    assert (found.device, found.peak_memory_mib, found.flops_per_image) == ("abacus", 12.5, 768.0)
    assert found.achieved_share == pytest.approx(100 * 3 * 768 / (1e6 * 2))


def test_a_single_epoch_counts() -> None:
    found = efficiency_of(one_layer(), [epoch(1)])
    assert found.images_per_s == 100.0
    assert 0 < found.achieved_share < 1.5
    assert (found.parameters, found.trainable) == (386, 386)
    assert efficiency_of(one_layer(), [epoch(1, trainable=2)]).trainable == 2
