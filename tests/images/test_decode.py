import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from skimage import data as photographs

from gencv.core.errors import IMAGE_FAULTS, BadImage, BadInput
from gencv.images.decode import FORMATS, Limits, decode, decode_layer, image_size

PHOTO = Image.fromarray(photographs.chelsea()).resize((150, 100))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def code_of(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, limits=limits or Limits())
    return caught.value.code


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\0IDAT"


VALID = {form: encoded(PHOTO.resize((48, 32)), form) for form in FORMATS if form != "HEIF"}
pillow_heif.register_heif_opener()  # for Pillow to write it
VALID["HEIF"] = encoded(PHOTO.resize((48, 32)), "HEIF")
VALID["progressive"] = encoded(PHOTO.resize((48, 32)), "JPEG", progressive=True)
VALID["cmyk"] = encoded(PHOTO.resize((48, 32)).convert("CMYK"), "JPEG")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_comes_out_as_it_went_in(form: str) -> None:
    pixels = decode(encoded(PHOTO, form))
    assert pixels.shape == (100, 150, 3) and pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous and pixels.flags.writeable
    assert np.abs(pixels - np.asarray(PHOTO, float)).mean() < 5


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_fast_jpegs_have_the_pixels_of_pillow(progressive: bool, subsampling: int, mode: str) -> None:
    data = encoded(PHOTO.convert(mode), "JPEG", progressive=progressive, subsampling=subsampling)
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data), np.asarray(upright))
    assert image_size(data) == upright.size == (PHOTO.size if orientation < 5 else PHOTO.size[::-1])


def test_a_turned_heif_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = PHOTO.copy()
    turned.info["exif"] = exif.tobytes()
    data = encoded(turned, "HEIF", quality=95)
    assert decode(data).shape == (150, 100, 3) and image_size(data) == (100, 150)
    assert np.abs(decode(data) - np.asarray(PHOTO.transpose(Image.Transpose.ROTATE_270), float)).mean() < 5


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("min_side_px", [1, 24, 50, 60, 99, 100, 5_000])
def test_scaled_decode_never_leaves_less(min_side_px: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for mode in ("RGB", "CMYK"):
        pixels = decode(encoded(PHOTO.convert(mode), "JPEG", exif=exif), min_side_px=min_side_px)
        assert min(min_side_px, 100) <= min(pixels.shape[:2]) <= 100
    assert min(decode(encoded(PHOTO, "JPEG"), min_side_px=24).shape[:2]) < 50


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("LA", (8, 8), (0, 128))
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    for data, level in (
        (encoded(clear, "PNG"), 255),
        (encoded(clear, "WEBP", lossless=True), 255),
        (encoded(half, "PNG"), 127),
        (encoded(palette, "PNG", transparency=0), 255),
        (encoded(palette, "GIF", transparency=0), 255),
        (encoded(Image.new("RGB", (8, 8), (7, 7, 7)), "PNG", transparency=(7, 7, 7)), 255),
    ):
        assert (decode(data) == level).all()


def test_deep_pictures_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, 0)
    levels = np.arange(256)[None, :, None].repeat(4, 0).repeat(3, 2)
    sixteen = Image.fromarray((ramp * 65_535).round().astype(np.uint16))
    for image, form in (
        (sixteen, "PNG"),
        (sixteen, "TIFF"),
        (Image.fromarray((ramp * 65_535).round().astype(np.int32)), "TIFF"),
        (Image.fromarray((ramp * (2**31 - 1)).astype(np.float64).clip(0, 2**31 - 1).astype(np.int32)), "TIFF"),
        (Image.fromarray(ramp), "TIFF"),
        (Image.fromarray(ramp * 255), "TIFF"),
    ):
        assert np.abs(decode(encoded(image, form)) - levels).max() <= 1


def test_one_bit_grey_and_palette() -> None:
    bits = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)).convert("1")
    assert np.array_equal(decode(encoded(bits, "PNG"))[..., 1], np.asarray(bits.convert("L")))
    assert np.array_equal(decode(encoded(PHOTO.convert("P"), "PNG")), np.asarray(PHOTO.convert("P").convert("RGB")))


def test_cmyk_and_rgb_jpegs_keep_their_colours() -> None:
    for data in (encoded(PHOTO.convert("CMYK"), "JPEG", quality=95), encoded(PHOTO, "JPEG", keep_rgb=True, quality=95)):
        assert simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "RGB")
        assert np.abs(decode(data) - np.asarray(PHOTO, float)).mean() < 3


def icc(space: bytes, tags: dict[bytes, bytes], *, between: bytes = b"XYZ ") -> bytes:
    """Make a profile of ICC.1:2001-04: its header, the table of its tags, and they."""
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    white = struct.pack(">3i", *(round(65_536 * v) for v in (0.9642, 1, 0.8249)))
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI", start + len(body), b"", 0x02100000) + kind + space + between
    return header.ljust(36, b"\0") + b"acsp" + b"\0" * 28 + white + b"\0" * 48 + table + body


def xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + b"\0" * 4 + struct.pack(">3i", *(65_536 * values).round().astype(int))


def gamma(value: float) -> bytes:
    return b"curv" + b"\0" * 4 + struct.pack(">IH", 1, round(256 * value)) + b"\0\0"


P3_TO_XYZ = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
SRGB_TO_XYZ = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
"""Primaries of Display P3 and of sRGB, both adapted to D50 as profiles have them."""
P3 = icc(
    b"RGB ",
    {c + b"XYZ": xyz(P3_TO_XYZ[:, k]) for k, c in enumerate((b"r", b"g", b"b"))}
    | {c + b"TRC": gamma(2.2) for c in (b"r", b"g", b"b")},
)
GREY = icc(b"GRAY", {b"kTRC": gamma(1.0), b"wtpt": xyz(np.array([0.9642, 1, 0.8249]))})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def inks() -> bytes:
    """Make a CMYK profile in which cyan is Lab (50, 0, 0), black is black, and the other two are nothing."""
    light = np.array([[100, 50], [0, 0]])  # without and with black, by cyan
    corners = [(light[k, c], 0, 0) for c in (0, 1) for _ in range(4) for k in (0, 1)]
    coded = np.array([(round(2.55 * L), 128 + a, 128 + b) for L, a, b in corners], np.uint8)
    ramp = bytes(range(256))
    one = b"".join(struct.pack(">i", 65_536 * (k % 4 == 0)) for k in range(9))
    lut = b"mft1" + b"\0" * 4 + bytes([4, 3, 2, 0]) + one + 4 * ramp + coded.tobytes() + 3 * ramp
    return icc(b"CMYK", {b"A2B0": lut}, between=b"Lab ")


