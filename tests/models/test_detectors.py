from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import picture
from scipy.special import expit, softmax

from gencv.core.calibrator import Calibrator
from gencv.models import detectors
from gencv.models.detectors import Detector, NetworkDetector, Runner
from gencv.models.losses import Heads
from gencv.models.networks import build_network

COOL = Calibrator(kind="temperature", slope=0.5)
KINDS = ("diffusion", "gan", "inpainting")


def detector(loss: str = "softmax", kinds: tuple[str, ...] = (), network: str = "tiny-vit") -> NetworkDetector:
    heads = Heads(loss, kinds)
    torch.manual_seed(0)
    running = Runner(build_network(network, heads.num_outputs, weights="random"), "cpu")
    return NetworkDetector(running=running, heads=heads, network_name=network, task="generated", calibrator=COOL)


def pixels(made: Detector, count: int = 3) -> np.ndarray:
    return np.stack([made.prepare(picture(seed, 200, 150)) for seed in range(count)])


@pytest.mark.parametrize("kinds", [(), KINDS])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_network_judges_by_its_heads_and_its_calibrator(loss: str, kinds: tuple[str, ...]) -> None:
    made = detector(loss, kinds)
    judged = made.judge(pixels(made))
    network = made.running.network
    with torch.inference_mode():
        told, features = (found.numpy() for found in network(torch.from_numpy(made.transform.normalise(pixels(made)))))
    verdict = told[:, 1] - told[:, 0] if loss == "softmax" else told[:, 0]
    np.testing.assert_allclose(judged.scores, expit(verdict / 2), atol=1e-6)
    np.testing.assert_allclose(judged.features, features, atol=1e-5)
    assert judged.scores.dtype == judged.kinds.dtype == judged.features.dtype == np.float32
    assert judged.features.shape == (3, made.num_features) and judged.kinds.shape == (3, len(kinds))
    if kinds:
        np.testing.assert_allclose(judged.kinds, softmax(told[:, -3:], axis=1), atol=1e-6)
    assert made.kinds == kinds


@pytest.mark.parametrize("network", ["tiny-deit", "timm/test_resnet"])
def test_a_picture_is_judged_alike_alone_and_in_a_batch(network: str) -> None:
    made = detector(kinds=KINDS, network=network)
    together = made.judge(pixels(made))
    alone = [made.judge_image(picture(seed, 200, 150)) for seed in range(3)]
    for field in ("scores", "kinds", "features"):
        expected = np.concatenate([getattr(judged, field) for judged in alone])
        np.testing.assert_allclose(getattr(together, field), expected, atol=1e-4)
    assert len(np.unique(together.scores)) == 3


def test_many_pictures_go_in_passes_that_suit_the_device_and_each_has_its_own_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = detector(kinds=KINDS)
    monkeypatch.setitem(detectors.AT_ONCE, "cpu", 3)  # so that a picture's views lie in two passes
    sizes: list[int] = []

    def counted(network: object, args: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(args[0]))

    examined = [made.prepare.examine(picture(seed, 200, 150), reencode=True) for seed in range(2)]
    with made.running.network.register_forward_pre_hook(counted):
        together = made.judge_examined(examined)
    assert sizes == [3, 3, 2]
    for judged, one in zip(together, examined, strict=True):
        (alone,) = made.judge_examined([one])
        for field in ("scores", "kinds", "features", "lows", "highs"):
            np.testing.assert_allclose(getattr(judged, field), getattr(alone, field), atol=1e-5)
    assert together[0].scores != together[1].scores and together[0].lows < together[0].highs


def test_a_network_detector_names_itself_and_stays_in_evaluation() -> None:
    made = detector()
    assert made.title == "Generated or real: tiny-vit" and made.labels == ("real", "generated")
    assert not made.runner.bf16 and not any(module.training for module in made.runner.network.modules())
    assert replace(made, task="spoof").labels == ("live", "spoof")
    assert made.prepare.decode_side_px == made.transform.decode_side_px


def test_the_calibrator_moves_scores_and_not_their_order() -> None:
    made = detector()
    cool = replace(made, calibrator=Calibrator(slope=2.0))
    scores = [each.judge(pixels(each)).scores for each in (made, cool)]
    assert (np.argsort(scores[0]) == np.argsort(scores[1])).all()
    assert (np.abs(scores[1] - 0.5) >= np.abs(scores[0] - 0.5)).all()
