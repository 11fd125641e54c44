import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gencv.core.errors import BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.images.transform import Transform
from gencv.models.networks import (
    NETWORKS,
    Blueprint,
    Classifier,
    build_network,
    heads_of,
    restore,
    transform_of_processor,
)

SMALL = [name for name in NETWORKS if name not in ("vit-base-224", "deit-base-384")]
OF_TIMM = [
    "timm/resnet18",
    "timm/densenet121",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/vit_tiny_r_s16_p8_224",
]


def images(network: Classifier, count: int = 2) -> torch.Tensor:
    side = network.transform.size_px
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def config(**sizes: object) -> object:
    from transformers import ViTConfig

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return ViTConfig(**{**small, "image_size": 32, "patch_size": 8, **sizes})


def save_vit(folder: Path, **sizes: object) -> torch.nn.Module:
    """Save a small ViT with its image processor as transformers does; returns it."""
    from transformers import ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(1)
    network: torch.nn.Module = ViTForImageClassification(config(**sizes)).eval()
    network.save_pretrained(folder)  # type: ignore[operator]
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], resample=3).save_pretrained(folder)
    return network


@pytest.mark.parametrize(
    ("name", "num_outputs"), [(name, 5) for name in SMALL + OF_TIMM] + [("tiny-vit", 1), ("tiny-deit", 1)]
)
def test_a_network_gives_outputs_and_features_and_comes_back_from_its_blueprint(name: str, num_outputs: int) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_outputs, weights="pretrained" if name == "starter" else "random").eval()
    x = images(network)
    with torch.inference_mode():
        outputs, features = network(x)
        assert outputs.shape == (2, num_outputs) and features.shape == (2, network.num_features)
        by_hand = torch.stack([network.network.get_submodule(head)(features) for head in network.head_names]).mean(0)
        assert len(network.head_names) == 2 or torch.allclose(by_hand, outputs, atol=1e-5)
        blueprint = Blueprint(network.blueprint.library, json.loads(json.dumps(network.blueprint.config)))
        again = restore(blueprint, num_outputs, network.transform).eval()
        again.network.load_state_dict(network.network.state_dict())
        for told, expected in zip(again(x), (outputs, features), strict=True):
            torch.testing.assert_close(told, expected)


@pytest.mark.parametrize("name", ["tiny-deit", "timm/deit_tiny_distilled_patch16_224"])
def test_a_distilled_deit_averages_its_two_heads_in_training_too(name: str) -> None:
    network = build_network(name, 3, weights="random").train()
    assert len(network.head_names) == 2
    seen: list[torch.Tensor] = []
    for head in network.head_names:
        module = network.network.get_submodule(head)
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
        torch.nn.init.normal_(module.weight)  # type: ignore[arg-type]
    outputs, _ = network(images(network))
    assert len(seen) == 2 and not torch.allclose(*seen)
    torch.testing.assert_close(outputs, (seen[0] + seen[1]) / 2)


def test_the_global_seed_decides_random_weights() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_network("tiny-vit", 2).network.state_dict()["classifier.weight"])
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_the_head_is_the_last_layer_alone_where_others_have_its_size() -> None:
    network = build_network("tiny-vit", 64)  # as many outputs as each of its layers has
    assert network.head_names == ["classifier"] and network(images(network))[1].shape == (2, 64)
    with pytest.raises(NotSupported, match="does not end in a linear layer"):
        heads_of(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 7)), 2)


def test_a_folder_of_transformers_loads_by_its_path_with_its_weights(tmp_path: Path, models_dir: Path) -> None:
    published = save_vit(tmp_path / "vit", num_labels=2)
    network = build_network(str(tmp_path / "vit"), 2).eval()
    assert network.transform == Transform(
        size_px=32, resize_px=32, resize="squash", interpolation="bicubic", mean=(0.4, 0.5, 0.6)
    )
    with torch.inference_mode():
        torch.testing.assert_close(network(images(network))[0], published(images(network)).logits)
    other = build_network(str(tmp_path / "vit"), 3)  # a new last layer over the same ones below
    assert other(images(other))[0].shape == (2, 3)
    name = next(name for name in published.state_dict() if name.endswith("weight") and "classifier" not in name)
    assert torch.equal(other.network.state_dict()[name], published.state_dict()[name])
    random = build_network(str(tmp_path / "vit"), 2, weights="random")
    assert not torch.equal(
        random.network.state_dict()["classifier.weight"], published.state_dict()["classifier.weight"]
    )
    (tmp_path / "vit").rename(models_dir / "moved")
    (models_dir / "transformers" / "someone").mkdir(parents=True)
    (models_dir / "moved").rename(models_dir / "transformers" / "someone" / "vit")
    by_name = build_network("someone/vit", 2).eval()  # the same files in the place of a hub's
    with torch.inference_mode():
        torch.testing.assert_close(by_name(images(network)), network(images(network)))


def test_a_checkpoint_in_half_precision_is_trained_and_restored_in_full(tmp_path: Path) -> None:
    folder = tmp_path / "vit"
    save_vit(folder, num_labels=2).to(torch.bfloat16).save_pretrained(folder)  # type: ignore[operator]
    assert "bfloat16" in (folder / "config.json").read_text()
    for weights in ("pretrained", "random"):
        network = build_network(str(folder), 2, weights=weights)
        again = restore(network.blueprint, 2, network.transform)
        assert {p.dtype for made in (network, again) for p in made.parameters()} == {torch.float32}


