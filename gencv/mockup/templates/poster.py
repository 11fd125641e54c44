"""A framed poster on the wall of a room, in the light of a window, seen from the side."""

import numpy as np

from gencv.mockup.studio import SIDE_PX, canvas, covered, develop, filled, noise, over, paint, rounded, soft, step
from gencv.mockup.surface import as_surface, locate, outline_of
from gencv.mockup.template import Template, plain
from gencv.mockup.templates.room import Camera

WIDTH, HEIGHT, FRAME, DEPTH = 1.0, 1.4, 0.028, 0.035
MIDDLE = (0.0, 1.45)
"""Sizes in a unit of 500 mm, the poster's width, and where its middle hangs."""


def draw() -> Template:
    camera = Camera((1.30, 1.30, 4.1), (0.12, 1.16, 0), 34)
    x, y = canvas()
    wall_x, wall_y = _on_wall(camera, x, y)
    sun = _window(wall_x, wall_y)
    shine = 0.46 + 0.10 * step(wall_x, 2.4, -2.2) + 0.40 * sun
    plaster = 1 + 0.012 * noise(1, 5) + 0.012 * noise(2, 60)
    light = paint("#d8d2c4") * (shine * plaster)[..., None]
    light = _skirting(camera, light, sun)

    outer, inner = _rectangle(FRAME), _rectangle(0.0)
    # The frame's shadow falls to the lower right, sharper where it is near.
    fallen = covered(_distance(wall_x - 0.045, wall_y + 0.06, FRAME) * 300)
    near = covered(_distance(wall_x - 0.018, wall_y + 0.022, FRAME) * 300)
    light *= (1 - 0.42 * soft(fallen, 13) - 0.28 * soft(near, 4))[..., None]
    wood = paint("#8a6440") * (1 + 0.10 * noise(5, 4, stretch=(12, 1)))[..., None]
    back, face = (camera.see(_lift(outer, z)) for z in (0.0, DEPTH))
    side = np.stack([face[0, 1], back[0, 1], back[1, 1], face[1, 1]])
    light = over(light, wood * (0.30 + 0.25 * sun)[..., None], filled(side))
    under = np.stack([face[1, 0], face[1, 1], back[1, 1], back[1, 0]])
    light = over(light, wood * 0.25, filled(under))
    light = over(light, wood * (0.62 + 0.62 * sun)[..., None], filled(outline_of(face)))
    hole = camera.see(_lift(inner, DEPTH))
    in_hole = filled(outline_of(hole))
    lip = camera.see(_lift(_rectangle(FRAME * 0.22), DEPTH))
    light = over(light, wood * (0.40 + 0.30 * sun)[..., None], np.clip(filled(outline_of(lip)) - in_hole, 0, 1))

    # The frame's rebate hides a little of the paper all around, or its far edge would show.
    paper = camera.see(_lift(_rectangle(0.008), 0.4 * DEPTH))
    u, v = locate(paper)(x, y)
    cast = soft(1 - step(np.minimum(u / 0.7, v / 0.5), 0.006, 0.034), 1.2)
    shade = shine * (1 - 0.45 * cast)
    light = over(light, paint("#f6f4ee") * shade[..., None], in_hole)
    glass = 0.018 + 0.035 * step(u + 0.5 * v, 0.85, 0.35)
    light = 1 - (1 - np.clip(light, 0, 1)) * (1 - glass * in_hole)[..., None]
    return plain(
        "poster",
        develop(light),
        as_surface(paper, SIDE_PX, SIDE_PX),
        print_mm=(500.0, 500.0 * HEIGHT / WIDTH),
        mask=in_hole,
        shading=shade.astype(np.float32),
        highlight=(glass * in_hole).astype(np.float32),
    )


