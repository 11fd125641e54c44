import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gencv.core.contracts import Encoder
from gencv.core.errors import BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.images.transform import Transform
from gencv.models.encoders import load_encoder, transform_of_open_clip


@pytest.fixture(scope="module")
def features() -> Encoder:
    return load_encoder("starter-features", device="cpu")


@pytest.fixture(scope="module")
def starter() -> Encoder:
    return load_encoder("starter", device="cpu")


def pixels(count: int, side: int = 224) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_vectors_are_unit_and_do_not_depend_on_the_batch(features: Encoder) -> None:
    together = features.images(pixels(5))
    alone = np.concatenate([features.images(pixels(5)[i : i + 1]) for i in range(5)])
    assert together.shape == (5, 1280) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    with pytest.raises(NotSupported, match="no text encoder"):
        features.texts(["a cat"])


def test_the_encoder_normalises_as_its_transform_says(features: Encoder) -> None:
    network = features.encode  # type: ignore[attr-defined]
    with torch.inference_mode():
        by_hand = network(torch.from_numpy(features.transform.normalise(pixels(2))))
    by_hand = torch.nn.functional.normalize(by_hand, dim=-1).numpy()
    np.testing.assert_allclose(features.images(pixels(2)), by_hand, atol=1e-5)


def test_the_starter_weights_are_imagenets(features: Encoder) -> None:
    from skimage import data
    from timm.data import ImageNetInfo

    from gencv.models.starter import TRANSFORM, load_efficientnet

    network = load_efficientnet()
    with torch.inference_mode():
        logits = network(torch.from_numpy(TRANSFORM.normalise(TRANSFORM(data.chelsea())[None])))
    name = ImageNetInfo("imagenet-1k").index_to_description(int(logits.argmax()), detailed=False)
    assert "cat" in name


def test_the_starter_finds_a_picture_by_a_sentence(starter: Encoder) -> None:
    from skimage import data

    gallery = {"a cat on a blanket": data.chelsea(), "a cup of coffee": data.coffee(), "a rocket launch": data.rocket()}
    images = starter.images(np.stack([starter.transform(image) for image in gallery.values()]))
    texts = starter.texts(list(gallery))
    assert images.shape == texts.shape == (3, 384)
    assert (texts @ images.T).argmax(1).tolist() == [0, 1, 2]


def test_the_frozen_classes_are_the_sentences_of_their_names() -> None:
    from timm.data import ImageNetInfo

    from gencv.models.starter import FROZEN_PATH, embed_sentences

    names, some = ImageNetInfo("imagenet-1k"), [0, 281, 504, 770, 999]
    with torch.inference_mode():
        made = embed_sentences([names.index_to_description(index, detailed=False) for index in some], "cpu")
    torch.testing.assert_close(load_file(FROZEN_PATH)["classes"][some], made, atol=1e-5, rtol=0)


def test_two_encoders_live_in_two_spaces(features: Encoder, starter: Encoder) -> None:
    assert features.space.digest() != starter.space.digest()
    assert features.space.digest() == load_encoder("starter-features", device="cpu").space.digest()


@pytest.mark.parametrize("name", ["nothing", "ViT-X-99/openai", "ViT-B-32/no-such-weights", "timm/no_such_network", ""])
def test_an_unknown_encoder_is_one_sentence(name: str, models_dir: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown"):
        load_encoder(name, device="cpu")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ViT-B-32/laion2b_s34b_b79k", "open_clip/ViT-B-32/laion2b_s34b_b79k"),
        ("timm/test_vit.r160_in1k", "timm/test_vit.r160_in1k"),
    ],
)
def test_weights_that_cannot_be_had_name_the_folder_to_put_them_in(name: str, folder: str, models_dir: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached") as caught:
        load_encoder(name, device="cpu")
    assert str(models_dir / folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_timm_backbone_comes_from_a_local_folder(models_dir: Path) -> None:
    import timm

    torch.manual_seed(0)
    folder = models_dir / "timm" / "test_vit.r160_in1k"
    folder.mkdir(parents=True)
    save_file(timm.create_model("test_vit.r160_in1k", pretrained=False).state_dict(), folder / "model.safetensors")
    encoder = load_encoder("timm/test_vit.r160_in1k", device="cpu")
    assert encoder.transform.size_px == 160
    assert encoder.images(pixels(3, 160)).shape == (3, encoder.space.dim)
    (folder / "second.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="must hold one"):
        load_encoder("timm/test_vit.r160_in1k", device="cpu")


def test_an_open_clip_model_comes_from_a_local_folder_with_its_own_preprocessing(models_dir: Path) -> None:
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (models_dir / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(models_dir / "tiny-clip.json")
    torch.manual_seed(0)
    folder = models_dir / "open_clip" / "tiny-clip" / "mine"
    folder.mkdir(parents=True)
    save_file(open_clip.create_model("tiny-clip", pretrained=None).state_dict(), folder / "model.safetensors")
    encoder = load_encoder("tiny-clip/mine", device="cpu")
    assert encoder.transform.size_px == 64 and encoder.transform.interpolation == "bicubic"
    assert encoder.images(pixels(2, 64)).shape == encoder.texts(["a cat", "a dog"]).shape == (2, 16)


def test_siglip_squashes_and_clip_crops() -> None:
    common = {"size": (224, 224), "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "fill_color": 0}
    assert transform_of_open_clip({**common, "resize_mode": "squash"}).resize == "squash"
    assert transform_of_open_clip({**common, "resize_mode": "shortest"}) == Transform(
        size_px=224, resize_px=224, resize="shortest", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
