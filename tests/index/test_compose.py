import numpy as np
import pytest
from fakes import WordEncoder

from gencv.core.errors import BadInput
from gencv.index.compose import TEMPLATES, compose, cut_region, encode_pictures, encode_texts, mean_direction, wordings


def test_short_texts_are_worded_by_every_template_and_captions_go_raw() -> None:
    assert wordings("A red shoe.") == [template.replace("{}", "red shoe") for template in TEMPLATES]
    assert wordings("the  cat") == wordings("cat")
    assert wordings("a red shoe on a chair") == ["a red shoe on a chair"]
    assert wordings("a") == [template.replace("{}", "a") for template in TEMPLATES]
    assert wordings("?") == ["?"]
    assert wordings("{} {0}")[0] == "itap of a {} {0}."


def test_a_short_text_is_the_mean_over_its_wordings() -> None:
    encoder = WordEncoder()
    found = encode_texts(encoder, ["red", "a red and blue thing"])
    mean = encoder.texts(wordings("red")).mean(axis=0)
    assert np.allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(found[1], encoder.texts(["a red and blue thing"])[0], atol=1e-6)


def test_a_region_is_cut_out_and_encoded_alone() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10, 0] = 200
    pixels[:, 10:, 2] = 200
    encoder = WordEncoder()
    assert encode_pictures(encoder, [cut_region(pixels, (0, 0, 10, 10))])[0, 0] == pytest.approx(1.0)
    assert encode_pictures(encoder, [cut_region(pixels, (10, 2, 20, 9))])[0, 2] == pytest.approx(1.0)
    assert encode_pictures(encoder, [pixels, pixels[:, ::-1]])[:, 0] == pytest.approx([0.5**0.5] * 2)
    for outside in ((0, 0, 21, 10), (5, 0, 5, 10), (-1, 0, 3, 3)):
        with pytest.raises(BadInput, match="does not lie in the picture of 20 x 10 px"):
            cut_region(pixels, outside)


def test_parts_add_up_by_their_weights_and_negative_ones_are_taken_away() -> None:
    x, y = np.eye(4, dtype=np.float32)[:2]
    assert np.allclose(compose([(x, 3.0), (y, 4.0)]), [0.6, 0.8, 0, 0])
    assert np.allclose(compose([(x, 1.0), (y, -1.0)]), np.array([1, -1, 0, 0]) / 2**0.5)
    assert np.allclose(mean_direction(np.stack([x, 100 * y])), np.array([1, 1, 0, 0]) / 2**0.5)


def test_parts_that_cancel_out_are_refused() -> None:
    x = np.eye(4, dtype=np.float32)[0]
    for parts in ([(x, 1.0), (x, -1.0)], [(x, 0.0)]):
        with pytest.raises(BadInput, match="cancel each other out"):
            compose(parts)
