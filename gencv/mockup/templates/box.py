"""A white carton on a seamless floor, printed to the edges of its front, seen from the side in shadow."""

import numpy as np

from gencv.mockup.studio import SIDE_PX, canvas, develop, filled, line, over, paint, step
from gencv.mockup.surface import as_surface, locate, outline_of
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.room import Camera, softbox, table_top

WIDTH, HEIGHT, DEPTH = 1.5, 1.9, 0.62
TURNED_DEGREES = -20


def draw() -> Template:
    camera = Camera((1.75, 2.75, 5.2), (0.05, 0.86, 0), 28.5)
    x, y = canvas()
    solid = _in_space([FRONT, SIDE, TOP]).reshape(-1, 3)
    light = table_top(camera, "#e6d6c4", solid, softbox((-5, 6.5, 4.5), 1.9), pool_at=(-0.5, 0.8), pool_wide=4.2)

    front, side, top = (camera.see(_in_space(face)) for face in (FRONT, SIDE, TOP))
    u, v = _on(side, x, y)
    card = paint("#fbfaf7")
    light = over(light, card * (0.50 + 0.08 * u - 0.14 * v**3)[..., None], filled(outline_of(side)))
    u, v = _on(top, x, y)
    flap = np.exp(-(((v - 0.93) / 0.012) ** 2))
    light = over(light, card * (0.93 - 0.06 * u - 0.25 * flap)[..., None], filled(outline_of(top)))
    u, v = _on(front, x, y)
    shade = 0.90 - 0.10 * u**1.5 + 0.05 * (1 - v) - 0.09 * v**4
    on_front = filled(outline_of(front))
    light = over(light, card * shade[..., None], on_front)
    # Folded card is worn pale along its edges; the line lies over the print too.
    edges = np.maximum(line(front[0, 1], front[1, 1], 1.6), 0.8 * line(front[0, 0], front[0, 1], 1.4))
    light = over(light, (0.97, 0.97, 0.96), 0.55 * edges)
    gloss = 0.035 * step(u + 0.35 * v, 0.75, 0.1) + 0.25 * edges * on_front
    return plain(
        "box",
        develop(light),
        as_surface(front, SIDE_PX, SIDE_PX),
        print_mm=(150.0, 150.0 * HEIGHT / WIDTH),
        mask=on_front,
        shading=(shade / 0.93).astype(np.float32),
        highlight=(gloss * on_front).astype(np.float32),
    )


FRONT = (((0, 1, 1), (1, 1, 1)), ((0, 0, 1), (1, 0, 1)))
SIDE = (((1, 1, 1), (1, 1, 0)), ((1, 0, 1), (1, 0, 0)))
TOP = (((0, 1, 0), (1, 1, 0)), ((0, 1, 1), (1, 1, 1)))
"""Corners of the faces as quads: 1 is right, up, and to the front."""


def _in_space(corners: object) -> np.ndarray:
    """Return corners [..., 3] of 0 and 1 as points in space."""
    x, y, z = np.moveaxis((np.asarray(corners, np.float64) - (0.5, 0, 0.5)) * (WIDTH, HEIGHT, DEPTH), -1, 0)
    turned = np.radians(TURNED_DEGREES)
    return np.stack([x * np.cos(turned) + z * np.sin(turned), y, z * np.cos(turned) - x * np.sin(turned)], axis=-1)


def _on(face: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where on a face every px looks, each in 0 to 1."""
    u, v = locate(face)(x, y)
    return np.clip(u, 0, 1), np.clip(v, 0, 1)
