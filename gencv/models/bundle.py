"""A detector bundle: a folder that holds all of a detector but the weights of its encoder.

    detector.json         task, labels, encoder, probe, preprocessing, temperature, thresholds, training facts, metrics
    weights.safetensors   the probe's tensors
    golden.safetensors    a few pictures and the scores that they must get
    README.md             a model card in the hub's format

No pickle is read or written. `load` refuses a bundle whose golden scores do not come out.
"""

import hashlib
import json
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from gencv.core import storage
from gencv.core.embeddings import Space
from gencv.core.errors import BadInput, BrokenBundle
from gencv.core.seeds import rng_for
from gencv.images.preprocess import Preprocessing
from gencv.images.transform import resize
from gencv.models.detectors import LABELS, ProbeDetector
from gencv.models.encoders import load_encoder
from gencv.models.probes import PROBES, Probe

FORMAT = 1
GOLDEN_TOLERANCE = 1e-4
"""The largest difference of a golden score that another machine may show, in fp32."""


def save(detector: ProbeDetector, folder: str, *, training: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write a bundle. training: the manifest's digest and counts; metrics: on validation."""
    images = golden_images()
    golden = {"images": images, "scores": score_all(detector, images)}
    description = {
        "format": FORMAT,
        "task": detector.task,
        "labels": list(detector.labels),
        "space": detector.space.to_dict(),
        "probe": detector.probe.kind,
        "temperature": detector.temperature,
        "thresholds": detector.thresholds,
        "training": training,
        "metrics": metrics,
    }
    storage.write_bytes(storage.join(folder, "weights.safetensors"), save_tensors(contiguous(detector.probe.tensors)))
    storage.write_bytes(storage.join(folder, "golden.safetensors"), save_arrays(golden))
    storage.write_bytes(storage.join(folder, "README.md"), card(description).encode())
    storage.write_bytes(storage.join(folder, "detector.json"), json.dumps(description, indent=1).encode())


def load(folder: str, *, device: str = "auto") -> ProbeDetector:
    """Open a bundle and hold it to its golden scores.

    Raises BadInput if the folder is none, BrokenBundle if a part is missing or the scores do not come out here.
    """
    description = describe(folder)
    encoder = load_encoder(description["space"]["encoder"], device=device)
    if encoder.space.weights != description["space"]["weights"]:
        raise BrokenBundle(f"{folder} was fitted on other weights of {encoder.space.encoder} than there are here.")
    preprocessing = description["space"]["preprocessing"]
    try:
        tensors = load_tensors(storage.read_bytes(storage.join(folder, "weights.safetensors")))
        golden = load_arrays(storage.read_bytes(storage.join(folder, "golden.safetensors")))
    except (OSError, SafetensorError) as error:
        raise BrokenBundle(f"{folder} is incomplete: {error}") from None
    detector = ProbeDetector(
        encoder=encoder,
        probe=Probe(description["probe"], tensors),
        task=description["task"],
        temperature=description["temperature"],
        preprocessing=Preprocessing.from_dict(preprocessing) if preprocessing else None,
        thresholds=description["thresholds"],
    )
    try:
        off = float(np.abs(score_all(detector, golden["images"]) - golden["scores"]).max())
    except (KeyError, ValueError, RuntimeError) as error:  # a tensor is missing, or is of another shape
        raise BrokenBundle(f"{folder} holds other tensors than its {detector.probe.kind} probe has: {error}") from None
    if not off <= GOLDEN_TOLERANCE:
        raise BrokenBundle(
            f"{folder} does not give its golden scores here: they are off by {off:.2g}, allowed is {GOLDEN_TOLERANCE}."
        )
    return detector


def describe(folder: str) -> dict[str, Any]:
    """Return a bundle's detector.json without loading any weights. Raises BadInput or BrokenBundle."""
    place = storage.join(folder, "detector.json")
    if not storage.exists(place):
        raise BadInput(f"{folder} holds no detector.json; give the folder that `probe` wrote.")
    try:
        description: dict[str, Any] = json.loads(storage.read_bytes(place))
        known = description["format"] == FORMAT and description["probe"] in PROBES and description["task"] in LABELS
        float(description["temperature"]), dict(description["thresholds"])
        Space.from_dict(description["space"])
    except (ValueError, KeyError, TypeError, BadInput) as error:
        raise BrokenBundle(f"{place} cannot be read: {error!r}") from None
    if not known:
        raise BrokenBundle(f"{place} is of a format or a probe that this version does not know.")
    return description


def digest(folder: str) -> str:
    """Digest what decides a bundle's scores and verdicts."""
    parts = (storage.read_bytes(storage.join(folder, name)) for name in ("detector.json", "weights.safetensors"))
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def golden_images() -> np.ndarray:
    """Make four smooth pictures, uint8 [4, 240, 320, 3], that show nobody and are the same everywhere."""
    coarse = (rng_for(0, "golden", str(index)).integers(0, 256, (6, 8, 3), dtype=np.uint8) for index in range(4))
    return np.stack([resize(image, 240, 320, "bicubic") for image in coarse])


def score_all(detector: ProbeDetector, images: np.ndarray) -> np.ndarray:
    """Score uint8 [K, H, W, 3] in fp32 on whatever device, through the detector's whole path."""
    encoder: Any = detector.encoder
    bf16, encoder.bf16 = encoder.bf16, False
    try:
        return detector.scores(detector.features(np.stack([detector.prepare(image) for image in images])))
    finally:
        encoder.bf16 = bf16


def contiguous(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def card(description: dict[str, Any]) -> str:
    """Write the model card: what it is for, what it was fitted on, how it did on validation, where it fails."""
    genuine, positive = description["labels"]
    thresholds = "\n".join(
        f"| {name} | {t['value']:.4f} | {t['expected_fpr']:.3f} | {t['expected_fnr']:.3f} |"
        if t["value"] is not None
        else f"| {name} | not set: {t['reason']} | | |"
        for name, t in description["thresholds"].items()
    )
    metrics = "\n".join(f"| {name} | {value} |" for name, value in description["metrics"].items())
    counts = json.dumps(description["training"].get("counts", {}), indent=1)
    return f"""---
library_name: gencv
pipeline_tag: image-classification
tags: [image-classification, {description["task"]}-detection]
license: apache-2.0
---

# A {description["task"]} detector: `{description["probe"]}` on `{description["space"]["encoder"]}`

Says how likely a picture is **{positive}** (1) and not **{genuine}** (0). It owns its preprocessing; score
pictures with `python jobs/check.py FILES --bundle THIS_FOLDER`.

## Fitted on

Manifest `{description["training"].get("manifest", "unknown")}`. Not audited for shortcuts.

```json
{counts}
```

## On validation

| metric | value |
|---|---|
{metrics}

Thresholds, set on validation only, with the error rates measured there:

| name | threshold | false positives | false negatives |
|---|---|---|---|
{thresholds}

## Limits

The figures hold for pictures like those above. Expect worse on generators, cameras, and compression that it never saw.
"""