def coded_by(light: np.ndarray) -> np.ndarray:
    """The coding of sRGB, in 0 to 255."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_layer_of_a_phone_is_turned_into_srgb_and_a_detectors_picture_is_not(form: str) -> None:
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    levels = np.random.default_rng(0).integers(40, 220, 3)
    image = Image.new("RGB", (16, 16), tuple(levels.tolist()))
    data = encoded(image, form, icc_profile=P3, **options)
    expected = coded_by(np.linalg.inv(SRGB_TO_XYZ) @ P3_TO_XYZ @ (levels / 255) ** 2.2)
    assert np.abs(decode_layer(data)[8, 8] - expected).max() < 2.5
    assert np.abs(decode(data)[8, 8] - levels.astype(float)).max() <= 1


def test_a_layer_keeps_its_transparency_beside_its_profile() -> None:
    image = Image.new("RGBA", (8, 4), (200, 100, 50, 77))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode_layer(encoded(image, "PNG", icc_profile=P3, exif=exif))
    assert found.shape == (8, 4, 4) and (found[..., 3] == 77).all() and (found[..., 0] > 205).all()


def test_grey_and_inks_have_profiles_too() -> None:
    grey = decode_layer(encoded(Image.new("L", (8, 8), 128), "PNG", icc_profile=GREY))
    assert np.abs(grey - float(coded_by(np.array(128 / 255)))).max() < 2, "this profile codes light as it is"
    for levels, lightness in (((0, 0, 0, 0), 1.0), ((255, 0, 0, 0), 0.1842), ((0, 0, 0, 255), 0.0)):
        data = encoded(Image.new("CMYK", (16, 16), levels), "JPEG", quality=100, icc_profile=inks())
        assert np.abs(decode_layer(data) - float(coded_by(np.array(lightness)))).max() < 3


def test_a_picture_of_srgb_keeps_its_bytes_and_a_profile_that_says_nothing_is_left() -> None:
    plain = np.asarray(PHOTO)
    for profile in (SRGB, b"junk" * 60, SRGB[:300], GREY[:150], inks(), SRGB.replace(b"RGB ", b"HSV ")):
        assert np.array_equal(decode_layer(encoded(PHOTO, "PNG", icc_profile=profile)), plain)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_mutated_profile_does_no_harm(changes: list[tuple[int, int]]) -> None:
    small = PHOTO.resize((12, 8))
    for whole in (P3, GREY, inks()):
        profile = bytearray(whole)
        for at, value in changes:
            profile[at % len(profile)] = value
        image = small.convert("CMYK") if whole == inks() else small
        found = decode_layer(encoded(image, "TIFF", icc_profile=bytes(profile)))
        assert found.shape == (8, 12, 3) and found.dtype == np.uint8


def test_only_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "TIFF", "PNG"):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        assert decode(data)[0, 0, 0] > 250 and decode(data)[0, 0, 2] < 5


@pytest.mark.parametrize("form", VALID)
def test_a_cut_file_is_truncated(form: str) -> None:
    data = VALID[form]
    for length in {20, len(data) // 4, len(data) // 2, len(data) * 9 // 10}:
        assert code_of(data[:length]) == "truncated"


def test_a_cut_jpeg_with_a_forged_end_is_truncated() -> None:
    for form in ("JPEG", "progressive"):
        assert code_of(VALID[form][: len(VALID[form]) * 4 // 5] + b"\xff\xd9") == "truncated"


def test_stray_bytes_between_segments_do_no_harm() -> None:
    data = VALID["JPEG"]
    start = data.find(b"\xff\xdb")
    assert np.array_equal(decode(data[:start] + b"\x11\x22" + data[start:]), decode(data))


def test_damage_has_its_own_code() -> None:
    data = bytearray(VALID["PNG"])
    data[60] ^= 0xFF
    assert code_of(bytes(data)) == "corrupt"
    data = bytearray(VALID["progressive"])
    middle = len(data) // 2
    data[middle : middle + 4] = b"\xff\xd8\xff\xe0"
    assert code_of(bytes(data)) in ("corrupt", "truncated")


@pytest.mark.parametrize(
    "data", [b"not an image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"\0" * 99]
)
def test_other_bytes_are_no_image(data: bytes) -> None:
    assert code_of(data) == "not_an_image"


def test_formats_that_are_not_named_stay_closed() -> None:
    for form in ("PPM", "ICO", "TGA", "EPS"):
        assert code_of(encoded(PHOTO, form)) == "not_an_image"


def test_limits_are_checked_before_pixels() -> None:
    assert code_of(b"") == "empty"
    assert code_of(VALID["BMP"], limits=Limits(max_bytes=100)) == "too_many_bytes"
    assert code_of(VALID["PNG"], limits=Limits(max_pixels=48 * 32 - 1)) == "too_many_pixels"
    assert code_of(VALID["PNG"], limits=Limits(min_side_px=33)) == "too_small"
    tracemalloc.start()
    for side in (10_001, 60_000):  # beyond our limit, beyond Pillow's
        assert code_of(png_header(side, side)) == "too_many_pixels"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    for form in FORMATS:
        assert decode(VALID[form], limits=Limits(max_pixels=48 * 32, min_side_px=32)).shape == (32, 48, 3)


@pytest.mark.parametrize("values", [{"max_bytes": 0}, {"min_side_px": 0}, {"max_pixels": 10**9}])
def test_limits_refuse_what_makes_no_sense(values: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(values))):
        Limits(**values)


@pytest.mark.filterwarnings("error")
def test_damaged_exif_does_no_harm() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff" * 4
    assert np.array_equal(decode(encoded(PHOTO, "JPEG", exif=exif)), decode(encoded(PHOTO, "JPEG")))


def well_behaved(data: bytes, min_side_px: int | None) -> None:
    try:
        pixels = decode(data, min_side_px=min_side_px, limits=Limits(max_pixels=1_000_000))
    except BadImage as fault:
        assert fault.code in IMAGE_FAULTS
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(VALID)), st.integers(0, 16))
def test_random_bytes_give_bad_image_or_pixels(tail: bytes, form: str, keep: int) -> None:
    well_behaved(VALID[form][:keep] + tail, None)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(sorted(VALID)), st.sampled_from([None, 8]))
def test_mutated_files_give_bad_image_or_pixels(draw: st.DataObject, form: str, min_side_px: int | None) -> None:
    data = bytearray(VALID[form])
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, len(data) - 1) | st.integers(0, min(80, len(data) - 1)))
        change = draw.draw(st.sampled_from(["set", "cut", "add"]))
        if change == "set":
            data[at] = draw.draw(st.integers(0, 255))
        elif change == "cut" and len(data) > 40:
            del data[at : at + draw.draw(st.integers(1, 30))]
        else:
            data[at:at] = draw.draw(st.binary(max_size=8))
    well_behaved(bytes(data), min_side_px)


def test_real_photographs_decode() -> None:
    folder = Path(__file__).parents[2].parent / "shared/data/coco_captions/images"
    if not folder.is_dir():
        pytest.skip("the development pictures are not here")
    for path in sorted(folder.glob("*.jpg"))[:8]:
        data = path.read_bytes()
        pixels = decode(data)
        assert pixels.shape[1::-1] == image_size(data)
        reference = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        assert np.array_equal(pixels, np.asarray(reference))
        assert 224 <= min(decode(data, min_side_px=224).shape[:2]) <= min(pixels.shape[:2])


def test_a_profile_of_another_type_than_bytes_says_nothing() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "TIFF", tiffinfo={34675: "no profile"})
    assert (decode_layer(stream.getvalue()) == (255, 0, 0)).all()
