"""A template: a picture of a blank thing, where a print goes on it, and what light and folds do to the print.

A folder holds `template.json` (Layout), `photo.png`, and, where they matter, `mask.png` (where the thing is: 255),
`shading.png` (grey: what multiplies the print's light, coded as sRGB, times `shading_gain`), `highlight.png` (grey:
what screens it), and `displacement.png` (red moves the print along x, green along y: 127 not at all, 255 by
`displacement_px`). All PNGs have the size of the photo. docs/mockup.md has an example.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gencv.core import storage
from gencv.core.errors import BadImage, BadInput
from gencv.core.settings import Settings
from gencv.images.decode import decode
from gencv.images.degrade import encode_png
from gencv.images.light import to_coded, to_linear
from gencv.mockup.described import read_object, require_name
from gencv.mockup.surface import as_surface, outline_of, quad, size_of

LAYOUT = "template.json"
NEUTRAL = 127
"""The value of a displacement map that moves nothing."""
MM_PER_INCH = 25.4
MAX_NUMBER = 1_000_000
"""Largest number of a layout: JSON also holds NaN, and numbers that are none as float32."""
MAX_SIDE_PX = 32_766
"""Longest side that OpenCV warps."""


@dataclass(frozen=True, kw_only=True)
class Layout(Settings):
    """What a template says in numbers. Raises BadInput where they cannot be."""

    name: str
    surface: tuple[tuple[tuple[float, float], ...], ...]
    """Rows of points [x, y] in px of the photo, from the print's top left: two by two for a quad, more for a mesh."""
    print_px: tuple[int, int]
    """Width and height of the file that a printer takes."""
    print_mm: tuple[float, float]
    dpi: float
    displacement_px: float = 0.0
    shading_gain: float = 1.0

    def __post_init__(self) -> None:
        require_name("template", self.name)
        try:
            surface = tuple(tuple((float(x), float(y)) for x, y in row) for row in self.surface)
            numbers = [*self.print_px, *self.print_mm, self.dpi, self.shading_gain, self.displacement_px]
            width_px, height_px, width_mm, height_mm, dpi, gain, displacement_px = (float(n) for n in numbers)
        except (TypeError, ValueError):
            raise BadInput(
                "A template's surface is rows of points [x, y]; print_px and print_mm are [width, height]; dpi, "
                "shading_gain, and displacement_px are numbers."
            ) from None
        sizes = width_px, height_px, width_mm, height_mm, dpi, gain
        if not (all(0 < size <= MAX_NUMBER for size in sizes) and 0 <= displacement_px <= MAX_NUMBER):
            raise BadInput(
                "A template's print area, DPI, and shading_gain must be above 0, displacement_px not below, and none "
                f"over {MAX_NUMBER:,}."
            )
        for name, px, mm in (("wide", width_px, width_mm), ("high", height_px, height_mm)):
            if abs(px - mm / MM_PER_INCH * dpi) > 1:
                raise BadInput(
                    f"The print area is {px:g} px and {mm:g} mm {name}, which does not agree at {dpi:g} DPI: "
                    f"{mm:g} mm are {mm / MM_PER_INCH * dpi:.0f} px."
                )
        object.__setattr__(self, "surface", surface)
        for field, value in (("dpi", dpi), ("shading_gain", gain), ("displacement_px", displacement_px)):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "print_px", tuple(int(n) for n in self.print_px))
        object.__setattr__(self, "print_mm", tuple(float(n) for n in self.print_mm))


