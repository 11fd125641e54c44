import pickle

import pytest

from gencv.core import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.BadImage("truncated", "12 bytes"),
        errors.UnknownName("probe", "tree", ["mlp", "linear"]),
        errors.RunConflict("another run"),
    ],
)
def test_an_error_survives_the_way_back_from_a_worker(error: errors.GencvError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)


def test_an_unknown_name_says_what_there_is() -> None:
    assert str(errors.UnknownName("probe", "tree", ["mlp", "linear"])) == "Unknown probe 'tree'; known: linear, mlp."


def test_a_bad_image_has_a_stable_code_and_a_sentence() -> None:
    error = errors.BadImage("empty")
    assert error.code == "empty"
    assert str(error) == "the file has no bytes"
    with pytest.raises(AssertionError):
        errors.BadImage("some message")
