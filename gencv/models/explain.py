"""Where a detector looks: attention rollout for transformers, Grad-CAM for convolutional networks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from gencv.core.errors import NotSupported
from gencv.images.transform import Transform
from gencv.models.attention import attends, attentions, maps_of, rollout, tokens_read
from gencv.models.detectors import Detector, NetworkDetector, ProbeDetector
from gencv.models.gradcam import grad_cam
from gencv.models.network import NetworkEncoder, normalise
from gencv.models.probes import PROBES

ROLLOUT = "Attention rollout"
GRAD_CAM = "Grad-CAM"
BATCH_SIZE = 6
"""Pictures at once: a gradient keeps every layer's output, and a rollout the attention of all tokens to all tokens."""
MEANINGS = {
    ROLLOUT: (
        f"{ROLLOUT}: bright places reach the token that the verdict is read from. It says where the network "
        "looks, whatever the verdict, and not what speaks for it."
    ),
    GRAD_CAM: (
        f"{GRAD_CAM}: bright places raise the score of being positive. A picture without any is judged genuine for "
        "want of them, or for what a map of one layer cannot show."
    ),
}
"""How to read a map, by the method that made it."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where a detector looks in each of B pictures."""

    heat: np.ndarray
    """float32 [B, S, S] in [0, 1]: 1 is the strongest place of its picture; all 0 where there is none."""
    method: str
    """A key of MEANINGS."""
    tokens: dict[str, np.ndarray] = field(default_factory=dict)
    """A rollout by the token that it ends in, like `heat`, which is their mean."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The torch network within a detector, and the way from normalised images [B, 3, S, S] to logits [B] through it."""

    network: torch.nn.Module
    verdict: Callable[[torch.Tensor], torch.Tensor]
    transform: Transform
    device: str
    num_heads: int = 1


def explain(detector: Detector, pixels: np.ndarray) -> Explanation:
    """Say where a detector looks in uint8 [B, S, S, 3], as its `prepare` gives them; in fp32.

    Raises NotSupported, in one sentence, for a network that neither method can be asked of.
    """
    inside, side = inside_of(detector), pixels.shape[1]
    one = normalise(pixels[:1], inside.transform, inside.device)
    with torch.inference_mode():
        method = ROLLOUT if attends(inside.network, lambda: inside.verdict(one)) else GRAD_CAM
    batches = []
    for start in range(0, len(pixels), BATCH_SIZE):
        images = normalise(pixels[start : start + BATCH_SIZE], inside.transform, inside.device)
        batches.append(METHODS[method](inside, images))
    maps = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    tokens = {name: to_heat(found, side) for name, found in maps.items()} if len(maps) > 1 else {}
    return Explanation(heat=to_heat(torch.stack(list(maps.values())).mean(0), side), method=method, tokens=tokens)


def rolled_out(inside: Inside, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the rollout [B, G, G] that ends in each token which the last layer reads."""
    reads = tokens_read(inside.network, inside.num_heads)
    with torch.inference_mode():
        return maps_of(rollout(attentions(inside.network, lambda: inside.verdict(images))), reads)


def weighed(inside: Inside, images: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"": grad_cam(inside.network, images, inside.verdict)}


def inside_of(detector: Detector) -> Inside:
    """Return the network of a detector. Raises NotSupported for an encoder that is no torch network of ours."""
    if isinstance(detector, NetworkDetector):
        classifier, heads = detector.running.network, detector.heads
        return Inside(
            network=classifier.network,
            verdict=lambda images: heads.verdict(classifier(images)[0]),
            transform=detector.transform,
            device=detector.running.device,
            num_heads=len(classifier.head_names),
        )
    if isinstance(detector, ProbeDetector) and isinstance(detector.encoder, NetworkEncoder):
        encoder, probe = detector.encoder, detector.probe
        tensors = {name: tensor.to(encoder.device) for name, tensor in probe.tensors.items()}
        return Inside(
            network=getattr(encoder.network, "visual", encoder.network),  # open_clip has the texts' network beside it
            verdict=lambda images: PROBES[probe.kind].logits(
                torch.nn.functional.normalize(encoder.encode(images), dim=-1), tensors
            ),
            transform=detector.transform,
            device=encoder.device,
        )
    raise NotSupported(f"{detector.name} has no torch network inside, so there is no map of where it looks.")


def to_heat(maps: torch.Tensor, side: int) -> np.ndarray:
    """Enlarge maps [B, G, G], 0 and more, to float32 [B, S, S] in [0, 1], each divided by its own largest value.

    Not stretched from smallest to largest: even attention stays even, and is not made to look like a choice.
    """
    wide = torch.nn.functional.interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    largest = wide.amax((1, 2), keepdim=True)
    return np.asarray((wide / largest.clamp_min(torch.finfo(wide.dtype).tiny)).cpu().numpy(), np.float32)


METHODS: dict[str, Callable[[Inside, torch.Tensor], dict[str, torch.Tensor]]] = {ROLLOUT: rolled_out, GRAD_CAM: weighed}
"""Ways to ask a network where it looks: normalised images [B, 3, S, S] -> maps [B, G, G], one for each token read."""
