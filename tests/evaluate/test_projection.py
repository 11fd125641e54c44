import numpy as np
import pytest

from gencv.core.errors import BadInput, NotSupported, UnknownName
from gencv.evaluate import projection
from gencv.evaluate.projection import project, require_projection, tsne


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.repeat(rng.normal(size=(3, 64)) * 4, 40, axis=0) + rng.normal(size=(120, 64))).astype(np.float32)


def test_clusters_stay_together_and_the_same_seed_gives_the_same_plane(clusters: np.ndarray) -> None:
    points = tsne(clusters, seed=0)
    assert points.shape == (120, 2) and points.dtype == np.float32
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (apart.argmin(axis=1) // 40 == np.arange(120) // 40).mean() > 0.97
    assert np.array_equal(points, tsne(clusters, seed=0))


def test_projecting_many_draws_some_and_says_which(clusters: np.ndarray) -> None:
    vectors = clusters.copy()
    vectors[::2] = np.nan  # pictures without a vector
    projection = project(vectors, seed=1, max_points=30)
    assert projection.points.shape == (30, 2) and len(set(projection.rows.tolist())) == 30
    assert (projection.rows % 2 == 1).all()
    assert np.array_equal(projection.rows, project(vectors, seed=1, max_points=30).rows)
    assert not np.array_equal(projection.rows, project(vectors, seed=2, max_points=30).rows)


@pytest.mark.parametrize("shape", [(3, 2), (4, 1), (5, 128)])
def test_few_points_are_enough(shape: tuple[int, int]) -> None:
    points = tsne(np.random.default_rng(0).normal(size=shape))
    assert points.shape == (shape[0], 2) and np.isfinite(points).all()


def test_equal_vectors_lie_on_one_point() -> None:
    assert not tsne(np.ones((6, 8))).any()


@pytest.mark.parametrize("num", [0, 2, 11])
def test_too_few_or_too_many_vectors_are_refused(num: int) -> None:
    with pytest.raises(BadInput, match=f"not {num}"):
        tsne(np.zeros((num, 4)), max_points=10)


def test_umap_is_an_extra_and_one_sentence_says_so(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    for ask in (lambda: require_projection("umap"), lambda: project(clusters, method="umap")):
        with pytest.raises(NotSupported, match=r"pip install 'gencv\[umap\]'"):
            ask()
    with pytest.raises(UnknownName, match="Unknown projection 'pca'; known: tsne, umap"):
        require_projection("pca")


def test_umap_keeps_clusters_together_where_it_is_installed(clusters: np.ndarray) -> None:
    pytest.importorskip("umap")
    points = project(clusters, method="umap").points
    assert points.shape == (120, 2) and points.dtype == np.float32
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (apart.argmin(axis=1) // 40 == np.arange(120) // 40).mean() > 0.97
