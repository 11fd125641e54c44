"""What is asked of a few pictures, without Ray."""

from pathlib import Path

import numpy as np
from fakes import manifest_of, write_pictures

from gencv.pipelines.few import near_by_class


def test_the_nearest_are_found_in_either_class_and_a_picture_is_not_its_own(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "pictures", 5)
    judged = manifest_of(paths[:2])
    training = manifest_of([*paths[2:4], paths[0], paths[4]], label=[0, 1, 0, None])
    features = np.eye(2, 4, dtype=np.float32)
    vectors = np.array([[0.9, 0.1, 0, 0.4], [0.5, 0.5, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = near_by_class(judged, features, [1, 0], training, vectors, 1)
    assert found[0].rows.tolist() == [[0], [0]], "row 2 is the first picture itself"
    assert found[1].rows.tolist() == [[1], [1]], "what is not labelled is of neither class"
    np.testing.assert_allclose(found[1].cosines, np.sqrt(0.5), atol=1e-6)
