"""A glazed white mug, printed around its front, in the light of one window."""

import numpy as np

from gencv.mockup.studio import SIDE_PX, away_from, canvas, covered, curve, develop, filled, over, paint, soft, step
from gencv.mockup.surface import as_surface, locate
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.room import Camera, softbox, table_top

RADIUS, HEIGHT = 0.82, 1.9
PRINT_DEGREES = 66
"""How far the print goes round to either side of the middle: what is farther is hardly seen."""


def draw() -> Template:
    camera = Camera((0.0, 2.5, 7.2), (0.12, 0.86, 0), 25)
    x, y = canvas()
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    solid = np.concatenate([_ring(around, 0.0, RADIUS * 0.95), _ring(around, HEIGHT, RADIUS)])
    light = table_top(camera, "#c3d0ca", solid, softbox((-5, 6, 4.0), 2.0), pool_at=(-0.6, 0.4), pool_wide=4.0)
    light = _handle(camera, light)

    # The body, as a mesh over the half that is seen: u goes round, v down.
    turns = np.radians(np.linspace(-89.5, 89.5, 49))
    levels = np.linspace(HEIGHT, 0, 9)
    body = camera.see(np.stack([_ring(turns, level, _radius(level)) for level in levels]))
    u, v = locate(body)(x, y)
    turn = (np.clip(u, 0, 1) - 0.5) * np.radians(179)
    foot = camera.see(_ring(turns, 0.0, _radius(0.0)))
    brim = camera.see(_ring(around, HEIGHT, _radius(HEIGHT)))
    outline = np.concatenate([brim[_half(around)], foot[::-1]])
    on_body = np.maximum(filled(outline), filled(brim))
    glaze = paint("#f7f5f0")
    shade = _shade(turn) * (1 - 0.16 * step(v, 0.86, 1.03)) * (1 - 0.03 * v)
    light = over(light, glaze * shade[..., None], on_body)
    gloss = _gloss(turn, v)
    light = 1 - (1 - np.clip(light, 0, 1)) * (1 - gloss * on_body)[..., None]

    # Inside: dark to the left, where the wall faces away from the window, and down.
    lip, inner = camera.see(_ring(around, HEIGHT, RADIUS)), camera.see(_ring(around, HEIGHT - 0.012, RADIUS * 0.925))
    light = over(light, glaze * (0.90 + 0.06 * step(x, 700, 300))[..., None], filled(lip))
    hole = filled(inner)
    left, right = inner[:, 0].min(), inner[:, 0].max()
    top, bottom = inner[:, 1].min(), inner[:, 1].max()
    depth = (y - top) / (bottom - top)
    wall = 0.30 + 0.42 * step((x - left) / (right - left), 0.05, 0.95) - 0.22 * depth
    light = over(light, glaze * np.clip(wall, 0.08, 1)[..., None], hole)
    rim = np.clip(filled(lip) - hole, 0, 1)
    light = over(light, (1.0, 1.0, 1.0), 0.5 * soft(rim * (y > (top + bottom) / 2), 1.0) * step(x, 760, 340))

    reach = np.radians(PRINT_DEGREES)
    printed_turns, printed_levels = np.linspace(-reach, reach, 33), np.linspace(HEIGHT * 0.90, HEIGHT * 0.10, 9)
    surface = camera.see(np.stack([_ring(printed_turns, level, _radius(level)) for level in printed_levels]))
    width_mm = 82 * reach  # an ordinary mug measures 82 mm across
    return plain(
        "mug",
        develop(light),
        as_surface(surface, SIDE_PX, SIDE_PX),
        print_mm=(float(width_mm), float(41 * HEIGHT * 0.80 / RADIUS)),
        mask=on_body,
        shading=shade.astype(np.float32),
        highlight=(gloss * on_body).astype(np.float32),
    )


def _radius(level: float) -> float:
    """The foot is drawn in a little."""
    return RADIUS * (1 - 0.05 * float(np.clip(1 - level / 0.10, 0, 1)) ** 2)


def _ring(turns: np.ndarray, level: float, radius: float) -> np.ndarray:
    """Return points [N, 3] around the axis; a turn of 0 faces the camera."""
    return np.stack([radius * np.sin(turns), np.full_like(turns, level), radius * np.cos(turns)], axis=-1)


def _half(around: np.ndarray) -> np.ndarray:
    """The back half of the brim from left to right."""
    order = np.argsort(np.sin(around))
    return np.asarray(order[np.cos(around[order]) <= 0.02])


def _shade(turn: np.ndarray) -> np.ndarray:
    """Return the diffuse light of a wall that is turned so far: a large window at the left, a pale room."""
    window = np.clip(np.cos(turn + np.radians(38)) * 0.8 + 0.2, 0, 1)
    room = np.clip(np.cos(turn - np.radians(70)), 0, 1)
    return np.asarray(0.30 + 0.66 * window**1.2 + 0.10 * room**2)


def _gloss(turn: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return what the glaze mirrors: the window at the left, in two panes, and a pale wall at the right."""
    degrees = np.degrees(turn)
    pane = step(degrees, -53, -49) * step(degrees, -29, -34) - 0.8 * np.exp(-(((degrees + 41) / 0.9) ** 2))
    upright = step(v, 0.05, 0.13) * step(v, 0.80, 0.55)
    wall = step(degrees, 58, 66) * step(degrees, 84, 76)
    return np.asarray(np.clip(0.22 * np.clip(pane, 0, 1) * upright + 0.10 * wall, 0, 1))


def _handle(camera: Camera, light: np.ndarray) -> np.ndarray:
    """Draw a tube from the brim to the foot, at the right."""
    x, _ = canvas()
    path = curve(
        [(0.74, 1.50), (1.00, 1.55), (1.25, 1.41), (1.34, 1.09), (1.25, 0.76), (1.02, 0.51), (0.74, 0.44)], num=16
    )
    seen = camera.see(np.concatenate([path, np.zeros((len(path), 1))], axis=1))
    thick_px = 0.112 * camera.focal_px / np.linalg.norm(camera.eye - (1, 1, 0))
    nearest, away_x, away_y = away_from(seen, thick_px + 2)
    t = np.clip(nearest / thick_px, 0, 1)
    facing = np.sqrt(1 - t**2)
    nx, ny = away_x / thick_px, -away_y / thick_px
    shade = 0.34 + 0.58 * np.clip(-0.52 * nx + 0.50 * ny + 0.62 * facing, 0, 1)
    shade *= 1 - 0.45 * step(x, seen[:, 0].min() + 60, seen[:, 0].min() - 10)  # where it meets the body
    gloss = 0.5 * np.exp(-(((nx + 0.42) / 0.16) ** 2) - ((ny - 0.42) / 0.5) ** 2)
    colour = 1 - (1 - paint("#f7f5f0") * shade[..., None]) * (1 - gloss[..., None])
    return over(light, colour, covered(nearest - thick_px))