def _on_wall(camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where on the wall, z = 0, every px looks."""
    square = np.array([[(-3, 4), (3, 4)], [(-3, 0), (3, 0)]], np.float64)
    u, v = locate(camera.see(_lift(square, 0.0)))(x, y)
    return 6 * u - 3, 4 - 4 * v


def _window(wall_x: np.ndarray, wall_y: np.ndarray) -> np.ndarray:
    """Return where the sun falls through a window of six panes, and past a plant: [S, S] in 0 to 1."""
    across = wall_x + 0.42 * (wall_y - 1.43) + 0.15
    down = wall_y - 1.48 + 0.10 * wall_x
    light = step(np.abs(across), 0.98, 0.90) * step(np.abs(down), 1.12, 1.02)
    for bar in (-0.32, 0.32):
        light = light * (1 - np.exp(-(((across - bar) / 0.035) ** 2)))
    light = light * (1 - np.exp(-((down / 0.04) ** 2)))
    leaves = np.zeros_like(light)
    rng = np.random.default_rng(11)
    for _ in range(26):
        px, py, turn = rng.uniform(-1.3, -0.1), rng.uniform(0.1, 1.9), rng.uniform(-1.2, 1.2)
        along = (wall_x - px) * np.cos(turn) + (wall_y - py) * np.sin(turn)
        side = (wall_y - py) * np.cos(turn) - (wall_x - px) * np.sin(turn)
        leaves = np.maximum(leaves, step((along / 0.30) ** 2 + (side / 0.075) ** 2, 1.15, 0.85))
    return soft(light * (1 - 0.75 * soft(leaves, 6)), 7)


def _skirting(camera: Camera, light: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Draw the floor and the board along it."""
    x, y = canvas()
    floor_x, floor_z, is_floor = camera.floor(x, y)
    plank = np.floor(floor_x / 0.24 + 100).astype(int)
    tone = np.random.default_rng(3).uniform(0.86, 1.10, 4000)[np.abs(plank) % 4000]
    seam = step(np.abs(floor_x / 0.24 - np.round(floor_x / 0.24)), 0.0, 0.025)
    oak = paint("#b08a5e") * (tone * (0.5 + 0.5 * seam) * (1 + 0.06 * noise(4, 3, stretch=(1, 10))))[..., None]
    edge = camera.see([[-6, 0, 0], [6, 0, 0]])
    below = filled(np.array([edge[0], edge[1], (SIDE_PX * 3, SIDE_PX * 2), (-SIDE_PX * 2, SIDE_PX * 2)]))
    light = over(light, soft3(oak * 0.62, 1.0), below * is_floor)
    light *= (1 - 0.35 * soft(np.exp(-((floor_z / 0.12) ** 2)) * below, 6))[..., None]
    board = camera.see([[-6, 0.16, 0.03], [6, 0.16, 0.03], [6, 0, 0.03], [-6, 0, 0.03]])
    light = over(light, paint("#f1eee6") * (0.62 + 0.3 * sun)[..., None], filled(board))
    top = camera.see([[-6, 0.16, 0.0], [6, 0.16, 0.0], [6, 0.16, 0.03], [-6, 0.16, 0.03]])
    return over(light, paint("#fbf9f4") * 0.85, filled(top))


def soft3(light: np.ndarray, sigma_px: float) -> np.ndarray:
    return np.stack([soft(light[..., k], sigma_px) for k in range(3)], axis=-1)


def _rectangle(margin: float) -> np.ndarray:
    """Return the poster as a quad [2, 2, 2] on the wall, grown by a margin."""
    (x, y), half, high = MIDDLE, WIDTH / 2 + margin, HEIGHT / 2 + margin
    return np.array([[(x - half, y + high), (x + half, y + high)], [(x - half, y - high), (x + half, y - high)]])


def _distance(wall_x: np.ndarray, wall_y: np.ndarray, margin: float) -> np.ndarray:
    return rounded(wall_x - MIDDLE[0], wall_y - MIDDLE[1], WIDTH + 2 * margin, HEIGHT + 2 * margin, 0.004)


def _lift(flat: np.ndarray, z: float) -> np.ndarray:
    return np.concatenate([flat, np.full((*flat.shape[:-1], 1), z)], axis=-1)
