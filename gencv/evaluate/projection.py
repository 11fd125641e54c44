"""Vectors on a plane, for looking: t-SNE or UMAP that come out the same every time."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from threadpoolctl import threadpool_limits

from gencv.core.errors import BadInput, NotSupported, UnknownName

MAX_POINTS = 2_000
"""Beyond this the plot is a blob and t-SNE takes minutes."""
PERPLEXITY = 30.0
_DIMS = 50


@dataclass(frozen=True)
class Projection:
    """`points[i]` float32 [M, 2] is where `rows[i]` int [M] of the given vectors lies."""

    points: np.ndarray
    rows: np.ndarray


def project(vectors: np.ndarray, seed: int = 0, max_points: int = MAX_POINTS, method: str = "tsne") -> Projection:
    """Lay out at most `max_points` of the vectors [N, D] on a plane, and say which rows were drawn.

    method: a key of PROJECTIONS. Rows with a NaN, which have no vector, are never drawn. Raises BadInput if fewer than
    three rows remain.
    """
    good = np.flatnonzero(~np.isnan(vectors).any(axis=1))
    if len(good) > max_points:
        good = np.sort(np.random.default_rng(seed).choice(good, max_points, replace=False))
    return Projection(PROJECTIONS[method](vectors[good], seed, max_points), good)


def tsne(vectors: np.ndarray, seed: int = 0, max_points: int = MAX_POINTS) -> np.ndarray:
    """Return float32 [N, 2] for vectors [N, D], the same for the same seed on the same machine.

    PCA to 50 dimensions first, PCA as the start, and a perplexity of 30 or a third of the rows if they are fewer.
    Distances between far clusters mean nothing. Raises BadInput for fewer than 3 rows or more than `max_points`;
    `project` draws some. Source: van der Maaten and Hinton 2008, with the start of Kobak and Berens 2019.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    num_rows, dim = require_some(vectors, max_points, "t-SNE")
    vectors = np.asarray(vectors, np.float64)
    if np.allclose(vectors, vectors[0]):  # the PCA of equal rows has no direction to start from
        return np.zeros((num_rows, 2), np.float32)
    if min(num_rows, dim) > _DIMS:
        vectors = PCA(_DIMS, svd_solver="full").fit_transform(vectors)
    perplexity = min(PERPLEXITY, (num_rows - 1) / 3)
    start = "pca" if dim > 1 else "random"
    # On a machine that does other work too, threads that wait for each other at every step cost ten times what they
    # save: 400 points took 8.5 s with two threads and 1.3 s with one.
    with threadpool_limits(1):
        points = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(vectors)
    return np.asarray(points, np.float32)


def umap(vectors: np.ndarray, seed: int = 0, max_points: int = MAX_POINTS) -> np.ndarray:
    """Return float32 [N, 2] for vectors [N, D] by UMAP with 15 neighbours, or as many as there are.

    Raises NotSupported without the package umap-learn, BadInput as `tsne` does.
    Source: McInnes et al. 2018, arXiv:1802.03426.
    """
    require_projection("umap")
    num_rows, _ = require_some(vectors, max_points, "UMAP")
    from umap import UMAP

    # Among few points the spectral start has too few eigenvectors; one thread, as several make it another each time.
    start = "spectral" if num_rows > 15 else "random"
    plane = UMAP(n_neighbors=min(15, num_rows - 1), init=start, random_state=seed, n_jobs=1)
    return np.asarray(plane.fit_transform(np.asarray(vectors, np.float32)), np.float32)


def require_some(vectors: np.ndarray, max_points: int, what: str) -> tuple[int, int]:
    """Return N and D of vectors [N, D]. Raises BadInput for fewer than 3 rows or more than `max_points`."""
    num_rows, dim = vectors.shape
    if not 3 <= num_rows <= max_points:
        raise BadInput(f"{what} takes 3 to {max_points} vectors, not {num_rows}; `project` draws some of many.")
    return num_rows, dim


def require_projection(name: str) -> None:
    """Raise UnknownName for a projection that does not exist, NotSupported for one whose package is missing."""
    if name not in PROJECTIONS:
        raise UnknownName("projection", name, PROJECTIONS)
    if name == "umap" and find_spec("umap") is None:
        raise NotSupported(
            "UMAP needs a package: pip install 'gencv[umap]', or umap-learn; --projection tsne needs none."
        )


PROJECTIONS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {"tsne": tsne, "umap": umap}
"""Ways to lay vectors out: vectors [N, D], seed, and the most rows that are taken -> float32 [N, 2]."""
TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