def test_pickled_weights_are_refused_and_a_configuration_alone_begins_at_random(tmp_path: Path) -> None:
    folder = tmp_path / "vit"
    published = save_vit(folder, num_labels=2)
    (folder / "model.safetensors").unlink()
    torch.save(published.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="pickled weights are not read") as caught:
        build_network(str(folder), 2)
    assert str(folder) in str(caught.value) and "--weights random" in str(caught.value)
    assert "\n" not in str(caught.value)
    (folder / "pytorch_model.bin").unlink()
    (folder / "preprocessor_config.json").unlink()
    network = build_network(str(folder), 2, weights="random")
    assert network(images(network))[0].shape == (2, 2)
    assert network.transform == Transform(size_px=32, resize_px=32, resize="squash", interpolation="bilinear")
    with pytest.raises(BadInput, match=r"no config\.json"):
        build_network(str(tmp_path), 2)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("model.safetensors", b"broken off"),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "no such type"}'),
        ("config.json", b'{"model_type": "bert"}'),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(file: str, data: bytes, tmp_path: Path) -> None:
    save_vit(tmp_path / "vit", num_labels=2)
    (tmp_path / "vit" / file).write_bytes(data)
    with pytest.raises(BadInput, match="no image classifier that can be loaded") as caught:
        build_network(str(tmp_path / "vit"), 2)
    assert str(tmp_path / "vit") in str(caught.value) and "\n" not in str(caught.value)


def test_a_timm_network_comes_from_a_local_folder(models_dir: Path) -> None:
    import timm

    torch.manual_seed(3)
    published = timm.create_model("test_vit.r160_in1k", pretrained=False)
    folder = models_dir / "timm" / "test_vit.r160_in1k"
    folder.mkdir(parents=True)
    save_file(published.state_dict(), folder / "model.safetensors")
    network = build_network("timm/test_vit.r160_in1k", 2)
    assert torch.equal(network.network.state_dict()["cls_token"], published.state_dict()["cls_token"])
    assert network(images(network))[0].shape == (2, 2) and network.transform.size_px == 160
    (folder / "model.safetensors").write_bytes(b"broken off")
    with pytest.raises(BadInput, match="no image classifier that can be loaded"):
        build_network("timm/test_vit.r160_in1k", 2)


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("nothing", "tiny-vit"),
        ("", "starter"),
        ("timm/", "timm/NAME"),
        ("timm/vit_base_16_224", "vit_base_patch16_224"),
        ("timm/xyz", "known: "),
        ("timm/resnet18.no_such_tag", "resnet18.a1_in1k"),
    ],
)
def test_an_unknown_network_lists_what_there_is(name: str, has: str, models_dir: Path) -> None:
    for weights in ("pretrained", "random"):
        with pytest.raises(UnknownName, match="Unknown") as caught:
            build_network(name, 2, weights=weights)
        assert has in str(caught.value) and "known: ." not in str(caught.value)


def test_the_starter_has_no_random_weights() -> None:
    with pytest.raises(BadInput, match="timm/tf_efficientnet_lite0 begins at random"):
        build_network("starter", 2, weights="random")


def test_a_checkpoint_that_names_its_outputs_positive_first_is_refused(tmp_path: Path) -> None:
    save_vit(tmp_path / "reversed", id2label={0: "Fake", 1: "Real"}, label2id={"Fake": 0, "Real": 1})
    with pytest.raises(BadInput, match="names its outputs Fake, Real, and ours are genuine, positive"):
        build_network(str(tmp_path / "reversed"), 2)
    assert build_network(str(tmp_path / "reversed"), 1).num_features == 16  # its one output is new
    save_vit(tmp_path / "ours", id2label={0: "Real", 1: "Fake"}, label2id={"Real": 0, "Fake": 1})
    assert build_network(str(tmp_path / "ours"), 2).num_features == 16


def test_unknown_weights_list_what_there_is() -> None:
    with pytest.raises(UnknownName, match=r"Unknown weights 'imagenet'; known: pretrained, random\."):
        build_network("tiny-vit", 2, weights="imagenet")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("google/vit-base-patch16-224", "transformers/google/vit-base-patch16-224"),
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
    ],
)
def test_without_the_hub_the_folder_for_the_weights_is_named_at_once(name: str, folder: str, models_dir: Path) -> None:
    build_network("tiny-vit", 2)  # the libraries are imported
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="cannot be reached") as caught:
        build_network(name, 2)
    assert time.monotonic() - started < 15
    assert str(models_dir / folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "blueprint",
    [
        Blueprint("transformers", {"model_type": "no such type"}),
        Blueprint("transformers", {}),
        Blueprint("timm", {"architecture": "no_such_network"}),
        Blueprint("timm", {}),
        Blueprint("keras", {}),
    ],
)
def test_a_blueprint_that_means_nothing_is_refused_in_one_sentence(blueprint: Blueprint) -> None:
    with pytest.raises(BadInput, match="cannot be built from its configuration"):
        restore(blueprint, 2, Transform(size_px=32, resize_px=32))


def test_an_image_processor_is_translated() -> None:
    sides = type("Config", (), {"image_size": 384})
    crop = {"size": {"height": 438, "width": 438}, "crop_size": {"height": 384, "width": 384}, "do_center_crop": True}
    deit = {**crop, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    assert transform_of_processor(deit, sides) == Transform(
        size_px=384,
        resize_px=438,
        resize="squash",
        interpolation="bicubic",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert transform_of_processor({}, sides) == Transform(
        size_px=384, resize_px=384, resize="squash", interpolation="bilinear"
    )
    shortest = transform_of_processor({"size": {"shortest_edge": 256}, "do_normalize": False, "resample": 2}, sides)
    assert (shortest.size_px, shortest.resize, shortest.mean, shortest.std) == (256, "shortest", (0,) * 3, (1,) * 3)
