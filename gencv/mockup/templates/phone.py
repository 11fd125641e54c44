"""A phone that lies on a table, its screen lit, seen from above at a slant."""

import numpy as np

from gencv.mockup.studio import SIDE_PX, canvas, covered, develop, over, paint, rounded, step
from gencv.mockup.surface import as_surface, locate
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.room import Camera, softbox, table_top

WIDTH, HEIGHT, THICK, CORNER, BEZEL = 0.75, 1.56, 0.085, 0.125, 0.028
TURNED_DEGREES = 24


def draw() -> Template:
    camera = Camera((0.0, 4.3, 1.55), (0.0, 0.0, -0.02), 26)
    x, y = canvas()
    around = np.radians(np.arange(0, 360, 6))
    rim = np.stack(
        [
            np.sign(np.cos(around)) * np.abs(np.cos(around)) ** 0.3 * WIDTH / 2,
            np.sign(np.sin(around)) * np.abs(np.sin(around)) ** 0.3 * HEIGHT / 2,
        ],
        axis=-1,
    )
    solid = np.concatenate([_in_space(rim, level) for level in (0.0, THICK)])
    light = table_top(
        camera,
        "#e3b9a4",
        solid,
        softbox((-3.4, 4.5, -2.5), 1.2),
        pool_at=(-0.5, -0.5),
        pool_wide=1.8,
        dim=0.50,
        bright=1.0,
    )

    def on(level: float) -> tuple[np.ndarray, np.ndarray]:
        """Where on the phone, at some height of it, every px looks."""
        u, v = locate(camera.see(_in_space(np.array([[(-1, -1), (1, -1)], [(-1, 1), (1, 1)]]), level)))(x, y)
        return 2 * u - 1, 2 * v - 1

    px = SIDE_PX / 2.05  # of the picture on a unit, about
    for level in np.linspace(0, THICK, 28):
        a, b = on(level)
        t = level / THICK
        body = rounded(a, b, WIDTH, HEIGHT, CORNER)
        metal = 0.10 + 0.30 * np.exp(-(((t - 0.55) / 0.22) ** 2)) + 0.10 * step(a, 0.3, -0.3)
        light = over(light, paint("#c9cbd0") * metal[..., None], covered((body + 0.010 * (2 * t - 1) ** 2) * px))
    a, b = on(THICK)
    light = over(
        light,
        paint("#d8dade") * (0.55 + 0.35 * step(a + 0.5 * b, 0.6, -0.7))[..., None],
        covered((rounded(a, b, WIDTH, HEIGHT, CORNER) + 0.008) * px),
    )
    glass = covered((rounded(a, b, WIDTH - 0.030, HEIGHT - 0.030, CORNER - 0.014) + 0.0) * px)
    light = over(light, (0.004, 0.004, 0.005), glass)
    screen = rounded(a, b, WIDTH - 2 * BEZEL, HEIGHT - 2 * BEZEL, CORNER - BEZEL)
    on_screen = covered(screen * px)
    camera_hole = covered((np.hypot(a, b + HEIGHT / 2 - BEZEL - 0.052) - 0.022) * px)
    lens = covered((np.hypot(a + 0.004, b + HEIGHT / 2 - BEZEL - 0.056) - 0.008) * px)
    light = over(light, (0.02, 0.025, 0.05), lens * 0.8)
    slant = a + 0.55 * b
    gloss = 0.06 * step(slant, 0.16, 0.14) * step(slant, -0.45, -0.43) * step(b, 0.9, -0.9) + 0.012
    light = 1 - (1 - np.clip(light, 0, 1)) * (1 - gloss * glass)[..., None]
    corners = np.array([[(-1, -1), (1, -1)], [(-1, 1), (1, 1)]]) * ((WIDTH / 2 - BEZEL), (HEIGHT / 2 - BEZEL))
    return plain(
        "phone",
        develop(light),
        as_surface(camera.see(_in_space(corners, THICK)), SIDE_PX, SIDE_PX),
        print_mm=(66.0, 66.0 * (HEIGHT - 2 * BEZEL) / (WIDTH - 2 * BEZEL)),
        mask=on_screen * (1 - camera_hole),
        shading=np.full_like(x, 0.92),
        highlight=(gloss * on_screen).astype(np.float32),
    )


def _in_space(flat: np.ndarray, level: float) -> np.ndarray:
    """Return places on the phone [..., 2], x to its right and y to its foot, as points in space."""
    turned = np.radians(TURNED_DEGREES)
    a, b = flat[..., 0], flat[..., 1]
    return np.stack(
        [
            a * np.cos(turned) - b * np.sin(turned),
            np.full_like(a, level, np.float64),
            a * np.sin(turned) + b * np.cos(turned),
        ],
        axis=-1,
    )
