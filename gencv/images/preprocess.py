"""How pictures are stored for training, and how a detector repeats it on a raw picture: recipe and inference in one.

Both classes go through the same resize, blur, and compression, so that no format, size, or quality tells them apart.
What is drawn at random is drawn by the picture's id.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from gencv.core.errors import BadImage, BadInput, UnknownName
from gencv.core.record import Split
from gencv.core.seeds import uniform_for
from gencv.core.settings import Settings
from gencv.images.decode import decode
from gencv.images.degrade import blur, encode_jpeg, encode_png
from gencv.images.faces import Face, crop_face, find_faces
from gencv.images.transform import INTERPOLATIONS, resize


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Settings):
    """Cut, squash to a square, blur some, compress: uint8 RGB [H, W, 3] -> a file of [S, S, 3], S = size_px.

    The defaults are the published recipe for CLIP features (224 px, JPEG of quality 80 for all, blur 5x5 for half).
    It is a `Prepare`: calling it is `apply`. Raises BadInput at a field out of range.
    Source: after Ojha et al., CVPR 2023, arXiv:2302.10174. Choice: blur first, then JPEG, so that every stored file is
    a JPEG of the stated quality and a blur does not wipe the traces of the compression from half of them.
    """

    size_px: int = 224
    interpolation: str = "area"
    """A key of INTERPOLATIONS."""
    jpeg_quality: tuple[int, ...] = (80,)
    """None: no compression. One: that quality for every picture, at inference as well. Two: a range, drawn for each
    picture of blur_splits; the other splits and inference are not compressed."""
    blur_probability: float = 0.5
    blur_kernel_px: int = 5
    blur_sigma_px: float = 0.0
    """0 takes it from the kernel by OpenCV's rule: 1.1 px for 5."""
    blur_splits: tuple[str, ...] = ("train",)
    """Splits that are augmented, by the blur and by a range of qualities."""
    seed: int = 0
    crop: str = "none"
    """A key of CROPS. With "face" a picture without a face is an error row."""
    margin: float = 1.3
    """Side of the square that is cut, as a multiple of the longer side of the face, 1 to 4. 1.3 is usual for faces that
    were manipulated (FaceForensics++, arXiv:1901.08971); for spoofs more of what surrounds the face may help."""
    align: bool = False
    """Store every picture of every split as a JPEG whose quality is drawn by its id, so that no file says more of its
    class than its pixels do. Where one picture is judged, which has no id, the middle of the range stands for it."""

    def __post_init__(self) -> None:
        for name in ("jpeg_quality", "blur_splits"):  # JSON brings lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.size_px < 1:
            raise BadInput(f"size_px is {self.size_px}; it must be at least 1.")
        if self.interpolation not in INTERPOLATIONS:
            raise UnknownName("interpolation", self.interpolation, INTERPOLATIONS)
        if len(self.jpeg_quality) > 2 or any(not 1 <= quality <= 100 for quality in self.jpeg_quality):
            raise BadInput(
                f"jpeg_quality is {self.jpeg_quality}; none, one, or two qualities from 1 to 100 are accepted."
            )
        if self.jpeg_quality != tuple(sorted(self.jpeg_quality)):
            raise BadInput(f"jpeg_quality is {self.jpeg_quality}; a range is written lower end first.")
        if not 0 <= self.blur_probability <= 1:
            raise BadInput(f"blur_probability is {self.blur_probability}; a share from 0 to 1 is accepted.")
        if self.blur_kernel_px < 1 or self.blur_kernel_px % 2 == 0:
            raise BadInput(f"blur_kernel_px is {self.blur_kernel_px}; an odd number from 1 is accepted.")
        if self.blur_sigma_px < 0:
            raise BadInput(
                f"blur_sigma_px is {self.blur_sigma_px}; it must be at least 0, which takes it from the kernel."
            )
        for split in self.blur_splits:
            if split not in set(Split):
                raise UnknownName("split", split, set(Split))
        if self.crop not in CROPS:
            raise UnknownName("crop", self.crop, CROPS)
        if not 1 <= self.margin <= 4:
            raise BadInput(f"margin is {self.margin}; a multiple of the face's side from 1 to 4 is accepted.")
        if self.align and not self.jpeg_quality:
            raise BadInput("align stores JPEGs; give jpeg_quality one or two qualities from 1 to 100.")

    @classmethod
    def aligned(cls) -> Self:
        """Return the defaults of --align: no blur by chance, and a quality from 70 to 95 for every picture.

        The range is that of photographs on the web, so that a detector meets it outside; below 70 the traces that it
        looks for begin to go. Source: the fix of arXiv:2403.17608, one sampled compression for both classes.
        """
        return cls(align=True, jpeg_quality=(70, 95), blur_probability=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them, without those of a crop or an alignment that is not asked for.

        So the settings of manifests from before there were these fields are still the same.
        """
        unused = {*(() if self.crop != "none" else ("crop", "margin")), *(() if self.align else ("align",))}
        return {name: value for name, value in super().to_dict().items() if name not in unused}

    def store(self, image: np.ndarray, image_id: str, split: str) -> bytes:
        """Return the file to train on: a JPEG, or a PNG where no compression applies. Raises BadImage."""
        pixels = self._resized(self.cut(image))
        if self._is_blurred(image_id, split):
            pixels = blur(pixels, self.blur_sigma_px, self.blur_kernel_px)
        quality = self._quality(image_id, split)
        return encode_png(pixels) if quality is None else encode_jpeg(pixels, quality)

    def apply(self, image: np.ndarray, face: Face | None = None) -> np.ndarray:
        """Return [S, S, 3] as `store` would keep it for a split that is not augmented: what a detector looks at.

        face: cut out this one, of several, in place of what `crop` says. Raises BadImage.
        """
        pixels = self._resized(self.cut(image, face))
        quality = self._usual_quality
        return pixels if quality is None else decode(encode_jpeg(pixels, quality))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.apply(image)

    @property
    def decode_side_px(self) -> None:
        """Every pixel is decoded: before a JPEG compression no scaled decode keeps embeddings within a cosine of .999.

        The worst of benchmarks/scaled_decode.py is .992 at four times the size. The compression's rounding is what
        amplifies so small a difference: one grey level of noise does the same.
        """
        return None

    @property
    def whole(self) -> Self:
        """The same for a part that is cut out already, or for a picture that shows no face."""
        return replace(self, crop="none")

    def describe(self) -> str:
        """Say in words what `apply` does."""
        jpeg = "no compression" if self._usual_quality is None else f"JPEG at quality {self._usual_quality}"
        cut = "" if self.crop == "none" else f"largest {self.crop} at {self.margin:g} times its side, "
        return f"{cut}{self.size_px} x {self.size_px} px, {jpeg}"

    def cut(self, image: np.ndarray, face: Face | None = None) -> np.ndarray:
        """Return the part that `store` and `apply` look at: around `face`, or what `crop` says. Raises BadImage."""
        return CROPS[self.crop](image, self.margin) if face is None else crop_face(image, face, self.margin)

    def _resized(self, part: np.ndarray) -> np.ndarray:
        return resize(part, self.size_px, self.size_px, self.interpolation)

    def _is_blurred(self, image_id: str, split: str) -> bool:
        return split in self.blur_splits and uniform_for(self.seed, image_id, "blur") < self.blur_probability

    @property
    def _usual_quality(self) -> int | None:
        """The quality of what `apply` gives; None for no compression."""
        if len(self.jpeg_quality) == 1:
            return self.jpeg_quality[0]
        return sum(self.jpeg_quality) // 2 if self.align else None

    def _quality(self, image_id: str, split: str) -> int | None:
        if len(self.jpeg_quality) < 2:
            return self.jpeg_quality[0] if self.jpeg_quality else None
        if split not in self.blur_splits and not self.align:
            return None
        low, high = self.jpeg_quality
        return low + int(uniform_for(self.seed, image_id, "jpeg") * (high - low + 1))


def _whole(image: np.ndarray, margin: float) -> np.ndarray:
    return image


def _largest_face(image: np.ndarray, margin: float) -> np.ndarray:
    faces = find_faces(image)
    if not faces:
        raise BadImage("no_face")
    return crop_face(image, faces[0], margin)


CROPS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"none": _whole, "face": _largest_face}
"""What is cut out of a picture before all else, (image, margin) -> image. Raises BadImage where it is not there."""
