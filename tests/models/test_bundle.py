import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import blobs, picture

from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.contracts import Encoder
from gencv.core.errors import BadInput, BrokenBundle
from gencv.core.scope import Scope
from gencv.images.preprocess import Preprocessing
from gencv.models import bundle
from gencv.models.detectors import Detector, NetworkDetector, ProbeDetector, Runner, task_of
from gencv.models.encoders import load_encoder
from gencv.models.losses import Heads
from gencv.models.networks import build_network
from gencv.models.probes import PROBES, Labelled, fit_probe

THRESHOLDS = {
    "eer": {
        "name": "eer",
        "value": 0.4,
        "expected_fpr": 0.1,
        "expected_fnr": 0.1,
        "num_genuine": 9,
        "num_positive": 9,
        "reason": "",
    },
    "fpr1": {
        "name": "fpr1",
        "value": None,
        "expected_fpr": None,
        "expected_fnr": None,
        "num_genuine": 9,
        "num_positive": 9,
        "reason": "few",
    },
}


COOL = Calibrator(kind="temperature", slope=1 / 1.5, prior=0.5, num_genuine=9, num_positive=9)
BENT = Calibrator(kind="isotonic", knots=(-1.0, 0.0, 2.0), heights=(-3.0, 0.5, 1.0), slope=0.1, prior=0.3)
BAND = Band(error_rate=0.05, upper=0.6, lower=0.3, num_genuine_groups=40, num_positive_groups=40)
SCOPE = Scope(least_side_px=100, most_blur=0.7, bank=np.eye(8, 1280, dtype=np.float16), most_distance=0.5)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("starter-features", device="cpu")


def wide(data: Labelled) -> Labelled:
    return Labelled(np.pad(data.vectors, ((0, 0), (0, 1280 - 32))), data.labels)


