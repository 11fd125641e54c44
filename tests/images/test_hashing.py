from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from gencv.core.errors import BadInput
from gencv.images import hashing
from gencv.images.decode import decode
from gencv.images.degrade import encode_jpeg, encode_webp
from gencv.images.hashing import hamming, near_duplicates, perceptual_hash
from gencv.images.transform import resize

PICTURES = Path(__file__).parents[2].parent / "shared/data"


def components(edges: np.ndarray, num_nodes: int) -> list[int]:
    """The smallest member of each node's component, by the plainest method."""
    roots = list(range(num_nodes))
    for one, other in edges.tolist():
        low, high = sorted((roots[one], roots[other]))
        roots = [low if root == high else root for root in roots]
    return roots


def brute_force(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= max_distance
    return np.argwhere(np.triu(near, 1))


@st.composite
def clustered(draw: st.DrawFn) -> np.ndarray:
    """Hashes that lie near each other: a few centres with bits flipped, and equal ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    num, centres = draw(st.integers(0, 80)), rng.integers(0, 2**64, draw(st.integers(1, 20)), dtype=np.uint64)
    hashes = centres[rng.integers(0, len(centres), num)]
    for _ in range(draw(st.integers(0, 8))):
        bits, on = rng.integers(0, 64, num, dtype=np.uint64), rng.integers(0, 2, num, dtype=np.uint64)
        hashes = hashes ^ (on << bits)
    return hashes


@settings(max_examples=150, deadline=None)
@given(clustered(), st.integers(0, 10))
def test_components_are_exact(hashes: np.ndarray, max_distance: int) -> None:
    edges = near_duplicates(hashes, max_distance)
    expected = components(brute_force(hashes, max_distance), len(hashes))
    assert components(edges, len(hashes)) == expected
    assert edges.shape == (len(hashes) - len(set(expected)), 2) and edges.dtype == np.int64
    assert all(one < other and hamming(int(hashes[one]), int(hashes[other])) <= max_distance for one, other in edges)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_every_number_of_bands_and_thinning_give_the_same(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    rng = np.random.default_rng(k)
    hashes = rng.integers(0, 2**64, 40, dtype=np.uint64)[rng.integers(0, 40, 400)]
    hashes ^= np.uint64(1) << rng.integers(0, 64, 400, dtype=np.uint64)
    expected = components(near_duplicates(hashes, 4), 400)
    monkeypatch.setattr(hashing, "min", lambda options, key: k, raising=False)
    monkeypatch.setattr(hashing, "_MAX_PENDING", 50)
    edges = near_duplicates(hashes, 4)
    assert components(edges, 400) == expected == components(brute_force(hashes, 4), 400)


def test_a_large_set_is_linked_in_bounded_time() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    copies = rng.permutation(100_000)[:2_000]
    hashes[copies[:1_000]] = hashes[copies[1_000:]] ^ np.uint64(0b1000_0000_0101_0000_0001)
    edges = near_duplicates(hashes, 4)
    assert {tuple(sorted(pair)) for pair in edges.tolist()} == {
        tuple(sorted(pair)) for pair in zip(copies[:1_000].tolist(), copies[1_000:].tolist(), strict=True)
    }


def test_max_distance_is_checked() -> None:
    with pytest.raises(BadInput, match="17"):
        near_duplicates(np.zeros(2, np.uint64), 17)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hamming_counts_bits(one: int, other: int) -> None:
    assert hamming(one, other) == hamming(other, one) == bin(one ^ other).count("1")


def test_plain_pictures_share_a_hash_and_others_do_not() -> None:
    assert {perceptual_hash(np.full((40, 50, 3), level, np.uint8)) for level in (0, 77, 255)} == {0}
    photo = photographs.chelsea()
    assert 0 < perceptual_hash(photo) < 2**64
    assert hamming(perceptual_hash(photo), perceptual_hash(np.ascontiguousarray(photo[:, ::-1]))) > 16


def real_pictures() -> list[np.ndarray]:
    paths = sorted(PICTURES.glob("products/*/*.jpg"))[::3] + sorted(PICTURES.glob("coco_captions/images/*.jpg"))[::3]
    if not paths:
        pytest.skip("the development pictures are not here")
    return [decode(path.read_bytes(), min_side_px=256) for path in paths]


def test_real_pictures_keep_their_hash_and_differ_from_others() -> None:
    pictures = real_pictures()
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    for picture, known in zip(pictures, hashes.tolist(), strict=True):
        half = resize(picture, picture.shape[0] // 2, picture.shape[1] // 2, "bicubic")
        for copy in (
            decode(encode_jpeg(picture, 50)),
            decode(encode_webp(half, 75)),
            resize(picture, 224, 224, "area"),
        ):
            assert hamming(known, perceptual_hash(copy)) <= 6
    assert len(brute_force(hashes, 8)) <= 2
