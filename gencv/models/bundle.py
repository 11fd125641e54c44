"""A detector bundle: a folder that holds all of a detector but the weights of an encoder.

    detector.json         task, labels, network or encoder and probe, preprocessing, calibrator, thresholds, band of
                          uncertain scores, scope, training facts, metrics
    weights.safetensors   the tensors of the network or of the probe
    scope.safetensors     features of some training pictures, to tell others from them
    golden.safetensors    a few pictures and the scores that they must get
    README.md             a model card in the hub's format
    fitted_on.parquet     digests of the pictures that it was fitted on, where a job left them (models/fitted.py)

No pickle is read or written. `load` refuses a bundle whose golden scores do not come out.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from gencv.core import storage
from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.embeddings import Space
from gencv.core.errors import BadInput, BrokenBundle
from gencv.core.scope import Scope
from gencv.core.seeds import rng_for
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import Transform, resize
from gencv.models.card import card
from gencv.models.detectors import LABELS, Detector, NetworkDetector, ProbeDetector, Runner
from gencv.models.encoders import load_encoder, pick_device
from gencv.models.losses import Heads
from gencv.models.networks import Blueprint, restore
from gencv.models.probes import PROBES, Probe

FORMAT = 1
GOLDEN_TOLERANCE = 1e-4
"""The largest difference of a golden score that another machine may show, in fp32."""
Tensors = dict[str, torch.Tensor]


def save(detector: Detector, folder: str, *, training: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write a bundle. training: the manifest's digest and counts; metrics: on validation."""
    images = golden_images()
    golden = {"images": images, "scores": score_all(detector, images)}
    kind = next(name for name, made in KINDS.items() if isinstance(detector, made.type))
    own, tensors = KINDS[kind].take_apart(detector)
    description = {
        "format": FORMAT,
        "kind": kind,
        "title": detector.title,
        "task": detector.task,
        "labels": list(detector.labels),
        **own,
        "preprocessing": detector.preprocessing.to_dict() if detector.preprocessing else None,
        "calibrator": detector.calibrator.to_dict(),
        "thresholds": detector.thresholds,
        "band": detector.band.to_dict() if detector.band else None,
        "scope": detector.scope.limits(),
        "training": training,
        "metrics": metrics,
    }
    bank = save_arrays({"bank": detector.scope.bank})
    storage.write_bytes(storage.join(folder, "scope.safetensors"), bank)
    storage.write_bytes(storage.join(folder, "weights.safetensors"), save_tensors(contiguous(tensors)))
    storage.write_bytes(storage.join(folder, "golden.safetensors"), save_arrays(golden))
    storage.write_bytes(storage.join(folder, "README.md"), card(description).encode())
    storage.write_bytes(storage.join(folder, "detector.json"), json.dumps(description, indent=1).encode())


def load(folder: str, *, device: str = "auto") -> Detector:
    """Open a bundle and hold it to its golden scores.

    Raises BadInput if the folder is none, BrokenBundle if a part is missing or the scores do not come out here.
    """
    description = describe(folder)
    try:
        tensors = load_tensors(storage.read_bytes(storage.join(folder, "weights.safetensors")))
        golden = load_arrays(storage.read_bytes(storage.join(folder, "golden.safetensors")))
        bank = load_arrays(storage.read_bytes(storage.join(folder, "scope.safetensors")))["bank"]
    except (OSError, SafetensorError, KeyError) as error:
        raise BrokenBundle(f"{folder} is incomplete: {error}") from None
    preprocessing = description["preprocessing"]
    common = {
        "task": description["task"],
        "calibrator": Calibrator.from_dict(description["calibrator"]),
        "thresholds": description["thresholds"],
        "band": Band.from_dict(description["band"]) if description["band"] else None,
        "scope": Scope(**description["scope"], bank=bank),
        "preprocessing": Preprocessing.from_dict(preprocessing) if preprocessing else None,
    }
    try:
        detector = KINDS[description["kind"]].put_together(description, tensors, common, pick_device(device))
        off = float(np.abs(score_all(detector, golden["images"]) - golden["scores"]).max())
    except BadInput as error:
        raise BrokenBundle(f"{folder} cannot be opened: {error}") from None
    except (KeyError, ValueError, RuntimeError) as error:  # a tensor is missing, or is of another shape
        raise BrokenBundle(f"{folder} holds other tensors than its {description['kind']} has: {error}") from None
    if not off <= GOLDEN_TOLERANCE:
        raise BrokenBundle(
            f"{folder} does not give its golden scores here: they are off by {off:.2g}, allowed is {GOLDEN_TOLERANCE}."
        )
    return detector


