"""The light between a product and its scene: the shadow that it throws, the dark where it stands, and light upon it.

A shadow is a factor of light, float32 [H, W] in 0 to 1, of what lies under the product.
"""

from dataclasses import replace

import cv2
import numpy as np

from gencv.images.light import to_coded, to_linear
from gencv.mockup.placing import Placed
from gencv.mockup.scenes import Scene
from gencv.mockup.studio import soft, step

CAST, CONTACT, AROUND = 0.5, 0.75, 0.4
"""How dark the shadow is where it begins, the dark line where the product stands, and the dim around that."""
FLAT = 0.26
"""How long a shadow on the floor is, of the product's height: the camera looks along the floor, not down on it."""


def shadow(scene: Scene, placed: Placed) -> np.ndarray:
    """Return the whole shadow of a placed product."""
    ground, touches = stand(placed)
    line, around = contact(placed, ground, touches)
    dark = (1 - CONTACT * line) * (1 - AROUND * around) * (1 - cast(scene, placed, ground))
    y = (np.arange(scene.height, dtype=np.float32) + 0.5) / scene.height
    # Nothing falls on the wall: the floor's own shadow fades where it ends.
    on_floor = step(y, scene.horizon - 0.02, scene.horizon + 0.05)[:, None]
    return np.asarray(1 - (1 - dark) * on_floor, np.float32)


def stand(placed: Placed) -> tuple[np.ndarray, np.ndarray]:
    """Return the row on which a product stands, and in how far it touches it, float32 [W] in 0 to 1, for each column.

    A line is drawn tight below the product. Where it runs about level, as from the heel to the toe of a shoe that is
    seen from a corner, the product stands on it; where it climbs steeply, as to the spout of a pot, that part is in the
    air, and the ground goes on at the height that it had.
    """
    solid = placed.alpha > 0.5
    columns = np.flatnonzero(solid.any(axis=0))
    ground = np.full(solid.shape[1], placed.bottom, np.float32)
    touches = np.zeros(solid.shape[1], np.float32)
    if len(columns) < 2:
        return ground, touches
    lowest = solid.shape[0] - np.argmax(solid[::-1, columns], axis=0)
    tight = _tight(columns, lowest)
    rows = np.interp(columns, columns[tight], lowest[tight])
    # The slope belongs to the stretch from one corner of the line to the next.
    stretch = np.clip(np.searchsorted(columns[tight], columns, side="right") - 1, 0, len(tight) - 2)
    slope = np.abs(np.diff(lowest[tight]) / np.diff(columns[tight]))[stretch]
    high = (lowest.max() - rows) / max(placed.height, 1)
    level = (slope < STEEP) & (high < TOO_HIGH)
    level[np.argmax(lowest)] = True
    ground[:] = np.interp(np.arange(len(ground)), columns[level], rows[level])
    touches[columns] = level * np.exp(-(((rows - lowest) / (NEAR * placed.height + 1)) ** 2))
    return ground, touches


STEEP, TOO_HIGH = 0.75, 0.55
"""Slope of the line below a product, and its height, as a share of the product's, from which it is no ground."""
NEAR = 0.03
"""How near the ground, as a share of the product's height, a px touches it."""


def _tight(columns: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Return which of the lowest px are the corners of a line drawn tight below all of them (Andrew's chain)."""
    chain: list[int] = []
    for place, (x, y) in enumerate(zip(columns, lowest, strict=True)):
        while len(chain) > 1:
            a, b = chain[-2], chain[-1]
            turn = (columns[b] - columns[a]) * (y - lowest[a]) - (lowest[b] - lowest[a]) * (x - columns[a])
            if turn < 0:
                break
            chain.pop()
        chain.append(place)
    return np.array(chain)


def contact(placed: Placed, ground: np.ndarray, touches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the dark line where a product touches the ground, and the dim around it, float32 [H, W] in 0 to 1 each."""
    touch = np.zeros(placed.alpha.shape, np.float32)
    columns = np.arange(len(ground))
    thick = max(1, round(0.012 * placed.height))
    for off_px in range(-thick, thick + 1):
        rows = np.clip(np.round(ground).astype(int) - 1 + off_px, 0, placed.alpha.shape[0] - 1)
        touch[rows, columns] = touches
    narrow, wide = 0.012 * placed.height + 0.5, 0.05 * placed.height + 1
    line, around = (cv2.GaussianBlur(touch, (0, 0), 1.7 * sigma, sigmaY=sigma) for sigma in (narrow, wide))
    return line / (line.max() + 1e-6), around / (around.max() + 1e-6)


def cast(scene: Scene, placed: Placed, ground: np.ndarray) -> np.ndarray:
    """Return the shadow on the floor: the product laid flat, away from the light, softer and paler toward its end."""
    room = (placed.bottom - scene.horizon * scene.height) / placed.height
    flat = float(np.clip(FLAT, 0.08, max(0.1, 1.1 * room)))
    lean = float(np.clip(-np.tan(np.radians(scene.light_deg)), -1.2, 1.2)) * 0.55
    height, width = placed.alpha.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    above = (ground[None, :] - 1 - y) / flat  # how high the part of the product is that keeps the light from a px
    from_x = x - lean * above
    from_y = np.interp(from_x, np.arange(width), ground).astype(np.float32) - 1 - above
    laid = cv2.remap(placed.alpha, from_x, from_y, cv2.INTER_LINEAR)
    far = np.clip(above / placed.height, 0, 1)
    near_blur, far_blur = soft(laid, 0.018 * placed.height + 1), soft(laid, 0.06 * placed.height + 1)
    return np.asarray((near_blur * (1 - far) + far_blur * far) * CAST * (1 - 0.65 * far), np.float32)


def relit(scene: Scene, placed: Placed, behind: np.ndarray) -> Placed:
    """Return the product in the scene's light: a smooth factor, so that all detail and text stays.

    It falls off away from the lamp, and takes half of the tint of what is around, as the scene's `relight` says.
    """
    if not scene.relight:
        return placed
    box = slice(placed.top, placed.bottom), slice(placed.left, placed.left + placed.width)
    mean = behind[box].mean(axis=(0, 1))
    tint = 1 + 0.5 * (mean / max(float(mean.mean()), 1e-3) - 1)
    across = (np.arange(scene.width, dtype=np.float32) - placed.left) / max(placed.width, 1) * 2 - 1
    down = (np.arange(scene.height, dtype=np.float32) - placed.top) / max(placed.height, 1) * 2 - 1
    toward = np.sin(np.radians(scene.light_deg))
    lamp = 1 + 0.3 * toward * np.clip(across, -1, 1)[None, :] - 0.12 * np.clip(down, -1, 1)[:, None]
    factor = 1 + scene.relight * (lamp[..., None] * tint - 1)
    return replace(placed, colour=to_coded(to_linear(placed.colour) * factor))
