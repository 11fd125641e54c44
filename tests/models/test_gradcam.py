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


def test_what_has_no_map_is_refused() -> None:
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16, 1))
    with pytest.raises(NotSupported, match="no convolutional map"):
        grad_cam(flat, torch.zeros(1, 3, 4, 4), lambda images: flat(images)[:, 0])
