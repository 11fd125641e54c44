"""Cutouts of products whose alpha is known, and what is no product."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fakes import picture

from gencv.core.errors import BadInput, ModelUnavailable, UnknownName
from gencv.mockup.cutout import METHODS, cut_out, rembg_weights

SIDE = 160
RED, BLUE = np.array([190, 60, 40]), np.array([40, 70, 160])


def disc(radius: float = 45, soft_px: float = 1.5) -> np.ndarray:
    """Alpha of a disc in the middle, float32 [S, S]."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / soft_px + 0.5, 0, 1).astype(np.float32)


def composite(alpha: np.ndarray, back: np.ndarray, front: np.ndarray = RED) -> np.ndarray:
    mixed = alpha[..., None] * front + (1 - alpha[..., None]) * back
    grain = np.random.default_rng(0).normal(0, 1.5, mixed.shape)
    return np.asarray((mixed + grain).round().clip(0, 255).astype(np.uint8))


def falloff() -> np.ndarray:
    """A studio's backdrop: grey, brighter at its upper left."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.repeat((215 - 30 * x - 20 * y)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("back", "method"), [(BLUE, "key"), (np.array([255, 255, 255]), "key"), (falloff(), "key"), (None, "grabcut")]
)
@pytest.mark.parametrize("soft_px", [1.5, 5.0])
def test_a_known_alpha_comes_back_and_no_fringe_of_the_background(
    back: np.ndarray | None, method: str, soft_px: float
) -> None:
    alpha = disc(soft_px=soft_px)
    behind = picture(5, SIDE, SIDE) * (0.15, 0.5, 0.6) + 10 if back is None else back
    found = cut_out(composite(alpha, behind))
    assert found.method == method
    assert (found.alpha.dtype, found.alpha.shape) == (np.float32, alpha.shape)
    # Mean absolute error over the edge, and of the colours that would be seen there on another background.
    edge = cv2.dilate(((alpha > 0) & (alpha < 1)).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(found.alpha - alpha)[edge].mean() < (0.03 if method == "key" else 0.06)
    assert np.abs(found.alpha - alpha)[~edge].max() < 0.02
    fringe = np.abs(found.foreground.astype(float) - RED)[(alpha > 0.1) & edge]
    assert fringe.mean() < (5 if method == "key" else 9)


def test_the_inside_keeps_its_bytes() -> None:
    image = composite(disc(), BLUE)
    found = cut_out(image)
    assert np.array_equal(found.foreground[found.alpha >= 1], image[found.alpha >= 1])
    assert (found.alpha[disc(40) >= 1] == 1).all()


def test_the_hole_of_a_handle_is_background() -> None:
    ring = disc(60) - disc(30)
    found = cut_out(composite(ring, BLUE))
    assert found.alpha[SIDE // 2, SIDE // 2] == 0 and found.alpha[SIDE // 2, SIDE // 2 + 45] == 1


def test_a_layer_is_the_product_with_a_margin() -> None:
    layer = cut_out(composite(disc(45), BLUE)).layer(margin=0.1)
    assert layer.shape[2] == 4 and layer.dtype == np.uint8
    assert 90 + 16 <= layer.shape[0] <= 90 + 26 and layer[0, 0, 3] == 0 and layer[60, 60, 3] == 255


def test_a_large_picture_is_cut_out_whole() -> None:
    large = cv2.resize(composite(disc(), BLUE), (1300, 1300), interpolation=cv2.INTER_CUBIC)
    found = cut_out(large)
    assert found.alpha.shape == (1300, 1300) and found.foreground.shape == (1300, 1300, 3)
    assert found.alpha.mean() == pytest.approx(np.pi * 45**2 / SIDE**2, rel=0.02)


def test_the_transparency_that_a_picture_has_is_taken() -> None:
    alpha = disc()
    image = np.dstack([composite(alpha, BLUE), (255 * alpha).round().astype(np.uint8)])
    found = cut_out(image)
    assert found.method == "alpha" and np.abs(found.alpha - alpha).max() < 0.003
    image[..., 3] = 255
    assert cut_out(image).method == "key", "an alpha that hides nothing says nothing"
    image[0, 0, 3] = 254
    assert cut_out(image).method == "key", "nor does one that hides next to nothing"
    for faint in (0, 4):
        image[..., 3] = faint
        with pytest.raises(BadInput, match="all of it is background"):
            cut_out(image)


def test_what_shows_no_object_is_one_sentence() -> None:
    full = np.full((SIDE, SIDE, 3), 200, np.uint8)
    for image in (full, composite(disc(2), BLUE), np.zeros((4, 4, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)):
        with pytest.raises(BadInput, match=r"^The picture has no object that can be cut out: [^\n]+\.$"):
            cut_out(image)


@pytest.mark.parametrize(("side", "grain"), [(32, 1), (SIDE, 1), (SIDE, 4), (700, 1), (700, 8)])
def test_noise_is_no_object(side: int, grain: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        for image in (
            rng.integers(0, 256, (side // grain,) * 2 + (3,)),
            rng.normal(128, 40, (side // grain,) * 2 + (3,)),
        ):
            noise = np.kron(image.clip(0, 255).astype(np.uint8), np.ones((grain, grain, 1), np.uint8))
            with pytest.raises(BadInput, match="nothing stands out"):
                cut_out(noise)


def test_an_unknown_way_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="auto, grabcut, key, rembg"):
        cut_out(composite(disc(), BLUE), method="magic")
    assert [*METHODS] == ["rembg", "key", "grabcut"], "the best first"


class FakeRembg(SimpleNamespace):
    """Says that the left half is the object, and remembers what it was asked."""

    def new_session(self, kind: str, **options: str) -> str:
        if not Path(options["model_path"]).read_bytes():
            raise RuntimeError("INVALID_PROTOBUF : Load model failed\nat line 7")
        self.asked = [*getattr(self, "asked", []), (kind, options)]
        return "session"

    def remove(self, image: np.ndarray, *, session: str, only_mask: bool) -> np.ndarray:
        assert session == "session" and only_mask
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[20:-20, 20 : image.shape[1] // 2] = 255
        return mask


@pytest.fixture
def rembg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRembg:
    fake = FakeRembg()
    monkeypatch.setitem(sys.modules, "rembg", fake)
    monkeypatch.setenv("GENCV_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return fake


def test_rembg_is_asked_where_its_weights_lie_here(rembg: FakeRembg, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "rembg"
    folder.mkdir(parents=True)
    for name in ("u2netp.onnx", "isnet-general-use.onnx"):
        (folder / name).write_bytes(b"weights")
    found = cut_out(composite(disc(), BLUE))
    assert found.method == "rembg" and found.alpha[80, 40] == 1 and found.alpha[80, 120] == 0
    # The best of the weights, by a session that reads a file: the others would download.
    assert rembg.asked == [("dis_custom", {"model_path": str(folder / "isnet-general-use.onnx")})]
    cut_out(composite(disc(), RED, BLUE))
    assert len(rembg.asked) == 1, "they are read once"


def test_weights_that_are_of_no_use_are_said(rembg: FakeRembg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "rembg").mkdir(parents=True)
    (tmp_path / "models" / "rembg" / "u2net.onnx").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match=r"u2net\.onnx; put whole ones there: INVALID_PROTOBUF : .* failed$"):
        cut_out(composite(disc(), BLUE))
    monkeypatch.delitem(sys.modules, "rembg")
    (tmp_path / "rembg.py").write_text("import sys\n\nsys.exit(1)\n")  # as it does where it finds no onnxruntime
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelUnavailable, match="without onnxruntime"):
        cut_out(composite(disc(), BLUE))


def test_rembg_without_weights_is_not_asked(rembg: FakeRembg) -> None:
    assert cut_out(composite(disc(), BLUE)).method == "key" and not hasattr(rembg, "asked")
    with pytest.raises(ModelUnavailable, match=r"models/rembg"):
        cut_out(composite(disc(), BLUE), method="rembg")


def test_weights_without_rembg_do_not_help(rembg: FakeRembg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home" / ".u2net").mkdir(parents=True)
    (tmp_path / "home" / ".u2net" / "u2net.onnx").write_bytes(b"weights")
    found = rembg_weights()
    assert found is not None and found[1] == "u2net_custom"
    monkeypatch.setitem(sys.modules, "rembg", None)  # as if it were not installed
    assert cut_out(composite(disc(), BLUE)).method == "key"


@pytest.mark.parametrize("subject", ["duck_toy", "poop_emoji", "red_cartoon", "shiny_sneaker/03.jpg"])
def test_real_products_are_one_thing_near_the_middle(shared: Path, subject: str) -> None:
    from gencv.images.decode import decode

    path = shared / "products" / (subject if subject.endswith(".jpg") else f"{subject}/00.jpg")
    alpha = cut_out(decode(path.read_bytes())).alpha
    _, _, facts, centres = cv2.connectedComponentsWithStats((alpha > 0.5).astype(np.uint8))
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    assert facts[largest, cv2.CC_STAT_AREA] > 0.97 * (alpha > 0.5).sum() and 0.03 < alpha.mean() < 0.5
    assert np.abs(centres[largest] / alpha.shape[::-1] - 0.5).max() < 0.2


def test_a_transparency_that_reaches_the_border_is_taken_where_it_says_something() -> None:
    """A trimmed picture of a box: round corners, and ground of its own colour all around a panel."""
    layer = np.full((120, 80, 4), 255, np.uint8)
    layer[..., :3] = (30, 60, 160)
    layer[30:60, 20:60, :3] = 240
    layer[:6, :6, 3] = layer[-6:, -6:, 3] = 0
    found = cut_out(layer)
    assert found.method == "alpha" and found.alpha.mean() > 0.9
