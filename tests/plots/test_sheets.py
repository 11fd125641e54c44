import io

import numpy as np
import pytest
from PIL import Image

from gencv.core.errors import BadInput
from gencv.plots.sheets import SCALE, Tile, draw_before_after, draw_errors, draw_grid, draw_sheet


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def flat(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def count(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(sheet.astype(int) - colour).max(axis=2) <= 2).sum())


def test_a_sheet_shows_every_picture_in_rows_of_its_columns() -> None:
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10), (200, 10, 200)]
    pictures = [(flat(40 + 10 * k, 60, colour), f"picture {k}") for k, colour in enumerate(colours)]
    sheet = opened(draw_sheet(pictures, columns=4, width_px=600, title="Pictures"))
    assert sheet.shape[1] == pytest.approx(600 * SCALE, abs=8)
    places = [np.argwhere((sheet == colour).all(axis=2)).min(axis=0) for colour in colours]
    assert places[0][1] < places[1][1] < places[2][1] < places[3][1]
    assert places[4][0] > places[3][0] and places[4][1] == pytest.approx(places[0][1], abs=60)


def test_a_tiny_picture_is_enlarged_in_whole_pixels() -> None:
    checks = np.indices((8, 8)).sum(axis=0) % 2
    image = np.where(checks[..., None] == 1, (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    sheet = opened(draw_sheet([(image, "")], width_px=400))
    red, blue = count(sheet, (255, 0, 0)), count(sheet, (0, 0, 255))
    assert red == blue and red % 32 == 0 and red > 32 * 100, "no mixed colours between the checks"


def test_before_and_after_stand_side_by_side() -> None:
    before, after = flat(300, 400, (250, 120, 0)), flat(224, 224, (0, 120, 250))
    sheet = opened(draw_before_after([(before, after, "a.jpg")] * 3, title="Preprocessing"))
    left = np.argwhere((sheet == (250, 120, 0)).all(axis=2))[:, 1].min()
    right = np.argwhere((sheet == (0, 120, 250)).all(axis=2))[:, 1].min()
    assert left < right


def test_errors_are_framed_by_their_true_class() -> None:
    grey = flat(50, 50, (128, 128, 128))
    blue, orange = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    genuine, positive = (opened(draw_errors([(grey, label, 0.9, "x")])) for label in (0, 1))
    assert count(genuine, blue) > 100 > count(genuine, orange)
    assert count(positive, orange) > 100 > count(positive, blue)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3_000, 2_000)])
def test_any_shape_and_any_caption_fits(shape: tuple[int, int]) -> None:
    caption = "s3://bucket/" + "very-long-name/" * 30 + "\nsecond line\n第三行"
    sheet = opened(draw_sheet([(flat(*shape, (9, 9, 9)), caption)] * 7, columns=3, width_px=500))
    assert sheet.shape[1] <= 500 * SCALE + 8


def test_no_pictures_are_an_empty_sheet() -> None:
    assert (opened(draw_sheet([])) == 255).all()


def test_the_same_pictures_give_the_same_bytes() -> None:
    pictures = [(flat(30, 30, (5, 6, 7)), "a")]
    assert draw_sheet(pictures) == draw_sheet(pictures)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"uint8 \[H, W, 3\]"):
        draw_sheet([(image, "")])


def test_a_grid_has_its_rows_at_the_left_and_its_columns_on_top() -> None:
    colours = [[(200, 10, 10), (10, 200, 10), (10, 10, 200)], [(200, 200, 10), None, (200, 10, 200)]]
    tiles = [[colour and Tile(flat(40, 60, colour), "left out") for colour in row] for row in colours]
    sheet = opened(draw_grid(tiles, ("strength", "guidance"), (["0.3", "0.6"], ["2", "7.5", "20"])))
    places = [[colour and np.argwhere((sheet == colour).all(axis=2)) for colour in row] for row in colours]
    tops, lefts = ([[place is not None and place.min(axis=0)[k] for place in row] for row in places] for k in (0, 1))
    assert len(set(tops[0])) == 1 and tops[1][0] == tops[1][2] > tops[0][0]
    assert lefts[0][0] < lefts[0][1] < lefts[0][2] and (lefts[1][0], lefts[1][2]) == (lefts[0][0], lefts[0][2])
    assert (sheet[: tops[0][0]] < 128).any() and (sheet[:, : lefts[0][0]] < 128).any(), "no labels are drawn"
    assert (sheet[tops[1][0] :, lefts[0][1] : lefts[0][2] - 12 * SCALE] == 255).all(), "the empty place is not white"


def test_long_labels_of_a_grid_are_wrapped_and_few_columns_stay_small() -> None:
    tile, label = (
        Tile(flat(64, 64, (9, 9, 9))),
        "a very long prompt with a word-that-is-longer-than-any-cell-" + "x" * 300,
    )
    sheet = opened(draw_grid([[tile]], ("prompt", "seed"), ([label], [label]), width_px=600))
    assert sheet.shape[1] < 300 * SCALE and count(sheet, (9, 9, 9)) >= 64 * 64
    assert draw_grid([[tile]], ("", ""), ([""], [""])) == draw_grid([[tile]], ("", ""), ([""], [""]))
