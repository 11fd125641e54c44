"""The sums of a part, without Ray: a part is a function of its number."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import manifest, manifest_of, picture, write_pictures

from gencv.core.errors import BadInput
from gencv.core.tables import ROWS_PER_PART
from gencv.images.decode import decode
from gencv.images.spectra import SIGNALS, log_power, radial_profile
from gencv.pipelines import spectra
from gencv.pipelines.spectra import SumSpectra, add_up, require_side, usual_side


def test_the_sums_of_parts_are_the_mean_over_the_pictures(tmp_path: Path) -> None:
    from PIL import Image

    paths = write_pictures(tmp_path / "pictures", ROWS_PER_PART + 3, size=(80, 70))
    Image.fromarray(picture(1, 90, 60)).save(paths[5])  # smaller than the square on one side
    rows = manifest_of(paths, generator=["camera" if index % 3 else "sd" for index in range(len(paths))])
    paths[7].write_bytes(b"no longer what the manifest names")
    rows.save(str(tmp_path / "m"))
    parts = [SumSpectra(str(tmp_path / "m"), 64)(part) for part in range(rows.num_parts)]
    spectra = add_up(parts, 64)
    assert len(parts) == 2 and spectra.num_small == {"camera": 1}
    assert list(spectra.by_signal) == list(SIGNALS)
    for signal, means in spectra.by_signal.items():
        for generator, mean in means.items():
            here = [k for k, name in enumerate(rows["generator"]) if name == generator and k not in (5, 7)]
            powers = [log_power(decode(paths[k].read_bytes()), signal, 64) for k in here]
            profiles = np.array([radial_profile(power) for power in powers if power is not None])
            assert mean.count == len(here) == len(profiles)
            np.testing.assert_allclose(mean.mean_power, np.mean([p for p in powers if p is not None], axis=0))
            np.testing.assert_allclose(mean.mean_profile, profiles.mean(0))
            np.testing.assert_allclose(mean.standard_error, profiles.std(0, ddof=1) / np.sqrt(len(profiles)))


def test_no_decoded_picture_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_of(write_pictures(tmp_path / "pictures", 6, size=(80, 70))).save(str(tmp_path / "m"))
    decoded: list[weakref.ref[np.ndarray]] = []

    def watch(data: bytes, **how: Any) -> np.ndarray:
        assert not any(picture() is not None for picture in decoded), "the picture before is still in memory"
        image = decode(data, **how).copy()
        decoded.append(weakref.ref(image))
        return image

    monkeypatch.setattr(spectra, "decode", watch)
    SumSpectra(str(tmp_path / "m"), 64)(0)
    assert len(decoded) == 6


@pytest.mark.parametrize("side", [0, 30, 65, 1026])
def test_a_square_that_cannot_be_is_refused(side: int) -> None:
    with pytest.raises(BadInput, match="an even side from 32 to 1024"):
        require_side(side)


def test_the_square_fits_nine_of_ten_pictures_of_every_generator() -> None:
    names = ["camera"] * 20 + ["sd"] * 20
    assert usual_side(manifest(40, generator=names, width=640, height=480)) == 224
    assert usual_side(manifest(40, generator=names, width=[640] * 20 + [95] * 20, height=480)) == 94
    assert usual_side(manifest(40, generator=names, width=[8] + [640] * 39, height=480)) == 224
    assert usual_side(manifest(40, generator=names, width=8, height=8)) == 32
    assert usual_side(manifest(40, generator=names)) == 224
