from collections.abc import Callable

import pytest
import torch

from gencv.core.errors import NotSupported
from gencv.models.gradcam import grad_cam
from gencv.models.networks import build_network


class Cam(torch.nn.Module):
    """Convolution, mean over places, linear: the network for which class activation maps are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 6, 3, padding=1, stride=2)
        self.head = torch.nn.Linear(6, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.convolution(images).mean((2, 3)))[:, 0]


def test_where_class_activation_maps_are_exact_it_is_one() -> None:
    torch.manual_seed(0)
    network, images = Cam().eval(), torch.randn(3, 3, 24, 24)
    with torch.no_grad():
        cam = torch.einsum("bchw,c->bhw", network.convolution(images), network.head.weight[0]).relu()
    found = grad_cam(network, images, network)
    assert found.shape == (3, 12, 12) and not found.requires_grad
    torch.testing.assert_close(found * 12 * 12, cam, atol=1e-6, rtol=1e-5)
    alone = grad_cam(network, images[:1], network)
    torch.testing.assert_close(found[:1], alone, atol=1e-7, rtol=1e-5)


def of_transformers() -> tuple[torch.nn.Module, int]:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=2)
    return ResNetForImageClassification(config), 64


def of_name(name: str) -> tuple[torch.nn.Module, int]:
    if name == "transformers":
        return of_transformers()
    built = build_network(name, 2, weights="pretrained" if name == "starter" else "random")
    return built.network, built.transform.size_px


@pytest.mark.parametrize(
    ("name", "stride"),
    [("starter", 32), ("timm/resnet50", 32), ("timm/densenet121", 32), ("timm/convnext_atto", 32), ("transformers", 8)],
)
def test_the_last_map_is_found_by_itself(name: str, stride: int) -> None:
    torch.manual_seed(0)
    network, side = of_name(name)
    network.eval().requires_grad_(False)

    def verdict(images: torch.Tensor) -> torch.Tensor:
        output = network(images)
        outputs = output if isinstance(output, torch.Tensor) else output.logits
        return outputs[:, 1] - outputs[:, 0]

    found = grad_cam(network, torch.randn(2, 3, side, side), verdict)
    assert found.shape == (2, side // stride, side // stride)
    assert torch.isfinite(found).all() and (found >= 0).all()
    assert not [module for module in network.modules() if module._forward_hooks]


def attends_in_windows() -> torch.nn.Module:
    from transformers import Swinv2Config, Swinv2ForImageClassification

    sizes = {"image_size": 64, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
    return Swinv2ForImageClassification(Swinv2Config(**sizes, num_labels=1))


def pools_its_queries() -> torch.nn.Module:
    import timm

    return timm.create_model("mvitv2_tiny", img_size=64, num_classes=1)


def asks_a_convolution_where_patches_lie() -> torch.nn.Module:
    import timm

    return timm.create_model("coat_lite_tiny", img_size=64, num_classes=1)


@pytest.mark.parametrize("build", [attends_in_windows, pools_its_queries, asks_a_convolution_where_patches_lie])
def test_pieces_of_attention_are_no_map(build: Callable[[], torch.nn.Module]) -> None:
    network = build().eval()

    def verdict(images: torch.Tensor) -> torch.Tensor:
        output = network(images)
        return (output if isinstance(output, torch.Tensor) else output.logits)[:, 0]

    with pytest.raises(NotSupported, match="no convolutional map"):
        grad_cam(network, torch.randn(2, 3, 64, 64), verdict)
    assert not [module for module in network.modules() if module._forward_hooks]


class Mixed(Cam):
    """Attention before the last map, and after it quarters of it one by one, which are pooled by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.quarterly = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(6, 6, 3)
        self.attn_pool = torch.nn.Conv2d(6, 6, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        last = self.convolution(self.attn(images))
        quarters = torch.cat([quarter for half in last.chunk(2, 2) for quarter in half.chunk(2, 3)])
        pooled = self.attn_pool(self.quarterly(quarters)).mean((2, 3)).reshape(4, len(images), 6)
        return self.head(pooled.mean(0))[:, 0]


def test_the_last_map_lies_after_attention_and_before_what_is_pooled_by_it() -> None:
    torch.manual_seed(0)
    network = Mixed().eval()
    found = grad_cam(network, torch.randn(2, 3, 24, 24), network)
    assert found.shape == (2, 12, 12)


def test_what_has_no_map_is_refused() -> None:
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16, 1))
    with pytest.raises(NotSupported, match="no convolutional map"):
        grad_cam(flat, torch.zeros(1, 3, 4, 4), lambda images: flat(images)[:, 0])