def describe(folder: str) -> dict[str, Any]:
    """Return a bundle's detector.json without loading any weights. Raises BadInput or BrokenBundle."""
    place = storage.join(folder, "detector.json")
    if not storage.exists(place):
        raise BadInput(f"{folder} holds no detector.json; give the folder that `probe` or `finetune` wrote.")
    try:
        description: dict[str, Any] = json.loads(storage.read_bytes(place))
        known = description["format"] == FORMAT and description["kind"] in KINDS and description["task"] in LABELS
        Calibrator.from_dict(description["calibrator"]), dict(description["thresholds"]), description["preprocessing"]
        if description["band"] is not None:
            Band.from_dict(description["band"])
        Scope(**description["scope"])
        known = known and KINDS[description["kind"]].is_known(description)
    except (ValueError, KeyError, TypeError, BadInput) as error:
        raise BrokenBundle(f"{place} cannot be read: {error!r}") from None
    if not known:
        raise BrokenBundle(f"{place} is of a format or a kind that this version does not know.")
    return description


def digest(folder: str) -> str:
    """Digest what decides a bundle's scores and verdicts."""
    names = ("detector.json", "weights.safetensors", "scope.safetensors")
    parts = (storage.read_bytes(storage.join(folder, name)) for name in names)
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def golden_images() -> np.ndarray:
    """Make four smooth pictures, uint8 [4, 240, 320, 3], that show nobody and are the same everywhere."""
    coarse = (rng_for(0, "golden", str(index)).integers(0, 256, (6, 8, 3), dtype=np.uint8) for index in range(4))
    return np.stack([resize(image, 240, 320, "bicubic") for image in coarse])


def score_all(detector: Detector, images: np.ndarray) -> np.ndarray:
    """Score uint8 [K, H, W, 3] in fp32 on whatever device, through the detector's whole path."""
    runner, prepare = detector.runner, detector.prepare
    if prepare.preprocessing is not None:  # the golden pictures show nobody
        prepare = replace(prepare, preprocessing=prepare.preprocessing.whole)
    bf16, runner.bf16 = runner.bf16, False
    try:
        return detector.judge(np.stack([prepare(image) for image in images])).scores
    finally:
        runner.bf16 = bf16


def contiguous(tensors: Tensors) -> Tensors:
    """Return tensors that safetensors accepts: whole, on the CPU, and none sharing memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def probe_parts(detector: Any) -> tuple[dict[str, Any], Tensors]:
    return {"space": detector.space.to_dict(), "probe": detector.probe.kind}, detector.probe.tensors


def probe_detector(description: dict[str, Any], tensors: Tensors, common: dict[str, Any], device: str) -> Detector:
    space = Space.from_dict(description["space"])
    encoder = load_encoder(space.encoder, device=device)
    if encoder.space.weights != space.weights:
        raise BrokenBundle(f"The probe was fitted on other weights of {space.encoder} than there are here.")
    return ProbeDetector(encoder=encoder, probe=Probe(description["probe"], tensors), **common)


def is_known_probe(description: dict[str, Any]) -> bool:
    Space.from_dict(description["space"])
    return description["probe"] in PROBES


def network_parts(detector: Any) -> tuple[dict[str, Any], Tensors]:
    network = detector.running.network
    facts = {
        "network": {"name": detector.network_name, **asdict(network.blueprint)},
        "transform": network.transform.to_dict(),
        "heads": asdict(detector.heads),
    }
    return facts, network.network.state_dict()


def network_detector(description: dict[str, Any], tensors: Tensors, common: dict[str, Any], device: str) -> Detector:
    heads = Heads(description["heads"]["loss"], tuple(description["heads"]["kinds"]))
    blueprint = Blueprint(description["network"]["library"], description["network"]["config"])
    network = restore(blueprint, heads.num_outputs, Transform.from_dict(description["transform"]))
    network.network.load_state_dict(tensors)
    return NetworkDetector(
        running=Runner(network, device), heads=heads, network_name=description["network"]["name"], **common
    )


def is_known_network(description: dict[str, Any]) -> bool:
    Transform.from_dict(description["transform"])
    return {"library", "config", "name"} <= set(description["network"]) and {"loss", "kinds"} <= set(
        description["heads"]
    )


@dataclass(frozen=True)
class Kind:
    """How a kind of detector is written and read."""

    type: type[Detector]
    take_apart: Callable[[Any], tuple[dict[str, Any], Tensors]]
    put_together: Callable[[dict[str, Any], Tensors, dict[str, Any], str], Detector]
    is_known: Callable[[dict[str, Any]], bool]


KINDS: dict[str, Kind] = {
    "probe": Kind(ProbeDetector, probe_parts, probe_detector, is_known_probe),
    "network": Kind(NetworkDetector, network_parts, network_detector, is_known_network),
}
"""What a bundle may hold."""