@dataclass(frozen=True, kw_only=True)
class Template:
    """A blank thing to print on. Arrays have the size of the photo; print_mm is the width and height of the print."""

    name: str
    photo: np.ndarray
    """uint8 RGB [H, W, 3]"""
    surface: np.ndarray
    """As surface.as_surface returns it."""
    mask: np.ndarray
    """float32 [H, W] in 0 to 1: where the thing can be printed on, whatever the surface says."""
    shading: np.ndarray
    """float32 [H, W], 0 or above: what multiplies the print's light."""
    highlight: np.ndarray
    """float32 [H, W] in 0 to 1: what is screened over it, in light."""
    displacement: np.ndarray
    """float32 [H, W, 2]: by how many px (x, y) the print is read from aside."""
    print_mm: tuple[float, float]
    dpi: float

    @property
    def print_px(self) -> tuple[int, int]:
        """Width and height of the file that a printer takes."""
        return (round(self.print_mm[0] / MM_PER_INCH * self.dpi), round(self.print_mm[1] / MM_PER_INCH * self.dpi))

    def digest(self) -> str:
        """Return a digest of all that a render depends on: 16 hex digits."""
        found = hashlib.blake2b(repr((self.name, self.print_mm, self.dpi)).encode(), digest_size=8)
        for array in (self.photo, self.surface, self.mask, self.shading, self.highlight, self.displacement):
            found.update(repr(array.shape).encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def plain(
    name: str,
    photo: np.ndarray,
    surface: np.ndarray,
    *,
    print_mm: tuple[float, float],
    mask: np.ndarray | None = None,
    shading: np.ndarray | None = None,
    highlight: np.ndarray | None = None,
    displacement: np.ndarray | None = None,
    dpi: float = 300.0,
) -> Template:
    """Return a template in which whatever is not given does nothing."""
    size = photo.shape[:2]
    one, none = np.ones(size, np.float32), np.zeros(size, np.float32)
    return Template(
        name=name,
        photo=photo,
        surface=surface,
        mask=one if mask is None else mask,
        shading=one if shading is None else shading,
        highlight=none if highlight is None else highlight,
        displacement=np.zeros((*size, 2), np.float32) if displacement is None else displacement,
        print_mm=print_mm,
        dpi=dpi,
    )


def load(folder: str) -> Template:
    """Read a template from its folder or URI. Raises BadInput with what is missing, odd, or of another size."""
    layout = Layout.from_dict(
        read_object(storage.join(folder, LAYOUT), f"a template's folder holds {LAYOUT} and photo.png")
    )
    photo = _read(folder, "photo")
    height, width = photo.shape[:2]
    if max(height, width) > MAX_SIDE_PX:
        raise BadInput(f"photo.png in {folder} has {width}x{height} px; sides of up to {MAX_SIDE_PX:,} are accepted.")
    found = {}
    for name in ("mask", "shading", "highlight", "displacement"):
        if not storage.exists(storage.join(folder, f"{name}.png")):
            continue
        found[name] = _read(folder, name)
        if found[name].shape != photo.shape:
            raise BadInput(
                f"{name}.png in {folder} has {found[name].shape[1]}x{found[name].shape[0]} px, the photo "
                f"{width}x{height}; all pictures of a template have one size."
            )
    light = {name: to_linear(found[name][..., 1]) for name in ("shading", "highlight") if name in found}
    moved = (found["displacement"][..., :2].astype(np.float32) - NEUTRAL) / 128 if "displacement" in found else None
    return plain(
        layout.name,
        photo,
        as_surface(layout.surface, width, height),
        print_mm=layout.print_mm,
        mask=found["mask"][..., 1].astype(np.float32) / 255 if "mask" in found else None,
        shading=light["shading"] * np.float32(layout.shading_gain) if "shading" in light else None,
        highlight=light.get("highlight"),
        displacement=moved * np.float32(layout.displacement_px) if moved is not None else None,
        dpi=layout.dpi,
    )


def save(template: Template, folder: str) -> None:
    """Write a template as `load` reads it; shading, highlight, and displacement are rounded to 8 bits."""
    gain = max(1.0, float(template.shading.max()))
    reach = float(np.abs(template.displacement).max())
    moved = np.zeros((*template.mask.shape, 3), np.float32)
    moved[..., :2] = template.displacement / (reach or 1)
    pictures = {
        "photo": template.photo,
        "mask": _grey((255 * template.mask).round().astype(np.uint8)),
        "shading": _grey(to_coded(template.shading / gain)),
        "highlight": _grey(to_coded(template.highlight)),
        "displacement": (NEUTRAL + 128 * moved).round().clip(0, 255).astype(np.uint8),
    }
    for name, picture in pictures.items():
        storage.write_bytes(storage.join(folder, f"{name}.png"), encode_png(picture))
    layout = Layout(
        name=template.name,
        surface=tuple(tuple((float(x), float(y)) for x, y in row) for row in template.surface),
        print_px=template.print_px,
        print_mm=template.print_mm,
        dpi=template.dpi,
        displacement_px=reach,
        shading_gain=gain,
    )
    storage.write_bytes(storage.join(folder, LAYOUT), json.dumps(layout.to_dict(), indent=1).encode())


def derive(photo: np.ndarray, corners: Sequence[Sequence[float]], *, name: str, width_mm: float = 200.0) -> Template:
    """Make a template of one photo of a blank object, uint8 RGB [H, W, 3], and the corners of its print area.

    Shading is the object's light, smoothed a little against noise, over the median in the quad, so that plain cloth or
    paper of any colour multiplies by 1; displacement is the gradient of that light, as folds are bright on one side and
    dark on the other. The height of the print follows from the quad's sides. Raises BadInput for a quad that cannot be,
    and where it is so dark that nothing is known of its light.
    """
    height, width = photo.shape[:2]
    surface = quad(corners, width, height)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [(16 * (outline_of(surface) - 0.5)).round().astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    light = to_linear(photo) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    across, down = size_of(surface)
    smooth = cv2.GaussianBlur(light, (0, 0), max(1.0, min(across, down) * NOISE_SHARE))
    median = float(np.median(smooth[inside > 127])) if (inside > 127).any() else 0.0
    if median < DARKEST:
        raise BadInput(f"The print area of {name} is black in its photo, which shows no shading; take a lighter one.")
    shading = np.clip(smooth / median, 0, MAX_GAIN)
    soft = cv2.GaussianBlur(shading, (0, 0), max(1.5, min(across, down) * FOLD_SHARE))
    slope = np.stack([cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)], axis=2) / 8
    steep = float(np.quantile(np.abs(slope)[inside > 127], 0.99))
    reach_px = DISPLACEMENT_SHARE * min(across, down) * min(1.0, steep / STEEP)
    moved = np.clip(slope / (steep or 1), -1, 1) * reach_px
    return plain(
        name,
        photo,
        surface,
        print_mm=(width_mm, width_mm * down / across),
        mask=inside.astype(np.float32) / 255,
        shading=shading.astype(np.float32),
        displacement=moved.astype(np.float32),
    )


NOISE_SHARE = 0.004
"""Sigma, as a share of the print's shorter side, of the blur that takes noise out of a derived shading."""
FOLD_SHARE = 0.012
"""The same for the light that folds are read from."""
DISPLACEMENT_SHARE = 0.012
"""How far the steepest folds move a print, as a share of its shorter side."""
STEEP = 0.02
"""Change of light per px from which a fold moves the print so far; a plain photo's noise and falloff stay below it."""
MAX_GAIN = 2.0
DARKEST = 0.002


def _read(folder: str, name: str) -> np.ndarray:
    place = storage.join(folder, f"{name}.png")
    try:
        return decode(storage.read_bytes(place))
    except (OSError, BadImage) as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise BadInput(f"{place} {what}.") from None


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)
