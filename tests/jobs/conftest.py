"""A bundle that says something, for the tests of check."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import blobs

from gencv.images.preprocess import Preprocessing
from gencv.models import bundle
from gencv.models.detectors import ProbeDetector
from gencv.models.encoders import load_encoder
from gencv.models.probes import Labelled, fit_probe

THRESHOLD = {
    "name": "eer",
    "value": 0.5,
    "expected_fpr": 0.1,
    "expected_fnr": 0.1,
    "num_genuine": 30,
    "num_positive": 30,
    "reason": "",
}


@pytest.fixture(scope="session")
def save_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save a bundle that says something, fitted on nothing real: save_bundle(crop) -> its folder."""
    data = blobs(60, 0)
    wide = Labelled(np.pad(data.vectors, ((0, 0), (0, 1280 - 32))), data.labels)
    encoder, probe = load_encoder("starter-features", device="cpu"), fit_probe("mlp", wide, wide, seed=0)

    def save(crop: str) -> Path:
        made = ProbeDetector(
            encoder=encoder,
            probe=probe,
            task="generated",
            preprocessing=Preprocessing(crop=crop, margin=2.0),
            thresholds={"eer": THRESHOLD},
        )
        folder = tmp_path_factory.mktemp("bundle") / crop
        bundle.save(made, str(folder), training={"manifest": "none"}, metrics={})
        return folder

    return save
