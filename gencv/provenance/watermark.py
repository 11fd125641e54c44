"""An invisible mark of 64 bits in the pixels, without weights, which is found again without the original.

The mark is a sum of faint waves in the luma. All of them repeat after one tile, and a picture is marked with 2, 4, 6,
or 8 tiles a side: so resizing, to another aspect too, moves no wave. Of the waves a quarter is the same in every mark,
and symmetric under mirroring and quarter turns: `detect` searches for these over all crops (how many tiles are left in
height and in width, and where the first begins), and then reads the bits from the others, in the eight ways that the
picture may have been turned. A convolutional code spreads each bit over many waves; luma that is busy gets a
stronger mark, and counts less when it is read.

Choice: bits are 16 of magic and version, 32 of the payload, and 16 of a CRC of both. So 32 of the 64 bits follow from
the others, whatever is read: a picture without a mark passes one attempt with a chance of 2^-32, and `detect` makes at
most MAX_ATTEMPTS, which bounds false positives at 3.0e-8 a picture. docs/provenance.md has what was measured.
Sources: Cox et al. 1997 (spread spectrum); Kutter 1998 (periodic marks against cropping); the code is our own.
"""

import binascii
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft

from gencv.core.errors import BadInput
from gencv.provenance import convolutional

MIN_SIDE_PX = 64
MAGIC = 0x6731
"""`g1`: this mark, in its first version."""
NUM_BITS = 64

TILE_PX = 32
"""Of a tile in the frame in which it is searched; a frame of n tiles has n * TILE_PX a side."""
MIN_SIDE_OF_TILES = {2: 64, 4: 128, 6: 224, 8: 400}
"""The shorter side, in px, from which a picture gets so many tiles: more can be cropped, fewer can be compressed."""
FRAMES = (2, 4, 8)
"""Tiles a side of the frames in which marks are searched, each from KEPT of them up."""
KEPT = 0.53
"""Crops are searched down to this share of either side; below lies the range of the next smaller number of tiles."""

LOWEST, HIGHEST, HIGHEST_SYNC = 3, 13, 7
"""Of the waves, in cycles a tile."""
FIXED = (
    *((3, 1, -1), (3, 2, -1), (3, 3, 1), (4, 1, 1), (4, 2, 1), (4, 3, -1), (5, 1, 1), (5, 2, -1)),
    *((6, 2, 1), (6, 4, -1), (7, 2, 1), (7, 3, 1), (7, 7, -1)),
)
"""The waves that are the same in every mark: cycles a tile in one direction and in the other, and sign; each stands for
up to eight by symmetry. Best of 3,000 draws: their sum has low peaks (2.5 rms, 3.6 at the median draw), so that no dots
show, and looks little like itself when shifted (.25 at most)."""
SYNC_AMPLITUDE = 1.3
"""Of a wave that is the same in every mark, over that of another."""
CANDIDATES = 4
MAX_ATTEMPTS = 8 * (len(MIN_SIDE_OF_TILES) + CANDIDATES * len(FRAMES))

FLAT, BUSY, MOST = 0.45, 0.8, 4.5
"""Levels (rms) of the mark in flat light ground, levels more for each level of fine texture, and at most; in pictures
of REFERENCE_PX. A larger one has coarser waves, which are seen sooner, and more px to read them from: it gets less, and
a smaller one more, up to FINEST times."""
REFERENCE_PX, FINEST = 512, 1.5
REACH, STILL = 3.0, 0.1
"""How far texture is looked at around a place, in px of a frame (sigma), and levels that are none."""
MIDDLE, DARKEST = 128, 0.4
"""Ground below this level gets less, by the power of .65, down to this share of the strength."""
PSNR_DB, SMALL_PSNR_DB, SMALL_PX = 40.0, 38.2, 256
"""The least, before rounding; of a picture whose shorter side is under so many px there is too little to hide in."""


@dataclass(frozen=True)
class Mark:
    """What was read from the pixels of a picture."""

    found: bool
    payload: int | None
    """32 bits."""
    confidence: float
    """Share of the 210 coded bits that agree with the best message, 0 to 1; about .8 for no mark, since any noise is
    near to some message, and 0 where none was looked for."""
    reason: str = ""
    """Why there is none."""


