"""How faithful a mockup is to the product, in words: what /v1/mockups measured of it."""

from typing import Any

SHARP_DPI, COARSE_DPI = 150, 100
"""From which a print looks sharp in the hand, and under which it looks coarse."""
UNSEEN = 1.0
"""CIEDE2000 under which nobody sees a difference side by side."""


def words_of(fidelity: dict[str, Any]) -> dict[str, str]:
    """Return what was measured, by what it is called."""
    return {name: word(fidelity[key]) for key, (name, word) in WORDS.items() if fidelity.get(key) is not None}


def inside(levels: int) -> str:
    return "every pixel is as you gave it" if levels == 0 else f"up to {levels} of 255 levels away from what you gave"


def colour(difference: float) -> str:
    told = "no difference is seen" if difference < UNSEEN else "light and material change them"
    return f"{told} (CIEDE2000 {difference:.1f})"


def edge(difference: float) -> str:
    told = "clean" if difference < UNSEEN else "what is behind it shines through"
    return f"{told} (CIEDE2000 {difference:.1f})"


def print_of(dpi: float) -> str:
    told = "sharp in the hand" if dpi >= SHARP_DPI else "coarse in the hand" if dpi < COARSE_DPI else "fair in the hand"
    return f"{told} ({dpi:.0f} DPI)"


def share(part: float) -> str:
    return f"{100 * part:.0f} %"


WORDS: dict[str, tuple[str, Any]] = {
    "interior_difference": ("The product itself", inside),
    "colour_shift": ("Its colours", colour),
    "halo": ("Its edge", edge),
    "growth": ("Grown beyond its outline", share),
    "coverage": ("Of the area is printed on", share),
    "sharpness": ("Of its edges are left", share),
    "dpi": ("In print", print_of),
}
"""Figures of an answer: what each is called, and how it is said."""