def detector(encoder: Encoder, kind: str = "linear", **fields: object) -> ProbeDetector:
    probe = fit_probe(kind, wide(blobs(60, 0)), wide(blobs(60, 1)), seed=0)
    made = ProbeDetector(
        encoder=encoder, probe=probe, task="spoof", calibrator=COOL, thresholds=THRESHOLDS, band=BAND, scope=SCOPE
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def save(made: Detector, folder: Path) -> str:
    bundle.save(made, str(folder), training={"manifest": "m", "counts": {}}, metrics={"auroc": "0.9"})
    return str(folder)


@pytest.mark.parametrize("kind", PROBES)
@pytest.mark.parametrize("preprocessing", [None, Preprocessing(), Preprocessing(jpeg_quality=(), size_px=96)])
def test_a_bundle_scores_as_the_detector_that_was_saved(
    encoder: Encoder, kind: str, preprocessing: Preprocessing | None, tmp_path: Path
) -> None:
    made = detector(encoder, kind, preprocessing=preprocessing)
    back = bundle.load(save(made, tmp_path / "b"), device="cpu")
    assert back.thresholds == THRESHOLDS and back.labels == ("live", "spoof")
    assert (back.calibrator, back.band, back.scope.limits()) == (COOL, BAND, SCOPE.limits())
    np.testing.assert_array_equal(back.scope.bank, SCOPE.bank)
    for seed in range(3):
        image = picture(seed, 300, 200)
        np.testing.assert_allclose(back.judge_image(image).scores, made.judge_image(image).scores, atol=1e-6)
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert names == ["README.md", "detector.json", "golden.safetensors", "scope.safetensors", "weights.safetensors"]
    card = (tmp_path / "b" / "README.md").read_text()
    assert "spoof" in card and "temperature 1.5" in card and "at most 5.0% of either class" in card
    assert "not audited" in card and "smaller than 100 px" in card


def test_a_bundle_that_was_tampered_with_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    folder = Path(save(detector(encoder), tmp_path / "b"))
    before = bundle.digest(str(folder))
    description = json.loads((folder / "detector.json").read_text())
    (folder / "detector.json").write_text(
        json.dumps({**description, "calibrator": {**description["calibrator"], "slope": 2.0}})
    )
    assert bundle.digest(str(folder)) != before
    with pytest.raises(BrokenBundle, match="golden scores"):
        bundle.load(str(folder), device="cpu")
    space = {**description["space"], "weights": "0" * 16}
    (folder / "detector.json").write_text(json.dumps({**description, "space": space}))
    with pytest.raises(BrokenBundle, match="other weights"):
        bundle.load(str(folder), device="cpu")
    (folder / "detector.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(BrokenBundle, match="does not know"):
        bundle.load(str(folder), device="cpu")
    for wrong in ({"calibrator": {"slope": -1.0}}, {"calibrator": 1.5}, {"band": {"upper": 0.5}}):
        (folder / "detector.json").write_text(json.dumps({**description, **wrong}))
        with pytest.raises(BrokenBundle, match="cannot be read"):
            bundle.load(str(folder), device="cpu")
    (folder / "detector.json").write_text("{")
    with pytest.raises(BrokenBundle, match="cannot be read"):
        bundle.load(str(folder), device="cpu")


def test_a_part_that_is_missing_is_named(encoder: Encoder, tmp_path: Path) -> None:
    folder = Path(save(detector(encoder), tmp_path / "b"))
    (folder / "scope.safetensors").write_bytes((folder / "golden.safetensors").read_bytes())
    with pytest.raises(BrokenBundle, match="incomplete: 'bank'"):
        bundle.load(str(folder), device="cpu")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(BrokenBundle, match="incomplete"):
        bundle.load(str(folder), device="cpu")
    with pytest.raises(BadInput, match=r"no detector\.json"):
        bundle.load(str(tmp_path), device="cpu")


def test_preprocessing_is_done_once_and_never_in_another_way(encoder: Encoder) -> None:
    mine = Preprocessing()
    chain = detector(encoder, preprocessing=mine).prepare
    assert chain.for_pictures(None) is chain
    assert chain.for_pictures(mine.to_dict()).preprocessing is None
    with pytest.raises(BadInput, match="preprocessed as"):
        chain.for_pictures(Preprocessing(size_px=96).to_dict())
    with pytest.raises(BadInput, match="preprocessed as"):
        detector(encoder).prepare.for_pictures(mine.to_dict())


def test_the_task_follows_from_what_the_positives_are() -> None:
    assert task_of({"print", "replay"}) == "spoof"
    assert task_of({"print", "diffusion"}) == task_of({"gan"}) == task_of(set()) == "generated"


def network_detector(name: str = "tiny-vit", loss: str = "softmax", kinds: tuple[str, ...] = ()) -> NetworkDetector:
    heads = Heads(loss, kinds)
    torch.manual_seed(0)
    running = Runner(build_network(name, heads.num_outputs, weights="random"), "cpu")
    return NetworkDetector(
        running=running,
        heads=heads,
        network_name=name,
        task="generated",
        calibrator=BENT,
        thresholds=THRESHOLDS,
        band=BAND,
    )


@pytest.mark.parametrize("kinds", [(), ("diffusion", "gan")])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", ["tiny-vit", "tiny-deit", "timm/test_resnet"])
def test_a_network_bundle_judges_as_the_detector_that_was_saved(
    name: str, loss: str, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    made = network_detector(name, loss, kinds)
    back = bundle.load(save(made, tmp_path / "b"), device="cpu")
    assert isinstance(back, NetworkDetector) and back.title == f"Generated or real: {name}"
    assert (back.kinds, back.labels, back.thresholds) == (kinds, ("real", "generated"), THRESHOLDS)
    assert (back.transform, back.num_features, back.calibrator) == (made.transform, made.num_features, BENT)
    for seed in range(2):
        told, expected = (each.judge_image(picture(seed, 300, 200)) for each in (back, made))
        for field in ("scores", "kinds", "features"):
            np.testing.assert_allclose(getattr(told, field), getattr(expected, field), atol=1e-5)
        assert told.kinds.shape == (1, len(kinds))


@pytest.mark.parametrize("preprocessing", [None, Preprocessing(), Preprocessing(jpeg_quality=(), size_px=96)])
def test_a_network_bundle_keeps_its_preprocessing(preprocessing: Preprocessing | None, tmp_path: Path) -> None:
    made = replace(network_detector(), preprocessing=preprocessing)
    back = bundle.load(save(made, tmp_path / "b"), device="cpu")
    assert back.preprocessing == preprocessing
    image = picture(1, 300, 200)
    np.testing.assert_allclose(back.judge_image(image).scores, made.judge_image(image).scores, atol=1e-6)


def test_a_network_bundle_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(save(network_detector(kinds=("diffusion", "gan")), tmp_path / "b"))
    description = json.loads((folder / "detector.json").read_text())
    weights = load_file(folder / "weights.safetensors")
    heads = {**description["heads"], "kinds": ["diffusion"]}
    (folder / "detector.json").write_text(json.dumps({**description, "heads": heads}))
    with pytest.raises(BrokenBundle, match="other tensors"):
        bundle.load(str(folder), device="cpu")
    network = {**description["network"], "config": {"model_type": "nothing"}}
    (folder / "detector.json").write_text(json.dumps({**description, "network": network}))
    with pytest.raises(BrokenBundle, match="cannot be built from its configuration"):
        bundle.load(str(folder), device="cpu")
    for name in ("heads", "network", "transform"):
        (folder / "detector.json").write_text(json.dumps({key: it for key, it in description.items() if key != name}))
        with pytest.raises(BrokenBundle, match="cannot be read"):
            bundle.load(str(folder), device="cpu")
    (folder / "detector.json").write_text(json.dumps(description))
    save_file(
        {**weights, "classifier.bias": weights["classifier.bias"] + torch.tensor([0, 1.0, 0, 0])},
        folder / "weights.safetensors",
    )
    with pytest.raises(BrokenBundle, match="golden scores"):
        bundle.load(str(folder), device="cpu")
    del weights["classifier.bias"]
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(BrokenBundle, match="other tensors"):
        bundle.load(str(folder), device="cpu")
