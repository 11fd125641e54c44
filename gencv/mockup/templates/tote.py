"""A cotton bag on a hook: soft folds, a weave, and long handles."""

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
    rounded,
    soft,
    softened,
    step,
)
from gencv.mockup.surface import as_surface
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.cloth import behind, drag_of, folds, shade_of

LEFT, RIGHT, TOP, BOTTOM = 250, 774, 370, 952


def draw() -> Template:
    x, y = canvas()
    bag, handles = _bag(), _handles()
    light = behind("#8fa3ad", np.maximum(bag, handles[0]), lifted_px=32)
    height = _height(x, y)
    weave = 1 + 0.030 * np.sin(x * 2 * np.pi / 3.1) * np.sin(y * 2 * np.pi / 3.1) + 0.022 * noise(2, 2.2)
    slubs = 0.010 * noise(3, 2, stretch=(14, 1)) + 0.010 * noise(4, 2, stretch=(1, 14))
    shade = shade_of(bag, height, relief=1.7)
    cotton = paint("#efe6d3")
    cloth = cotton * (shade * (weave + slubs))[..., None]
    light = _strap(light, handles[1], 0.55, weave)
    light = over(light, cloth, bag)
    # The hem is folded over: a seam, and a step of shadow below it.
    hem = TOP + 44 + 5 * np.sin((x - LEFT) / 90)
    light *= (1 - 0.16 * np.exp(-(((y - hem - 2) / 2.2) ** 2)) * bag)[..., None]
    stitches = np.exp(-(((y - hem + 5) / 1.1) ** 2)) * (np.sin(x * 2 * np.pi / 7.5) > -0.3)
    light *= (1 - 0.13 * soft(stitches, 0.6) * bag)[..., None]
    front = handles[0]
    light *= (1 - 0.30 * soft(np.roll(front, 5, axis=0), 4) * bag * (1 - front))[..., None]
    light = _strap(light, front, 0.92, weave)
    for left in (398, 626):  # each handle is sewn on by a square
        square = np.abs(rounded(x - left, y - TOP - 24, 21, 24, 1))
        light *= (1 - 0.14 * np.exp(-((square / 1.1) ** 2)) * front)[..., None]
    light = _peg(light, x, y)

    corners = [[(322, 470), (702, 470)], [(322, 878), (702, 878)]]
    return plain(
        "tote",
        develop(light),
        as_surface(corners, SIDE_PX, SIDE_PX),
        print_mm=(280.0, 280.0 * 408 / 380),
        mask=bag,
        shading=(shade * weave).astype(np.float32),
        displacement=drag_of(height, 7.0),
    )


def _peg(light: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw the wooden peg that the handles hang on."""
    aside, below = (x - 512) / 17, (y - 80) / 17
    away = np.hypot(aside, below)
    fallen = soft(covered(17 * (np.hypot(aside - 0.4, below - 0.7) - 1)), 6)
    light = light * (1 - 0.4 * fallen)[..., None]
    shine = 0.62 + 0.30 * np.clip(-0.55 * aside - 0.75 * below, -1, 1)
    return over(light, paint("#b98a5a") * shine[..., None], covered(17 * (away - 1)))


def _bag() -> np.ndarray:
    outline = curve(
        [
            (LEFT + 16, TOP + 4),
            (400, TOP - 5),
            (512, TOP + 3),
            (630, TOP - 4),
            (RIGHT - 14, TOP + 5),
            (RIGHT - 10, TOP + 16),
            (RIGHT - 4, 560),
            (RIGHT + 4, 760),
            (RIGHT + 1, BOTTOM - 24),
            (RIGHT - 16, BOTTOM - 4),
            (640, BOTTOM + 4),
            (512, BOTTOM),
            (380, BOTTOM + 5),
            (LEFT + 16, BOTTOM - 5),
            (LEFT - 2, BOTTOM - 26),
            (LEFT - 5, 760),
            (LEFT + 5, 560),
            (LEFT + 11, TOP + 16),
        ],
        closed=True,
    )
    return softened(filled(outline), 4)


def _handles() -> tuple[np.ndarray, np.ndarray]:
    """Return the front handle and the back one as alphas: two sides that meet at the hook."""
    front = _band(
        [
            (398, TOP + 40),
            (404, 300),
            (436, 170),
            (490, 62),
            (512, 40),
            (534, 62),
            (588, 170),
            (620, 300),
            (626, TOP + 40),
        ]
    )
    back = _band(
        [
            (424, TOP + 10),
            (436, 280),
            (464, 160),
            (497, 70),
            (512, 58),
            (527, 70),
            (560, 160),
            (588, 280),
            (600, TOP + 10),
        ]
    )
    return front, back


def _band(points: list[tuple[int, int]], width: float = 30) -> np.ndarray:
    way = curve(points)
    along = np.gradient(way, axis=0)
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    return filled(np.concatenate([way + side * width / 2, (way - side * width / 2)[::-1]]))


def _strap(light: np.ndarray, strap: np.ndarray, shine: float, weave: np.ndarray) -> np.ndarray:
    round_ = 0.70 + 0.30 * step(soft(strap, 5), 0.5, 0.95)
    return over(light, paint("#efe6d3") * (shine * round_ * weave)[..., None], strap)


def _height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Folds hang from where the handles are sewn on, and lie across the foot; the cloth itself is uneven."""
    hung = [
        ([(402, 395), (380, 560), (332, 760)], 30, 9),
        ([(402, 395), (428, 600), (420, 800)], 24, 7),
        ([(622, 395), (600, 560), (618, 790)], 28, 8),
        ([(622, 395), (668, 540), (706, 740)], 30, 9),
        ([(404, 400), (512, 452), (622, 400)], 26, 7),
        ([(420, 420), (512, 520), (610, 420)], 30, 5),
        ([(262, 560), (300, 700), (284, 860)], 22, 6),
        ([(764, 540), (728, 700), (744, 880)], 22, 6),
        ([(300, 930), (430, 880), (560, 915)], 26, 7),
        ([(540, 900), (650, 872), (750, 925)], 24, 6),
        ([(470, 640), (520, 760), (500, 900)], 34, 4),
    ]
    return folds(hung) + 1.6 * soft(noise(8, 110), 6) + 0.5 * soft(noise(9, 36), 3)
