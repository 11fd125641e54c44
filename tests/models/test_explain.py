from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fakes import picture

from gencv.core.errors import NotSupported
from gencv.models.detectors import Detector, NetworkDetector, ProbeDetector, Runner
from gencv.models.encoders import load_encoder
from gencv.models.explain import MEANINGS, explain, to_heat
from gencv.models.losses import Heads
from gencv.models.networks import build_network
from gencv.models.probes import PROBES, Probe


def of_network(name: str, loss: str = "softmax") -> NetworkDetector:
    torch.manual_seed(0)
    heads = Heads(loss, ("gan", "diffusion"))
    running = Runner(build_network(name, heads.num_outputs, weights="random"), "cpu")
    return NetworkDetector(running=running, heads=heads, network_name=name, task="generated")


def of_probe(kind: str) -> ProbeDetector:
    rng = np.random.default_rng(0)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    tensors = {
        "nearest": {"genuine": tensor(4, 1280), "positive": tensor(4, 1280)},
        "linear": {"weight": tensor(1280), "bias": tensor(1)},
        "mlp": {
            "hidden.weight": tensor(768, 1280),
            "hidden.bias": tensor(768),
            "out.weight": tensor(1, 768),
            "out.bias": tensor(1),
        },
    }[kind]
    encoder = load_encoder("starter-features", device="cpu")
    return ProbeDetector(encoder=encoder, probe=Probe(kind, tensors), task="generated")


def pixels(detector: Detector) -> np.ndarray:
    return np.stack([detector.prepare(picture(seed, 200, 150)) for seed in range(2)])


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("tiny-vit", "Attention rollout"),
        ("tiny-deit", "Attention rollout"),
        ("timm/test_vit", "Attention rollout"),
        ("timm/test_resnet", "Grad-CAM"),
        ("timm/test_efficientnet", "Grad-CAM"),
    ],
)
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_the_network_chooses_the_method(name: str, method: str, loss: str) -> None:
    detector = of_network(name, loss)
    seen = pixels(detector)
    before = detector.judge(seen).scores
    found = explain(detector, seen)
    assert found.method == method and method in MEANINGS
    assert found.heat.shape == seen.shape[:3] and found.heat.dtype == np.float32
    assert (found.heat >= 0).all() and (found.heat <= 1).all()
    tokens = ["class token", "distillation token"] if name == "tiny-deit" else []
    assert list(found.tokens) == tokens and all(heat.shape == found.heat.shape for heat in found.tokens.values())
    np.testing.assert_array_equal(detector.judge(seen).scores, before)


@pytest.mark.parametrize("kind", PROBES)
def test_a_probe_is_followed_into_its_encoder(kind: str) -> None:
    detector = of_probe(kind)
    found = explain(detector, pixels(detector))
    assert found.method == "Grad-CAM" and found.heat.shape == (2, 224, 224)
    assert found.heat.max() == pytest.approx(1)


def test_sentences_beside_an_encoder_of_pictures_are_not_asked() -> None:
    encoder = load_encoder("starter", device="cpu")
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=384).astype(np.float32))
    probe = Probe("linear", {"weight": weight, "bias": torch.zeros(1)})
    detector = ProbeDetector(encoder=encoder, probe=probe, task="generated")
    found = explain(detector, pixels(detector))
    assert found.method == "Grad-CAM" and found.heat.max() == pytest.approx(1)


def test_an_encoder_that_is_no_network_has_no_map() -> None:
    class Elsewhere:
        def __init__(self, encoder: Any) -> None:
            self.space, self.transform = encoder.space, encoder.transform

    detector = of_probe("linear")
    far = replace(detector, encoder=Elsewhere(detector.encoder))  # type: ignore[arg-type]
    with pytest.raises(NotSupported, match="linear on starter-features has no torch network inside"):
        explain(far, pixels(detector))


def test_heat_lies_over_its_place_and_is_not_stretched() -> None:
    maps = torch.full((3, 7, 7), 0.2)
    maps[0, 1, 5] = 0.8
    maps[2] = 0
    heat = to_heat(maps, 224)
    row, column = np.unravel_index(heat[0].argmax(), (224, 224))
    assert row // 32 == 1 and column // 32 == 5 and heat[0].max() == 1
    assert heat[0].min() == pytest.approx(0.25, abs=0.01), "the weakest place keeps its share of the strongest"
    assert (heat[1] == 1).all() and (heat[2] == 0).all()
