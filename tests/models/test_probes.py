import numpy as np
import pytest
import torch
from fakes import blobs

from gencv.core.errors import BadInput
from gencv.models.probes import PROBES, Labelled, Probe, fit_probe


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_separates_what_can_be_separated(kind: str) -> None:
    probe = fit_probe(kind, blobs(300, 0), blobs(100, 1), seed=0)
    test = blobs(200, 2)
    logits = probe.logits(test.vectors)
    assert logits.shape == (200,) and logits.dtype == np.float32
    assert ((logits > 0) == (test.labels == 1)).mean() > 0.85


@pytest.mark.parametrize("kind", PROBES)
def test_the_same_seed_gives_the_same_probe(kind: str) -> None:
    one, other = (fit_probe(kind, blobs(120, 0), blobs(60, 1), seed=3).tensors for _ in range(2))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name])


@pytest.mark.parametrize("kind", PROBES)
def test_one_class_is_refused(kind: str) -> None:
    both = blobs(20, 0)
    genuine = Labelled(both.vectors[::2], both.labels[::2])
    with pytest.raises(BadInput, match="10 genuine and 0 positive"):
        fit_probe(kind, genuine, both, seed=0)
    with pytest.raises(BadInput, match="validation rows"):
        fit_probe(kind, both, genuine, seed=0)


def test_nearest_says_positive_when_a_positive_is_closer() -> None:
    eye = np.eye(3, dtype=np.float32)
    probe = Probe("nearest", {"genuine": torch.from_numpy(eye[:1]), "positive": torch.from_numpy(eye[1:2])})
    np.testing.assert_array_equal(probe.logits(eye), [-1, 1, 0])


def test_the_mlp_is_the_recipes() -> None:
    tensors = fit_probe("mlp", blobs(60, 0), blobs(60, 1), seed=0).tensors
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "hidden.weight": (768, 32),
        "hidden.bias": (768,),
        "out.weight": (1, 768),
        "out.bias": (1,),
    }
