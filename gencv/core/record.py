"""One picture and what is known of it before anybody judges it."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """What a picture may be used for. A group of related pictures lies in one split only."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


FAMILIES = (
    "real",
    "gan",
    "diffusion",
    "autoregressive",
    "faceswap",
    "inpainting",
    "print",
    "replay",
    "recapture",
    "unknown",
)
"""What kind of thing made a picture; `real` for a camera."""

FAMILY_OF = {
    "camera": "real",
    **dict.fromkeys(("progan", "stylegan", "stylegan2", "stylegan3", "biggan", "cyclegan", "stargan", "gaugan"), "gan"),
    **dict.fromkeys(("lm_faces_00", "ifakefacedb", "wfir", "san"), "gan"),
    **dict.fromkeys(("sd", "sd14", "sd15", "sd21", "sdxl", "sd3", "glide", "adm", "ldm", "ddpm", "dalle"), "diffusion"),
    **dict.fromkeys(("midjourney", "wukong", "vqdm", "flux", "text2img"), "diffusion"),
    **dict.fromkeys(("inpainting",), "inpainting"),
    **dict.fromkeys(("insight", "deepfake", "faceswap"), "faceswap"),
    **dict.fromkeys(("print",), "print"),
    **dict.fromkeys(("replay",), "replay"),
    **dict.fromkeys(("recapture",), "recapture"),
}
"""The family of generators whose name says it; the rest is `unknown` until a source names it."""


def family_of(generator: str) -> str:
    """Return the family of a generator, as far as its name tells."""
    name = generator.lower()
    return FAMILY_OF.get(name) or FAMILY_OF.get(name.partition("_")[0].partition("-")[0], "unknown")


def picture_id(data: bytes) -> str:
    """Return the id of a file: 32 hex digits that depend on its bytes alone (BLAKE2b, 16 bytes)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One picture as a source yields it: where it is, or its bytes, and what the source says of it.

    `group` names the identity or source photograph that it shares with others; "" leaves it to the near-duplicate
    search. `split` is set only where the source fixes it (an official test set). `label` 1 = spoof or generated,
    0 = live or real, None = not labelled.
    """

    uri: str
    data: bytes | None = None
    label: int | None = None
    generator: str = "unknown"
    family: str = "unknown"
    source: str = ""
    group: str = ""
    split: Split | None = None
    caption: tuple[str, ...] = ()
