"""A white T-shirt laid flat: folds from the arms to the hem, a ribbed collar, seams."""

import numpy as np

from gencv.mockup.studio import (
    SIDE_PX,
    canvas,
    covered,
    curve,
    develop,
    filled,
    noise,
    over,
    paint,
    soft,
    softened,
    step,
)
from gencv.mockup.surface import as_surface
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.cloth import behind, drag_of, folds, shade_of


def draw() -> Template:
    x, y = canvas()
    body, left, right = _body(), _sleeve(), _sleeve()[:, ::-1]
    shirt = np.maximum(body, np.maximum(left, right))
    light = behind("#d9cbb8", shirt, lifted_px=21)
    height = _height()
    knit = 1 + 0.012 * noise(2, 2) + 0.010 * np.sin(x * 2 * np.pi / 2.7)
    shade = shade_of(shirt, height, relief=1.4)
    # Sleeves lie under the body's seam, which casts a line of shadow on them.
    for sleeve in (left, right):
        shade *= 1 - 0.20 * soft(body, 5) * sleeve * (1 - body) - 0.05 * sleeve * (1 - body)
    seam = np.abs(soft(body, 1.2) - 0.5) < 0.22
    shade *= 1 - 0.16 * soft(seam * np.maximum(left, right), 0.8)
    for hem in (_hem_line(y, x), _cuff_line(x, y), _cuff_line(SIDE_PX - x, y)):
        shade *= 1 - 0.10 * hem
    white = paint("#f4f3f0")
    light = over(light, white * (shade * knit)[..., None], shirt)
    light = _collar(light, white, body, x, y)
    corners = [[(352, 330), (672, 330)], [(352, 730), (672, 730)]]
    return plain(
        "shirt",
        develop(light),
        as_surface(corners, SIDE_PX, SIDE_PX),
        print_mm=(300.0, 375.0),
        mask=body,
        shading=(shade * knit).astype(np.float32),
        displacement=drag_of(height, 6.5),
    )


def _body() -> np.ndarray:
    half = [
        (512, 152),
        (560, 146),
        (604, 122),
        (628, 108),
        (680, 128),
        (738, 156),
        (752, 190),
        (744, 260),
        (736, 320),
        (738, 420),
        (742, 600),
        (748, 780),
        (752, 928),
        (744, 940),
        (640, 950),
        (512, 954),
    ]
    mirrored = [(SIDE_PX - a, b) for a, b in half[-2:0:-1]]
    return softened(filled(curve([*half, *mirrored], closed=True)), 3)


def _sleeve() -> np.ndarray:
    return softened(
        filled(
            curve(
                [
                    (300, 152),
                    (268, 170),
                    (228, 214),
                    (176, 292),
                    (120, 388),
                    (124, 398),
                    (176, 428),
                    (238, 456),
                    (248, 450),
                    (276, 376),
                    (296, 322),
                    (330, 230),
                ],
                closed=True,
            )
        ),
        3,
    )


def _hem_line(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    level = 926 + 4 * np.cos((x - 512) / 130)
    return np.asarray(np.exp(-(((y - level) / 1.5) ** 2)) + 0.7 * np.exp(-(((y - level - 5) / 1.3) ** 2)))


def _cuff_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two seams along the end of the left sleeve."""
    across = ((x - 120) * (456 - 390) - (y - 390) * (238 - 120)) / np.hypot(66, 118)
    near = np.exp(-(((across - 17) / 1.5) ** 2)) + 0.7 * np.exp(-(((across - 22) / 1.3) ** 2))
    return np.asarray(near * (x < 275) * (y > 330))


def _collar(light: np.ndarray, white: np.ndarray, body: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw the opening with the inside of the back, the rib around it, and the label's place in shadow."""
    aside = (x - 512) / 112
    in_front = np.hypot(aside, (y - 118) / 88) - 1
    top = 104 + 24 * (1 - np.clip(aside**2, 0, 1))  # the neckline of the back, and below it its rib
    inside = covered(in_front * 90) * step(y, top - 0.7, top + 0.7)
    back_edge = top + 20
    rib = 0.90 + 0.05 * np.sin(np.arctan2(y - 118, x - 512) * 150)
    inner = 0.50 + 0.20 * step(y, 210, 120)
    light = over(light, white * inner[..., None], inside)
    back_rib = inside * step(y, back_edge + 0.5, back_edge - 0.5)
    light = over(light, white * (0.56 + 0.03 * np.sin(1.5 * x))[..., None], back_rib)
    light *= (1 - 0.25 * soft(np.exp(-(((y - back_edge - 3) / 4) ** 2)), 2) * inside * (1 - back_rib))[..., None]
    around = np.hypot((x - 512) / 132, (y - 118) / 108) - 1
    ring = covered(around * 100) * (1 - covered(in_front * 90)) * body
    light = over(light, white * rib[..., None], ring)
    fallen = np.exp(-((around * 50) ** 2)) * step(y, 118, 126)
    return np.asarray(light * (1 - 0.20 * fallen * (1 - ring))[..., None])


def _height() -> np.ndarray:
    """Folds run from under the arms to the middle and down, and gather above the hem."""
    right = [
        ([(742, 330), (660, 400), (560, 430)], 26, 9),
        ([(744, 350), (690, 480), (640, 600)], 30, 9),
        ([(740, 380), (716, 560), (724, 740)], 24, 7),
        ([(640, 560), (610, 720), (640, 880)], 36, 6),
        ([(752, 660), (690, 760), (600, 800)], 30, 7),
        ([(735, 900), (650, 850), (560, 880)], 26, 6),
        ([(700, 170), (680, 250), (700, 330)], 22, 5),
        ([(852, 250), (800, 290), (770, 360)], 18, 6),
        ([(880, 380), (830, 350), (776, 300)], 16, 5),
    ]
    left = [
        ([(282, 335), (350, 420), (450, 470)], 26, 8),
        ([(280, 360), (330, 500), (360, 640)], 30, 9),
        ([(284, 420), (300, 600), (292, 780)], 24, 7),
        ([(400, 600), (420, 740), (380, 900)], 36, 6),
        ([(276, 700), (350, 790), (450, 810)], 30, 6),
        ([(290, 910), (370, 868), (470, 900)], 26, 6),
        ([(330, 170), (348, 250), (326, 330)], 22, 5),
        ([(170, 270), (226, 300), (258, 370)], 18, 6),
        ([(146, 390), (196, 350), (250, 310)], 16, 5),
        ([(480, 500), (520, 640), (500, 780)], 40, 4),
    ]
    return folds(right + left) + 1.4 * soft(noise(8, 120), 6) + 0.4 * soft(noise(9, 40), 3)
