"""Pictures beside each other, as PNG bytes: samples, before and after, the worst errors.

Sheets are put together pixel by pixel rather than plotted, so that what is shown is what is there: a picture is
scaled once to its cell, and a tiny one is enlarged in whole pixels without smoothing.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gencv.core.errors import BadInput
from gencv.plots.look import GENUINE, GREY, INK, POSITIVE

SCALE = 2  # drawn at twice the size it is shown at, for dense screens
GAP_PX, LINE_PX, TEXT_PX = 12, 17, 12


@dataclass(frozen=True)
class Tile:
    """A picture uint8 RGB [H, W, 3], the lines under it, and the colour of its frame ("" for none)."""

    image: np.ndarray
    caption: str = ""
    frame: str = ""


def draw_sheet(
    pictures: Sequence[tuple[np.ndarray, str]], *, columns: int = 6, width_px: int = 900, title: str = ""
) -> bytes:
    """Return a grid of captioned pictures (uint8 [H, W, 3], text) as PNG. Raises BadInput for another kind of array."""
    return draw_tiles([Tile(image, caption) for image, caption in pictures], columns, width_px, title)


def draw_before_after(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, str]], *, pairs_per_row: int = 2, width_px: int = 900, title: str = ""
) -> bytes:
    """Return pairs (before, after, caption) side by side, the sizes written under them, as PNG."""
    tiles = []
    for before, after, caption in pairs:
        tiles.append(Tile(before, f"before, {_size_of(before)}\n{caption}"))
        tiles.append(Tile(after, f"after, {_size_of(after)}"))
    return draw_tiles(tiles, 2 * pairs_per_row, width_px, title)


def draw_errors(
    pictures: Sequence[tuple[np.ndarray, int, float, str]],
    *,
    names: tuple[str, str] = ("genuine", "positive"),
    columns: int = 6,
    width_px: int = 900,
    title: str = "",
) -> bytes:
    """Return misjudged pictures (image, label, score, what it is) as PNG, in the order given.

    Under each stand its true class, which the frame repeats, and its score.
    """
    tiles = [
        Tile(image, f"{names[label]} {score:.3f}\n{what}", POSITIVE if label else GENUINE)
        for image, label, score, what in pictures
    ]
    return draw_tiles(tiles, columns, width_px, title)


def draw_tiles(
    places: Sequence[Tile | None], columns: int, width_px: int, title: str = "", *, fewest_columns: int = 4
) -> bytes:
    """Lay tiles out in rows of `columns`, each row as high as its highest picture and caption; None is an empty place.

    fewest_columns: few pictures stay as small as in so many columns, or one of them would fill the page.
    """
    tiles = [tile or Tile(np.full((1, 1, 3), 255, np.uint8)) for tile in places]
    for tile in tiles:
        if tile.image.dtype != np.uint8 or tile.image.ndim != 3 or tile.image.shape[2] != 3 or 0 in tile.image.shape:
            raise BadInput(f"A sheet takes uint8 [H, W, 3] pictures, not {tile.image.dtype} {tile.image.shape}.")
    columns = max(1, min(columns, len(tiles)))
    gap, line, font = GAP_PX * SCALE, LINE_PX * SCALE, _font(TEXT_PX * SCALE)
    cell = (width_px * SCALE - gap) // max(columns, fewest_columns) - gap
    fitted = [_fit(tile.image, cell) for tile in tiles]
    captions = [_lines(tile.caption, cell, font) for tile in tiles]

    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    highs = [max(fitted[k].height for k in row) for row in rows]
    texts = [max(len(captions[k]) for k in row) * line for row in rows]
    top = gap + (2 * line if title else 0)
    width = gap + columns * (cell + gap)
    height = top + sum(highs) + sum(texts) + len(rows) * (gap + line // 2)
    sheet = Image.new("RGB", (width, height or gap), "white")
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((gap, gap), title, fill=INK, font=_font(15 * SCALE, bold=True))
    for row, high, text in zip(rows, highs, texts, strict=True):
        for column, k in enumerate(row):
            left, picture = gap + column * (cell + gap), fitted[k]
            place = (left + (cell - picture.width) // 2, top + (high - picture.height))
            sheet.paste(picture, place)
            if tiles[k].frame:
                corner = (place[0] + picture.width + 2, place[1] + picture.height + 2)
                pen.rectangle((place[0] - 3, place[1] - 3, *corner), outline=tiles[k].frame, width=3)
            for index, words in enumerate(captions[k]):
                at = (left, top + high + line // 3 + index * line)
                pen.text(at, words, fill=INK if index == 0 else GREY, font=font)
        top += high + text + gap + line // 2
    return _png(sheet)


def draw_grid(
    cells: Sequence[Sequence[Tile | None]],
    axes: tuple[str, str],
    labels: tuple[Sequence[str], Sequence[str]],
    *,
    width_px: int = 900,
    fewest_columns: int = 4,
) -> bytes:
    """Return rows of tiles as PNG, with what changes from row to row at the left and from column to column on top.

    axes: what the rows and the columns say. labels: of each row and of each column. A tile's caption is left out.
    """
    line, font, bold = LINE_PX * SCALE, _font(TEXT_PX * SCALE), _font(TEXT_PX * SCALE, bold=True)
    gap, margin = GAP_PX * SCALE, 110 * SCALE
    cell = (width_px * SCALE - margin - gap) // max(len(labels[1]), fewest_columns) - gap
    wrapped = [
        [_wrap(text, room, font) for text in texts] for texts, room in zip(labels, (margin - gap, cell), strict=True)
    ]
    tops = max(map(len, wrapped[1]), default=0)
    fitted = [[None if tile is None else _fit(tile.image, cell) for tile in row] for row in cells]
    highs = [
        max([picture.height for picture in row if picture] + [line * len(words)])
        for row, words in zip(fitted, wrapped[0], strict=True)
    ]
    top = gap + line * (1 + tops) + gap // 2
    sheet = Image.new(
        "RGB", (margin + gap + len(labels[1]) * (cell + gap), top + sum(highs) + len(highs) * gap), "white"
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((margin + gap, gap // 2), axes[1], fill=INK, font=bold)
    pen.text((gap, gap // 2 + line * tops), axes[0], fill=INK, font=bold)
    for column, words in enumerate(wrapped[1]):
        for number, text in enumerate(words):
            pen.text((margin + gap + column * (cell + gap), gap // 2 + line * (1 + number)), text, fill=GREY, font=font)
    for row, high, words in zip(fitted, highs, wrapped[0], strict=True):
        for number, text in enumerate(words):
            pen.text((gap, top + line * number), text, fill=GREY, font=font)
        for column, picture in enumerate(row):
            if picture:
                sheet.paste(picture, (margin + gap + column * (cell + gap), top))
        top += high + gap
    return _png(sheet)


def _wrap(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Return a text in lines that fit into a width, six at most."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_lines(each, width, font)[0] if each else "" for each in lines[:6]]


def _fit(image: np.ndarray, side: int) -> Image.Image:
    """Return the picture scaled to fill a square of `side` px; a tiny one a whole number of times, unsmoothed."""
    picture = Image.fromarray(image)
    longest = max(picture.size)
    is_tiny = longest <= side // 2
    scale = side // longest if is_tiny else side / longest
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.NEAREST if is_tiny else Image.Resampling.LANCZOS
    return picture.resize(size, method)


def _lines(caption: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Return the caption's lines, each cut in its middle to the width: the ends of a name or path say most."""
    lines = []
    for text in caption.split("\n"):
        cut, kept = text, len(text)
        while kept > 4 and font.getlength(cut) > width:
            kept -= 1
            cut = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        lines.append(cut)
    return lines if caption else []


def _size_of(image: np.ndarray) -> str:
    return f"{image.shape[1]} × {image.shape[0]} px"


def _png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the typeface of the figures, which matplotlib carries with it, so that sheets match on any machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
