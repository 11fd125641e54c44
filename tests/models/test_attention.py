import copy

import pytest
import torch

from gencv.core.errors import NotSupported
from gencv.models.attention import MEAN_OF_PATCHES, attends, attentions, maps_of, rollout, tokens_read
from gencv.models.networks import build_network


def of_open_clip() -> torch.nn.Module:
    from open_clip.transformer import VisionTransformer

    return VisionTransformer(
        image_size=32, patch_size=8, width=32, layers=3, heads=2, mlp_ratio=2, output_dim=8
    )  # what CLIP ViT-L/14 is, smaller


def network_of(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    network = of_open_clip() if name == "open_clip" else build_network(name, 2, weights="random").network
    for parameter in network.parameters():  # far from even attention, which random weights begin with
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def images(name: str) -> torch.Tensor:
    side = {"open_clip": 32, "tiny-vit": 64, "tiny-deit": 64}.get(name, 160)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def told(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    output = network(x)
    return output if isinstance(output, torch.Tensor) else output.logits


def num_hooks(network: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


LIBRARIES = {"tiny-vit": (4, 65), "tiny-deit": (4, 66), "timm/test_vit": (6, 101), "open_clip": (3, 17)}


@pytest.mark.parametrize("name", LIBRARIES)
@torch.inference_mode()
def test_a_network_gives_its_weights_and_is_left_as_it_was(name: str) -> None:
    network, x = network_of(name), images(name)
    before, state, hooks = told(network, x), copy.deepcopy(network.state_dict()), num_hooks(network)
    during: list[torch.Tensor] = []
    layers = attentions(network, lambda: during.append(told(network, x)))
    depth, num_tokens = LIBRARIES[name]
    assert len(layers) == depth and {tuple(layer.shape) for layer in layers} == {(2, num_tokens, num_tokens)}
    for layer in layers:
        torch.testing.assert_close(layer.sum(-1), torch.ones(2, num_tokens))
        assert layer.std() > 1e-3
    torch.testing.assert_close(during[0], before, atol=1e-4, rtol=1e-4)
    assert torch.equal(told(network, x), before), "the fused kernel computes again"
    assert num_hooks(network) == hooks
    torch.testing.assert_close(network.state_dict(), state)


@torch.inference_mode()
def test_the_weights_are_those_of_the_queries_and_keys() -> None:
    network, x = network_of("timm/test_vit"), images("timm/test_vit")
    seen: list[torch.Tensor] = []
    for block in network.blocks:  # type: ignore[union-attr]
        block.attn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))  # type: ignore[union-attr]
    layers = attentions(network, lambda: network(x))
    for block, tokens_BTD, layer in zip(network.blocks, seen, layers, strict=True):  # type: ignore[arg-type]
        attention = block.attn
        parts = attention.qkv(tokens_BTD).unflatten(-1, (3, attention.num_heads, attention.head_dim))
        query, key = (parts[:, :, k].transpose(1, 2) for k in (0, 1))
        weights = (query @ key.mT * attention.head_dim**-0.5).softmax(-1)
        torch.testing.assert_close(layer, weights.mean(1), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_rollout_is_what_a_plain_loop_gives_and_its_rows_sum_to_1() -> None:
    network, x = network_of("tiny-deit"), images("tiny-deit")
    layers = attentions(network, lambda: network(x))
    rolled = rollout(layers)
    torch.testing.assert_close(rolled.sum(-1), torch.ones(rolled.shape[:2]))
    for picture in range(2):
        share = torch.eye(66)
        for layer in layers:
            after = torch.zeros(66, 66)
            for token in range(66):
                after[token] = 0.5 * share[token] + 0.5 * sum(layer[picture, token, k] * share[k] for k in range(66))
            share = after
        torch.testing.assert_close(rolled[picture], share, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-deit", "open_clip"])
@torch.inference_mode()
def test_even_attention_gives_an_even_map(name: str) -> None:
    network, x = network_of(name), images(name)
    for key, parameter in network.named_parameters():
        if "q_proj" in key or "in_proj" in key:
            parameter.zero_()
    reads = tokens_read(network, 2 if name == "tiny-deit" else 1)
    maps = maps_of(rollout(attentions(network, lambda: network(x))), reads)
    assert list(maps) == list(reads) and len(maps) == (2 if name == "tiny-deit" else 1)
    for found in maps.values():
        assert found.shape == (2, 4, 4) if name == "open_clip" else (2, 8, 8)
        torch.testing.assert_close(found, found.mean().expand_as(found))


def test_a_map_lies_where_its_patches_do() -> None:
    rolled = torch.zeros(1, 18, 18)  # class token, distillation token, 4 x 4 patches
    rolled[0, 0, 2 + 4 * 1 + 3] = 0.7
    rolled[0, 1, 2 + 4 * 2 + 0] = 0.4
    rolled[0, 2:, 2 + 5] = 0.1
    maps = maps_of(rolled, ("class token", "distillation token", MEAN_OF_PATCHES))
    assert maps["class token"][0].nonzero().tolist() == [[1, 3]]
    assert maps["distillation token"][0].nonzero().tolist() == [[2, 0]]
    assert maps[MEAN_OF_PATCHES][0, 1, 1] == pytest.approx(0.1)


def test_which_tokens_a_head_reads() -> None:
    import timm

    mean = timm.create_model("test_vit", pretrained=False, global_pool="avg")
    assert tokens_read(mean) == (MEAN_OF_PATCHES,)
    assert tokens_read(timm.create_model("test_vit", pretrained=False)) == ("class token",)
    whole = of_open_clip()
    assert tokens_read(whole) == ("class token",)
    whole.pool_type = "avg"  # type: ignore[assignment]
    assert tokens_read(whole) == (MEAN_OF_PATCHES,)
    gathered = timm.create_model("test_vit", pretrained=False, global_pool="map", class_token=False)
    with pytest.raises(NotSupported, match="one more attention"):
        tokens_read(gathered)


def test_windows_of_attention_are_refused_and_convolutions_have_none() -> None:
    import timm

    swin = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, img_size=112).eval()
    resnet = timm.create_model("test_resnet", pretrained=False).eval()
    with torch.inference_mode():
        assert attends(swin, lambda: swin(torch.zeros(1, 3, 112, 112)))
        assert not attends(resnet, lambda: resnet(torch.zeros(1, 3, 64, 64)))
        assert not attends(swin, lambda: None), "it takes no part"
    for module in (attention := [module for module in swin.modules() if hasattr(module, "fused_attn")]):
        module.fused_attn = True
    with pytest.raises(NotSupported, match="all tokens to all tokens"), torch.inference_mode():
        attentions(swin, lambda: swin(torch.zeros(1, 3, 112, 112)))
    assert attention and all(module.fused_attn for module in attention), "also after an error"