def embed(image: np.ndarray, payload: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Return a picture with a payload of 32 bits in its pixels.

    image: uint8 RGB [H, W, 3] of at least 64 px a side. All three colours of a pixel change alike. The change has a
    PSNR of 40 dB or more, 38 where a side is under 256 px. keep: bool [H, W], True where it stays as it is.
    Raises BadInput for a picture under 64 px and a payload out of range.
    """
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise BadInput(f"A picture of {width}x{height} px; a watermark needs {MIN_SIDE_PX} px a side or more.")
    if not 0 <= payload < 1 << 32:
        raise BadInput(f"A watermark's payload of {payload}; it has 32 bits, 0 to 4294967295.")
    tiles = max(tiles for tiles, side_px in MIN_SIDE_OF_TILES.items() if min(height, width) >= side_px)
    frame = _luma_frame(image, tiles)
    strength = _strength(frame) * min(FINEST, (REFERENCE_PX / min(height, width)) ** 0.5)
    if keep is not None:  # the waves are fitted to what of them will be there
        strength *= 1 - cv2.resize(keep.astype(np.float32), frame.shape[::-1], interpolation=cv2.INTER_AREA)
    spectrum = _fitted(_spectrum(message_of(payload)), frame, strength, tiles)
    strength = cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
    change = strength * _waves(spectrum, tiles, height, width)
    if keep is not None:
        change[keep] = 0
    error = float(np.mean(np.square(change)))
    psnr_db = PSNR_DB if min(height, width) >= SMALL_PX else SMALL_PSNR_DB
    change *= min(1.0, np.sqrt(255**2 / 10 ** (psnr_db / 10) / max(error, 1e-9)))
    change += _dither(height, width)
    marked: np.ndarray = np.clip(np.floor(image + change[:, :, None]), 0, 255).astype(np.uint8)
    return marked


def detect(image: np.ndarray) -> Mark:
    """Look for a mark in uint8 RGB [H, W, 3] of any size. Raises nothing for a picture."""
    if min(image.shape[:2]) < MIN_SIDE_PX // 2:
        return Mark(False, None, 0.0, f"a picture under {MIN_SIDE_PX // 2} px a side holds no mark")
    best = 0.0
    for tiles in reversed(FRAMES):
        frame = _luma_frame(image, tiles)
        if np.ptp(frame) < 1e-3:
            return Mark(False, None, 0.0, "a picture of one colour holds no mark")
        frame = _prepared(frame)
        for places in (_whole, _places):
            soft = np.concatenate([_soft_bits(frame, *place) for place in places(frame, tiles)])
            for message, values in zip(convolutional.decode(soft), soft, strict=True):
                agreeing = float(np.mean((values > 0) == convolutional.encode(message).astype(bool)))
                best = max(best, agreeing)
                payload = payload_of(message)
                if payload is not None:
                    return Mark(True, payload, agreeing)
    return Mark(False, None, best, "no mark was found")


def message_of(payload: int) -> np.ndarray:
    """Return the 64 bits that carry a payload of 32: magic, payload, CRC-16 (CCITT) of both."""
    body = MAGIC.to_bytes(2, "big") + payload.to_bytes(4, "big")
    return np.unpackbits(np.frombuffer(body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big"), np.uint8))


def payload_of(message: np.ndarray) -> int | None:
    """Return the payload of 64 bits, None where magic or CRC are wrong."""
    payload = int.from_bytes(np.packbits(message).tobytes()[2:6], "big")
    return payload if np.array_equal(message_of(payload), message) else None


def _dither(height: int, width: int) -> np.ndarray:
    """Return thresholds in [0, 1), float32 [H, W], by which the mark is rounded up or down.

    By one threshold flat ground would show steps of a level, or hold no mark.
    Source: Jimenez 2014 (interleaved gradient noise).
    """
    down, across = (np.arange(size) * step % 1 for size, step in ((height, 0.00583715), (width, 0.06711056)))
    thresholds: np.ndarray = np.minimum((down[:, None] + across) % 1 * 52.9829189 % 1, 0.999).astype(np.float32)
    return thresholds


def _luma_frame(image: np.ndarray, tiles: int) -> np.ndarray:
    side = tiles * TILE_PX
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = (min(size, 8 * side) for size in luma.shape)  # so that floats of a large picture fit into memory
    luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    # Not rounded again: in flat ground the mark is less than a level.
    return cv2.resize(luma.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def _detail(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what of a frame is not smooth, and how much that varies around each place, in levels."""
    detail = frame - cv2.GaussianBlur(frame, (0, 0), 2.5)
    return detail, np.sqrt(np.maximum(cv2.blur(np.square(detail), (7, 7)), 0))


def _strength(frame: np.ndarray) -> np.ndarray:
    """Return how strong a mark may be in each place of a frame before it is seen, in levels (rms).

    Sources: Watson 1993 for the power by which dark ground hides less; Yang et al. 2005 (NAMM) for texture, which hides
    a mark, and lone edges, which do not. Choice: the figures, by looking.
    """
    fine = frame - cv2.GaussianBlur(frame, (0, 0), 1)
    busy = cv2.erode(np.sqrt(np.maximum(cv2.blur(np.square(fine), (3, 3)), 0)), np.ones((3, 3)))
    # The geometric mean, since flat ground beside an edge is flat, and there a mark is seen first.
    texture = np.exp(cv2.GaussianBlur(np.log(busy + STILL), (0, 0), REACH)) - STILL
    light = np.clip((cv2.GaussianBlur(frame, (0, 0), 2) / MIDDLE) ** 0.65, DARKEST, 1)
    strength: np.ndarray = light * np.minimum(FLAT + BUSY * texture, MOST)
    return strength


def _prepared(frame: np.ndarray) -> np.ndarray:
    return _flattening(frame)(frame)


def _flattening(frame: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what flattens a frame in space and in frequency, so that edges and smooth shapes do not drown the mark."""
    _, spread = _detail(frame)

    def even(frame: np.ndarray) -> np.ndarray:
        return np.clip(_detail(frame)[0] / (spread + 0.7), -3, 3)

    around = cv2.blur(np.abs(scipy.fft.rfft2(even(frame))), (9, 9), borderType=cv2.BORDER_REFLECT)
    divisor = np.maximum(around, 1e-3 * around.max() + 1e-9)

    def flatten(frame: np.ndarray) -> np.ndarray:
        flat: np.ndarray = scipy.fft.irfft2(scipy.fft.rfft2(even(frame)) / divisor, s=frame.shape)
        return flat

    return flatten


@functools.cache
def _layout() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the fixed waves [27, 27]; the other waves' rows and columns [K], and of their real and imaginary parts the
    places of the coded bits, and signs [K, 2].

    Arrays over waves have cycles a tile from -13 to 13 in height and width. The others are of the upper half only (the
    lower is its conjugate). Waves along an axis are left out, since pictures, their borders, and JPEG blocks have such.
    Places and signs are drawn by digest: marks are to be read by every later version of every library.
    """
    size = 2 * HIGHEST + 1
    fixed = np.zeros((size, size), np.float32)
    for a, b, sign in FIXED:
        for u, v in ((a, b), (a, -b), (b, a), (b, -a)):
            fixed[HIGHEST + u, HIGHEST + v] = fixed[HIGHEST - u, HIGHEST - v] = sign
    u, v = np.mgrid[-HIGHEST : HIGHEST + 1, -HIGHEST : HIGHEST + 1]
    radius = np.hypot(u, v)
    is_jpeg = (np.abs(u) == 8) & (np.abs(v) == 8)
    free = (u > 0) & (v != 0) & (radius >= LOWEST) & (radius <= HIGHEST) & (fixed == 0) & ~is_jpeg
    rows, columns = np.nonzero(free)
    draws = np.array([[_draw(f"{u} {v} {part}") for part in "ri"] for u, v in zip(rows, columns, strict=True)])
    places = draws.ravel().argsort().argsort().reshape(draws.shape) % convolutional.coded_length(NUM_BITS)
    return fixed, rows, columns, places, np.where(draws % 2, 1, -1).astype(np.float32)


def _draw(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"gencv mark 1 {name}".encode(), digest_size=7).digest(), "big")


def _spectrum(message: np.ndarray) -> np.ndarray:
    """Return the waves of a message, complex [27, 27], such that their sum has an rms of 1."""
    fixed, rows, columns, places, signs = _layout()
    coded = convolutional.encode(message).astype(np.float32) * 2 - 1
    values = coded[places] * signs / np.sqrt(2)
    spectrum = SYNC_AMPLITUDE * fixed.astype(np.complex64)
    spectrum[rows, columns] = values[:, 0] + 1j * values[:, 1]
    spectrum[-1 - rows, -1 - columns] = values[:, 0] - 1j * values[:, 1]
    even: np.ndarray = spectrum / np.sqrt(np.sum(np.abs(spectrum) ** 2))
    return even


def _fitted(wanted: np.ndarray, frame: np.ndarray, strength: np.ndarray, tiles: int) -> np.ndarray:
    """Strengthen the waves that a picture works against, at the cost of the others; the rms stays 1.

    Source: after Malvar and Florencio 2003 (improved spread spectrum), for each wave by itself.
    """
    flatten = _flattening(frame)
    phases = _phases(np.array([tiles]), len(frame), _CYCLES)[0].conj()
    found = phases @ flatten(frame) @ phases.T
    added = phases @ flatten(strength * _waves(wanted, tiles, *frame.shape)) @ phases.T
    is_wave = wanted != 0
    amplitude = np.abs(wanted[is_wave]).mean()
    gain = np.maximum(_smooth((added * wanted.conj()).real, is_wave) / amplitude**2, 1e-9)

    def short(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        against = np.maximum(-found * np.sign(wanted), 0) / gain
        missing: np.ndarray = np.sign(wanted) * np.minimum(against, amplitude)
        return missing

    spectrum = wanted + short(found.real, wanted.real) + 1j * short(found.imag, wanted.imag)
    fitted: np.ndarray = spectrum / np.sqrt(np.sum(np.abs(spectrum) ** 2))
    return fitted


def _smooth(values: np.ndarray, is_wave: np.ndarray) -> np.ndarray:
    """Average over the waves of about the same frequency."""
    ring = np.hypot(*np.meshgrid(_CYCLES, _CYCLES)).astype(int)
    sums, counts = (np.bincount(ring[is_wave], weights, 2 * HIGHEST) for weights in (values[is_wave], None))
    average: np.ndarray = (sums / np.maximum(counts, 1))[ring]
    return average


def _phases(tiles: np.ndarray, size: int, cycles: np.ndarray) -> np.ndarray:
    """Return exp(2 pi i u m y), complex64 [len(tiles), len(cycles), size], at the centres of `size` pixels."""
    y = (np.arange(size) + 0.5) / size
    phases: np.ndarray = np.exp(2j * np.pi * (tiles[:, None, None] * cycles[:, None] * y)).astype(np.complex64)
    return phases


_CYCLES = np.arange(-HIGHEST, HIGHEST + 1)


def _waves(spectrum: np.ndarray, tiles: int, height: int, width: int) -> np.ndarray:
    down = _phases(np.array([tiles]), height, _CYCLES)[0]
    across = _phases(np.array([tiles]), width, _CYCLES)[0]
    rows = spectrum.T @ down  # [27 across, H]
    # The sum is real: of a complex product only the two real halves are needed.
    waves: np.ndarray = rows.real.T @ across.real - rows.imag.T @ across.imag
    return waves


@functools.cache
def _search(tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of tiles to try [M], and the conjugate waves for them: across [F, M * 15], down [M * 7, F]."""
    tried = np.arange(tiles * KEPT, tiles * 1.07, 0.08)
    size = tiles * TILE_PX
    across = _phases(tried, size, np.arange(-HIGHEST_SYNC, HIGHEST_SYNC + 1)).conj().reshape(-1, size).T
    down = _phases(tried, size, np.arange(1, HIGHEST_SYNC + 1)).conj().reshape(-1, size)
    return tried, np.ascontiguousarray(across), down


_Place = tuple[float, float, float, float]
"""Of a mark in a frame: tiles down, tiles across, and where the first of them begins, down and across, in tiles."""


def _whole(frame: np.ndarray, tiles: int) -> list[_Place]:
    """Guess that nothing was cropped: then nothing has to be found, and a weaker mark is read."""
    return [(float(of), float(of), 0.0, 0.0) for of in MIN_SIDE_OF_TILES if tiles / 2 < of <= tiles]


def _places(frame: np.ndarray, tiles: int) -> list[_Place]:
    """Search for the places at which the fixed waves stand out most."""
    tried, across, down = _search(tiles)
    sync = _layout()[0][HIGHEST + 1 : HIGHEST + 1 + HIGHEST_SYNC, HIGHEST - HIGHEST_SYNC : HIGHEST + HIGHEST_SYNC + 1]
    found = (down @ (frame @ across)).reshape(len(tried), HIGHEST_SYNC, len(tried), 2 * HIGHEST_SYNC + 1)
    peaks = _correlations(found.transpose(0, 2, 1, 3) * sync, 16)
    places = []
    height = peaks.max(axis=(2, 3))
    for _ in range(CANDIDATES):
        row, column = np.unravel_index(height.argmax(), height.shape)
        height[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = -np.inf
        places.append(_refined(frame, sync, float(tried[row]), float(tried[column])))
    return places


def _correlations(found: np.ndarray, size: int) -> np.ndarray:
    """Correlate with the fixed waves at size * size offsets. found: complex [..., 7 down, 15 across]."""
    grid = np.zeros((*found.shape[:-2], size // 2 + 1, size), np.complex64)
    grid[..., 1 : HIGHEST_SYNC + 1, np.arange(-HIGHEST_SYNC, HIGHEST_SYNC + 1)] = found
    # The real transform halves its last axis, so heights go there; the sign of the exponent is that of a search.
    grid = grid.swapaxes(-1, -2).conj()
    correlations: np.ndarray = scipy.fft.irfft2(grid, s=(size, size)).swapaxes(-1, -2)
    return correlations


def _refined(frame: np.ndarray, sync: np.ndarray, down: float, across: float) -> _Place:
    best = (down, across, 0.0, 0.0)
    for step, size in ((0.025, 64), (0.008, 128)):
        near = np.arange(-2, 3) * step
        rows, columns = best[0] + near, best[1] + near
        left = _phases(rows, len(frame), np.arange(1, HIGHEST_SYNC + 1)).conj()
        right = _phases(columns, len(frame), np.arange(-HIGHEST_SYNC, HIGHEST_SYNC + 1)).conj()
        found = np.einsum("auy,yx,bvx->abuv", left, frame, right, optimize=True)
        peaks = _correlations(found * sync, size)
        row, column, y, x = np.unravel_index(peaks.argmax(), peaks.shape)
        best = (float(rows[row]), float(columns[column]), y / size, x / size)
    return best


def _soft_bits(frame: np.ndarray, down: float, across: float, y: float, x: float) -> np.ndarray:
    """Read the coded bits at a place, as soft values [8, 210], for the eight ways that a picture may be turned."""
    left = _phases(np.array([down]), len(frame), _CYCLES)[0].conj() * np.exp(-2j * np.pi * _CYCLES * y)[:, None]
    right = _phases(np.array([across]), len(frame), _CYCLES)[0].conj() * np.exp(-2j * np.pi * _CYCLES * x)[:, None]
    waves = left @ frame @ right.T
    _, rows, columns, places, signs = _layout()
    soft = []
    for turned in (waves, waves.T):
        for way in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1]):
            values = way[rows, columns]
            parts = np.stack([values.real, values.imag], axis=1) * signs
            soft.append(np.bincount(places.ravel(), parts.ravel(), convolutional.coded_length(NUM_BITS)))
    return np.array(soft)
